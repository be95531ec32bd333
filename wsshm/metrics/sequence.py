"""The temporal error of a video's mattes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError
from wsshm.metrics.conventions import convention_named
from wsshm.metrics.inputs import as_image, clipped


def dtssd(
    matte: NDArray[np.floating],
    previous_matte: NDArray[np.floating],
    label: NDArray[np.floating],
    previous_label: NDArray[np.floating],
    convention: str = "p3m",
) -> float:
    """dtSSD of a frame against the one before it, all HxW: root of the mean squared difference of their changes.

    sqrt(mean(((matte - previous_matte) - (label - previous_label))^2)) (Erofeev et al. 2015, as Robust Video Matting
    computes it; convention `rvm` prints 100 times that). A clip's value is the mean over its frames but the first.
    Raises UserError for differing shapes, values outside [0,1] by more than rounding, and NaN.
    """
    given = {"matte": matte, "previous matte": previous_matte, "label": label, "previous label": previous_label}
    frames = [clipped(as_image(frame, name), name) for name, frame in given.items()]
    if len({frame.shape for frame in frames}) > 1:
        sizes = ", ".join(" x ".join(map(str, frame.shape)) for frame in frames)
        raise UserError(f"dtSSD needs four frames of one size, not {sizes}; resize the mattes to their labels")
    now, before, true, true_before = (frame.astype(np.float64) for frame in frames)
    change = (now - before) - (true - true_before)
    return math.sqrt(float(np.square(change).mean())) * convention_named(convention).dtssd_factor
