"""A model's errors on test sets, and pictures to look at, as rows of the store: one of ours or anybody's."""

from __future__ import annotations

import heapq
import typing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsshm import metrics
from wsshm.blending import blend
from wsshm.config import BlendConfig
from wsshm.console import track
from wsshm.data import pictures
from wsshm.data.manifest import Manifest, Sample
from wsshm.errors import UserError
from wsshm.models.checkpoint import load_model
from wsshm.prediction.forward import pick_device, predict_matte
from wsshm.prediction.protocols import Prediction, Protocol, Short

SAMPLE_IMAGES = 8
"""Test pictures of each set that are kept to look at, whatever their errors."""
WORST_IMAGES = 3
"""Pictures of each set with a model's largest errors, which are kept as well."""


class HasMatte(typing.Protocol):
    """A prediction: `matte` is H x W float32 in [0, 1] at the picture's size."""

    @property
    def matte(self) -> NDArray[np.float32]: ...


class Matting(typing.Protocol):
    """Something that mattes: called with a picture (H x W x 3 uint8 RGB) it gives its prediction.

    `protocol` is its test-time input rule, as the store's column has it; so are `engine` and `precision` of one that is not
    executed by PyTorch in fp32.
    """

    @property
    def protocol(self) -> str: ...

    def __call__(self, image: NDArray[np.uint8]) -> HasMatte: ...


class SavedModel:
    """A trained model of ours, on a device; its input rule is by default the shorter side at its training size."""

    def __init__(self, folder: Path, rule: Protocol | None = None, device: str = "auto") -> None:
        self.device = pick_device(device)
        network, card = load_model(folder)
        self.network = network.to(self.device)
        self.rule = rule or Short(card.size)

    @property
    def protocol(self) -> str:
        """The name of the input rule."""
        return str(self.rule)

    def __call__(self, image: NDArray[np.uint8]) -> Prediction:
        """Matte and boundary of a picture."""
        return predict_matte(self.network, image, self.rule, device=self.device)


@dataclass(frozen=True)
class Teacher:
    """Whose matte and blended label a qualitative sheet shows beside the student's matte."""

    model: SavedModel
    blend: BlendConfig


@dataclass(frozen=True)
class _Seen:
    """A test picture that may be kept, with its label and the model's matte."""

    sample: Sample
    image: NDArray[np.uint8]
    label: NDArray[np.float32]
    matte: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """Rows of the tables `scores` and `samples`."""

    scores: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def measure(
    model: Matting,
    tests: dict[str, Manifest],
    run_id: str,
    *,
    teacher: Teacher | None = None,
    masks: bool = False,
) -> Measured:
    """Score what mattes on every test picture, against its matte, or with `masks` against its mask.

    Predictions are scored as floats, not quantised, at the label's own size; masks give IoU and boundary F alone. `samples`
    are those of `SAMPLE_IMAGES` pictures spread over each set, and against mattes those of the `WORST_IMAGES` with the
    largest SAD, marked `worst` where they are no others. Raises UserError where a label's size is not its picture's.
    """
    executed = {name: getattr(model, name) for name in ("engine", "precision") if hasattr(model, name)}
    scores, samples = [], []
    for dataset, manifest in tests.items():
        shown = {s.id for s in manifest.samples[:: max(1, len(manifest) // SAMPLE_IMAGES)][:SAMPLE_IMAGES]}
        worst: list[tuple[float, _Seen]] = []
        for sample in track(manifest.in_turn(), len(manifest), f"scoring {dataset}"):
            with manifest.told_by_address(sample):
                image = pictures.read_image(manifest.path(sample, "image"))
                label = _label(manifest, sample, masks)
                pictures.check_same_size(image, label, manifest.path(sample, "mask" if masks else "matte"))
            said = model(image)
            key = {"run_id": run_id, "dataset": dataset, "image": sample.id}
            truth = "mask" if masks else sample.attributes.get("truth", "exact")
            common = key | {"protocol": model.protocol, "truth": truth, "quantised": "none"} | executed
            if masks:
                regions = [metrics.score_mask(said.matte, label)]
            else:
                trimap = pictures.read_trimap(manifest.path(sample, "trimap")) if sample.trimap else None
                try:
                    regions = metrics.score(said.matte, metrics.exact_levels(label), trimap)
                except UserError as error:  # of a measure that was added from outside
                    raise UserError(f"{error} (of the image {sample.id} of {dataset})") from error
            rows = [region.as_row() for region in regions]
            scores += [common | row for row in rows]
            seen = _Seen(sample, image, label, said.matte)
            if sample.id in shown:
                samples += _pictures(manifest, seen, teacher, key)
            if not masks:
                sad = next(row["sad"] for row in rows if row["region"] == "whole")
                worst = heapq.nlargest(WORST_IMAGES, [*worst, (sad, seen)], key=itemgetter(0))
        for _, seen in worst:
            if seen.sample.id not in shown:
                own = {"run_id": run_id, "dataset": dataset, "image": seen.sample.id, "worst": True}
                samples += _pictures(manifest, seen, teacher, own)
    return Measured(scores, samples)


def _pictures(manifest: Manifest, seen: _Seen, teacher: Teacher | None, key: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `samples` of one test picture; `key` begins each."""
    kept: dict[str, NDArray] = {"photo": seen.image, "truth": seen.label, "matte": seen.matte}
    if seen.sample.mask:
        kept["mask"] = mask = pictures.read_mask(manifest.path(seen.sample, "mask")).astype(np.float32)
        if teacher:
            taught = teacher.model(seen.image)
            kept |= {"teacher": taught.matte, "label": _blended(mask, taught, teacher.blend)}
    return [{**key, "kind": kind, "png": _png(picture)} for kind, picture in kept.items()]


def _label(manifest: Manifest, sample: Sample, masks: bool) -> NDArray[np.float32]:
    if masks:
        return pictures.read_mask(manifest.path(sample, "mask")).astype(np.float32)
    return pictures.read_matte(manifest.path(sample, "matte"))


def _blended(mask: NDArray[np.float32], taught: Prediction, config: BlendConfig) -> NDArray[np.float32]:
    s, m, b = (torch.from_numpy(np.ascontiguousarray(a))[None, None] for a in (mask, taught.matte, taught.boundary))
    return blend(s, m, b, config).label[0, 0].numpy()


def _png(picture: NDArray) -> bytes:
    """A photo (H,W,3) uint8 or a map (H,W) in [0,1] as PNG bytes."""
    if picture.ndim == 3:
        array = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    else:
        array = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return cv2.imencode(".png", array)[1].tobytes()
