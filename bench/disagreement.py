"""Trained teachers compared with the masks of photos: rows of the store by which `wsshm report labels` ranks photos.

A teacher has seen no mask. Where it and a mask differ far from the mask's edge, one of the two is grossly wrong; where
its matte is soft along the edge, there is detail that a mask cannot show. Both are kept of every photo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.store import TEACHER, Store
from wsshm.console import track
from wsshm.data import pictures
from wsshm.data.manifest import Manifest
from wsshm.errors import UserError
from wsshm.metrics.scores import POINTWISE, RegionScores, summed_image
from wsshm.metrics.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from wsshm.models.checkpoint import load_model
from wsshm.prediction.forward import pick_device, predict_matte
from wsshm.prediction.protocols import Short

REGIONS = ("whole", "unknown")  # the rest is their difference
BAND = 0.04  # radius of `unknown` around a mask's edge, of the shorter side


def held_against_masks(
    teacher: Path, address: str, photos: Manifest, dataset: str, *, device: str = "auto"
) -> list[dict[str, Any]]:
    """Rows of the table `scores` for a saved teacher, its stage's `address`, and every photo's mask.

    One forward pass a photo, its shorter side at the training size; SAD, MSE, MAD and IoU over the whole photo and over
    the band along the mask's edge (region `unknown`). Raises UserError where a mask's size is not its photo's.
    """
    if not len(photos):
        return []
    place = pick_device(device)
    network, card = load_model(teacher)
    network, rule = network.to(place), Short(card.size)
    rows = []
    for sample in track(photos.in_turn(), len(photos), f"comparing a teacher with the masks of {dataset}"):
        with photos.told_by_address(sample):
            image = pictures.read_image(photos.path(sample, "image"))
            mask = pictures.read_mask(photos.path(sample, "mask"))
            pictures.check_same_size(image, mask, photos.path(sample, "mask"))
        matte = predict_matte(network, image, rule, device=place).matte
        key = {"run_id": TEACHER + address, "dataset": dataset, "image": sample.id}
        common = key | {"protocol": str(rule), "truth": "mask", "quantised": "none"}
        rows += [common | row for row in _regions(matte, mask)]
    return rows


def judged(store: Store, address: str, dataset: str) -> set[str]:
    """The photos of `dataset` that the store holds a teacher's rows of. Reads those rows alone, not the whole table.

    A damaged store holds none, as far as can be known: what a teacher says once more does no harm.
    """
    if not store.exists():
        return set()
    try:
        rows = store.read("scores", ["dataset", "image"], runs=(TEACHER + address,))
    except UserError:
        return set()
    return set(rows.loc[rows["dataset"] == dataset, "image"])


def edge_trimap(mask: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """A mask (H,W) of 0 and 1 as a trimap: unknown within `radius` pixels of the other side of its edge."""
    reach = sum(
        cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) if side.min() == 0 else side * float(radius + 1)
        for side in (mask, 1 - mask)
    )
    return np.where(reach <= radius, UNKNOWN, np.where(mask, FOREGROUND, BACKGROUND)).astype(np.uint8)


def _regions(matte: NDArray[np.float32], mask: NDArray[np.uint8]) -> list[dict[str, Any]]:
    radius = max(1, round(BAND * min(mask.shape)))
    trimap = edge_trimap(mask, radius)
    sums, _ = summed_image(matte, mask.astype(np.float32), trimap, "p3m", set(REGIONS), grad=False, conn=False)
    rules = sums.rules

    def values(region: str) -> dict[str, Any]:
        return {measure: sums.value(measure, region) for measure in POINTWISE}

    return [
        RegionScores(
            region,
            rules.name,
            rules.version,
            radius if region == "unknown" else None,
            **values(region),
        ).as_row()
        for region in REGIONS
    ]
