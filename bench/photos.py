"""Photos that int8 is calibrated on, and that an engine's mattes are compared on before it is timed."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsshm.data import pictures
from wsshm.data.manifest import Manifest
from wsshm.data.procedural.pictures import draw_photo, plan_photo
from wsshm.errors import UserError

CALIBRATION = 32
"""Photos that int8 is calibrated on, at most."""
DRAWN = 384  # px: larger ones would take seconds to draw, and are enlarged


def drawn(count: int, height: int, width: int) -> torch.Tensor:
    """The first photos of the embedded set's kind, from fixed seeds: count x 3 x H x W float32 in [0, 1]."""
    side = min(DRAWN, max(height, width))
    return _stacked(
        [draw_photo(plan_photo(np.random.default_rng(seed)), side)[0] for seed in range(count)], height, width
    )


def of_manifest(place: str, height: int, width: int) -> torch.Tensor:
    """Up to `CALIBRATION` validation photos of a manifest, spread over it, as those of `drawn`.

    UserError for a manifest without any, or a photo that cannot be read.
    """
    manifest = Manifest.read(place).where(lambda sample: sample.split == "val" and sample.image is not None)
    if not len(manifest):
        raise UserError(f"the manifest {place} has no validation photo to calibrate int8 on; give one with --split val")
    places = np.linspace(0, len(manifest) - 1, min(len(manifest), CALIBRATION)).round().astype(int)
    chosen = [manifest.samples[place] for place in places]
    return _stacked([pictures.read_image(manifest.path(sample, "image")) for sample in chosen], height, width)


def _stacked(photos: list[NDArray[np.uint8]], height: int, width: int) -> torch.Tensor:
    """Photos stretched to one size, as floats."""
    sized = [cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA) for photo in photos]
    return (torch.from_numpy(np.stack(sized)).permute(0, 3, 1, 2).float() / 255).contiguous()
