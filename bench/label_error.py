"""How good labels are, without training on them: masks, a teacher's mattes and their blends compared with true mattes.

A student cannot learn what its label does not hold, and to try a blend by training costs minutes to days. Where photos
have a mask and a true matte (the embedded data set's have), every blend is tried on the same forward passes instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import pandas as pd
import rich.box
import rich.table
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from bench.statistics import Interval, simultaneous
from wsshm import metrics
from wsshm.blending import blend
from wsshm.config import BlendConfig, parse
from wsshm.console import track
from wsshm.data import pictures
from wsshm.data.manifest import Manifest, Sample
from wsshm.errors import UserError
from wsshm.models.checkpoint import load_model
from wsshm.models.network import MattingModel
from wsshm.prediction.forward import pick_device, predict_matte
from wsshm.prediction.protocols import Short

Array = TypeVar("Array", bound=NDArray)
MASK, TEACHER = "the mask", "the teacher's matte"
REGIONS = {"whole": ("sad", "mse", "grad"), "unknown": ("sad", "mse")}
BESIDE = 1.5  # pixels from the true edge: those that touch it, corners included


@dataclass(frozen=True)
class Seen:
    """A photo at the size that a student sees: truth, mask and a teacher's two maps, each (1,1,H,W) in [0,1]."""

    truth: Tensor
    mask: Tensor
    matte: Tensor
    boundary: Tensor


def label_errors(
    teacher: Path, photos: Manifest, blends: dict[str, BlendConfig], size: int | None = None, device: str = "auto"
) -> pd.DataFrame:
    """One row for each photo and label: the mask, the saved teacher's matte, and each of `blends` by its name.

    Columns: label, image, `sad` (thousands), `mse` and `grad` (thousands) of the whole photo, `unknown_sad` and
    `unknown_mse` of the unknown region, `outside` and `inside`, the median of label - truth over the pixels that
    touch the true edge (of truth > 0.5) from either side, and of a blend `share`, the mean of A, and the errors where it
    takes the teacher, weighted by A: `taught_mad` of the teacher's matte and `kept_mad` of the mask. A network under L1
    learns medians: an outline that errs now to this side, now to that leaves them near 0, blur and a shift do not.

    Photos larger than `size` (by default the teacher's training size) on the shorter side are shrunk to it first.
    Raises UserError if no photo has both labels, or a label's size is not its photo's.
    """
    if not len(photos):
        raise UserError("no photo has both a mask and a true matte; give a manifest whose photos have both")
    place = pick_device(device)
    network, card = load_model(teacher)
    network = network.to(place)
    rows = []
    for sample in track(photos.in_turn(), len(photos), "judging labels"):
        with photos.told_by_address(sample):
            seen = _seen(network, photos, sample, size or card.size, place)
        labels: dict[str, tuple[Tensor, dict[str, float]]] = {MASK: (seen.mask, {}), TEACHER: (seen.matte, {})}
        for name, config in blends.items():
            made = blend(seen.mask, seen.matte, seen.boundary, config)
            labels[name] = (made.label, _where_taught(seen, made.share))
        rows += [
            {
                "label": name,
                "image": sample.id,
                **_errors(label, seen.truth),
                **_beside_the_edge(label, seen.truth),
                **more,
            }
            for name, (label, more) in labels.items()
        ]
    return pd.DataFrame(rows)


def blends(**choices: list[str]) -> dict[str, BlendConfig]:
    """Every combination of the blend's keys, by a name that says what it is; equal ones once.

    Raises UserError for an impossible value, and for a veto that leaves pixels out: their label is the mask's.
    """
    if "ignore" in choices["veto"]:
        raise UserError("--vetoes ignore gives the labels of `mask`, and leaves some of their pixels out; write mask")
    found: dict[str, BlendConfig] = {}
    for values in product(*choices.values()):
        document = {key: yaml.safe_load(value) for key, value in zip(choices, values, strict=True)}
        if document["variant"] == "soft":
            document.pop("threshold")  # it has none
        if document["variant"] != "gated" and document["veto"] == "none":
            document.pop("band")
        config = parse(document, BlendConfig, "the blend")
        if config not in found.values():
            found[", ".join(_words(document))] = config
    return found


def _words(document: dict[str, Any]) -> Iterator[str]:
    yield document["variant"]
    yield from (f"{key} {document[key]:g}" for key in ("threshold", "band", "feather") if document.get(key))
    if document["veto"] != "none":
        yield "veto"


def _seen(network: MattingModel, photos: Manifest, sample: Sample, size: int, device: torch.device) -> Seen:
    image = pictures.read_image(photos.path(sample, "image"))
    truth = pictures.read_matte(photos.path(sample, "matte"))
    mask = pictures.read_mask(photos.path(sample, "mask")).astype(np.float32)
    for label, kind in ((truth, "matte"), (mask, "mask")):
        pictures.check_same_size(image, label, photos.path(sample, kind))
    rule = Short(size)
    rows, columns = rule.sizes(*mask.shape)[0]
    if rows < mask.shape[0]:
        image, truth = _shrunk(image, rows, columns), _shrunk(truth, rows, columns)
        mask = (_shrunk(mask, rows, columns) > 0.5).astype(np.float32)
    said = predict_matte(network, image, rule, device=device)
    return Seen(*(_maps(array) for array in (truth, mask, said.matte, said.boundary)))


