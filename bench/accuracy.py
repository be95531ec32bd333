"""One trained model's errors on test sets, and pictures to look at, as rows of the store."""

from __future__ import annotations

from dataclasses import dataclass
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
"""Test pictures of each set that are kept to look at."""


@dataclass(frozen=True)
class Teacher:
    """Whose matte and blended label a qualitative sheet shows beside the student's matte."""

    model: Path
    blend: BlendConfig


@dataclass(frozen=True)
class Measured:
    """Rows of the tables `scores` and `samples`."""

    scores: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def measure(
    model: Path,
    tests: dict[str, Manifest],
    run_id: str,
    *,
    protocol: Protocol | None = None,
    teacher: Teacher | None = None,
    masks: bool = False,
    device: str = "auto",
) -> Measured:
    """Score a saved model on every test picture, against its matte, or with `masks` against its mask.

    `protocol` is by default the shorter side at the training size. Predictions are scored as floats, not quantised, at
    the label's own size; masks give IoU and boundary F alone. Raises UserError where a label's size is not its picture's.
    """
    place = pick_device(device)
    network, card = load_model(model)
    network = network.to(place)
    rule = protocol or Short(card.size)
    teacher_network = load_model(teacher.model)[0].to(place) if teacher else None
    scores, samples = [], []
    for dataset, manifest in tests.items():
        shown = {s.id for s in manifest.samples[:: max(1, len(manifest) // SAMPLE_IMAGES)][:SAMPLE_IMAGES]}
        for sample in track(manifest.samples, len(manifest), f"scoring {dataset}"):
            image = pictures.read_image(manifest.path(sample, "image"))
            label = _label(manifest, sample, masks)
            pictures.check_same_size(image, label, manifest.path(sample, "mask" if masks else "matte"))
            said = predict_matte(network, image, rule, device=place)
            key = {"run_id": run_id, "dataset": dataset, "image": sample.id}
            truth = "mask" if masks else sample.attributes.get("truth", "exact")
            common = key | {"protocol": str(rule), "truth": truth, "quantised": "none"}
            if masks:
                regions = [metrics.score_mask(said.matte, label)]
            else:
                trimap = pictures.read_trimap(manifest.path(sample, "trimap")) if sample.trimap else None
                try:
                    regions = metrics.score(said.matte, metrics.exact_levels(label), trimap)
                except UserError as error:  # of a measure that was added from outside
                    raise UserError(f"{error} (of the image {sample.id} of {dataset})") from error
            scores += [common | region.as_row() for region in regions]
            if sample.id in shown:
                kept: dict[str, NDArray] = {"photo": image, "truth": label, "matte": said.matte}
                if sample.mask:
                    mask = pictures.read_mask(manifest.path(sample, "mask")).astype(np.float32)
                    kept["mask"] = mask
                    if teacher and teacher_network is not None:
                        taught = predict_matte(teacher_network, image, rule, device=place)
                        kept |= {"teacher": taught.matte, "label": _blended(mask, taught, teacher.blend)}
                samples += [{**key, "kind": kind, "png": _png(picture)} for kind, picture in kept.items()]
    return Measured(scores, samples)


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
