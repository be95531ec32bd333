"""The gradient error (Rhemann et al. 2009), convention `p3m`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
SIGMA = 1.4
TRUNCATE = 4.0  # in sigmas: 13 taps
SCALE = 10.0


def gradient_error_map(matte: Array, label: Array) -> Array:
    """Each pixel's share of Grad, HxW: (|grad matte| - |grad label|)^2 / 10. Its sum is the measure.

    First-order Gaussian derivatives with sigma 1.4, border reflected about the pixels' edge; unlike in convention
    `dim` neither the mattes nor the kernel are normalised.
    """
    return np.square(_magnitude(matte) - _magnitude(label)) / SCALE


def _magnitude(matte: Array) -> Array:
    down, across = (
        ndimage.gaussian_filter(matte, SIGMA, order=order, mode="reflect", truncate=TRUNCATE)
        for order in ((1, 0), (0, 1))
    )
    return np.hypot(down, across)