def _shrunk(array: Array, rows: int, columns: int) -> Array:
    return cast(Array, cv2.resize(array, (columns, rows), interpolation=cv2.INTER_AREA))


def _maps(array: NDArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


def _errors(label: Tensor, truth: Tensor) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for scores in metrics.score(label[0, 0].numpy(), metrics.exact_levels(truth[0, 0].numpy()), regions=tuple(REGIONS)):
        row = scores.as_row()
        prefix = "" if scores.region == "whole" else f"{scores.region}_"
        found |= {prefix + name: row[name] for name in REGIONS[scores.region]}
    return found


def _beside_the_edge(label: Tensor, truth: Tensor) -> dict[str, float]:
    error, solid = (label - truth)[0, 0].numpy(), (truth[0, 0].numpy() > 0.5).astype(np.uint8)
    if solid.min() == solid.max():  # no edge
        return {}
    sides = {"outside": 1 - solid, "inside": solid}
    near = {
        name: (side > 0) & (cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= BESIDE)
        for name, side in sides.items()
    }
    return {name: float(np.median(error[where])) for name, where in near.items()}


def _where_taught(seen: Seen, share: Tensor) -> dict[str, float]:
    total = float(share.sum())
    if not total:
        return {"share": 0.0}
    errors = {"taught_mad": seen.matte, "kept_mad": seen.mask}
    means = {name: float((share * (label - seen.truth).abs()).sum()) / total for name, label in errors.items()}
    return {"share": float(share.mean())} | means


@dataclass(frozen=True)
class Judged:
    """One label's means over photos, and the difference of its SAD and MSE to the mask's, with intervals."""

    label: str
    means: dict[str, float]
    sad: Interval
    mse: Interval


def judged(errors: pd.DataFrame) -> list[Judged]:
    """The rows of `label_errors` as means over photos, the lowest SAD first.

    The intervals of the differences hold for all labels together (`bench.statistics.simultaneous`).
    """
    names = list(errors["label"].unique())
    means = errors.drop(columns="image").groupby("label").mean()
    found = {}
    for measure in ("sad", "mse"):
        values = errors.pivot_table(measure, "image", "label")[names]
        found[measure] = simultaneous(values.to_numpy() - values[[MASK]].to_numpy())
    rows: list[dict[str, Any]] = [{str(k): float(v) for k, v in means.loc[name].items()} for name in names]
    result = [Judged(*one) for one in zip(names, rows, found["sad"], found["mse"], strict=True)]
    return sorted(result, key=lambda label: label.means["sad"])


def table(labels: list[Judged], best: int) -> rich.table.Table:
    """The mask, the teacher's matte and the `best` blends that take anything from the teacher, a line each."""
    form = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    form.add_column("label", no_wrap=True)
    columns = ("SAD", "against the mask", "MSE e-3", "against the mask", "Grad", "SAD unknown", "MSE e-3 unknown",
               "median e-3 outside the edge", "inside", "A %", "MAD in A: teacher", "mask")  # fmt: skip
    for heading in columns:
        form.add_column(heading, justify="right", no_wrap=True)
    plain = [label for label in labels if label.label in (MASK, TEACHER)]
    for label in plain + [label for label in labels if label.means.get("share", 0) > 0][:best]:
        mean, of = label.means, next(one.means for one in plain if one.label == MASK)
        form.add_row(
            label.label,
            f"{mean['sad']:.3f}",
            _change(label.sad, of["sad"]),
            f"{1e3 * mean['mse']:.2f}",
            _change(label.mse, of["mse"]),
            f"{mean['grad']:.2f}",
            f"{mean['unknown_sad']:.3f}",
            f"{1e3 * mean['unknown_mse']:.1f}",
            *(f"{1e3 * mean[side]:+.0f}" if side in mean else "" for side in ("outside", "inside")),
            *(_cell(mean.get(key, np.nan) * factor, digits) for key, factor, digits in
              (("share", 100, 1), ("taught_mad", 1, 3), ("kept_mad", 1, 3))),
        )  # fmt: skip
    return form


def summary(labels: list[Judged]) -> str:
    """A summary of the labels in one or two sentences."""
    tried = [label for label in labels if label.label not in (MASK, TEACHER)]
    idle = [label for label in tried if not label.means["share"]]
    better = [label for label in tried if label.sad.high < 0]
    said = f"{len(better)} of {len(tried)} blends have a significantly lower SAD than the mask."
    if idle:
        said += (
            f" {len(idle)} take nothing from the teacher, whose boundary output stays below their thresholds, so they "
            "equal the mask."
        )
    return said


def _change(difference: Interval, base: float) -> str:
    if not (difference.mean or difference.low or difference.high):
        return ""
    if not base:
        return f"{difference.mean:+.3g}"
    return f"{difference.mean / base:+.1%} [{difference.low / base:+.1%}, {difference.high / base:+.1%}]"


def _cell(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"
