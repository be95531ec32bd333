"""The measures as public evaluation scripts compute them: the baseline of `wsshm bench micro metrics`.

Convention p3m, but for the one fault that the measures' own definition mends: a threshold without a component empties
the source region. Ten labellings of the whole image and four Gaussian filters, in NumPy throughout. P3M's own script
also builds the properties of every component to find the largest, and at every threshold a distance transform that it
does not use; `published` adds both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from wsshm.errors import UserError

try:
    from skimage.measure import label as components
    from skimage.measure import regionprops
except ImportError:
    raise UserError("this benchmark needs scikit-image; pip install '.[micro]'") from None

Array = NDArray[np.float64]


def measures(matte: Array, label: Array, published: bool = False) -> dict[str, float]:
    """SAD, MSE, MAD, Grad and Conn of two HxW mattes over the whole image."""
    return {
        "sad": float(np.abs(matte - label).sum() / 1000),
        "mse": float(((matte - label) ** 2).mean()),
        "mad": float(np.abs(matte - label).mean()),
        "grad": float(((_magnitude(matte) - _magnitude(label)) ** 2).sum() / 10),
        "conn": connectivity(matte, label, published),
    }


def _magnitude(alpha: Array) -> Array:
    down, across = gaussian_filter(alpha, 1.4, order=(1, 0)), gaussian_filter(alpha, 1.4, order=(0, 1))
    magnitude: Array = np.sqrt(down**2 + across**2)
    return magnitude


def connectivity(matte: Array, label: Array, published: bool = False) -> float:
    """Conn of two HxW mattes over the whole image."""
    level = -np.ones_like(label, dtype=np.float32)
    thresholds = np.arange(0, 1.1, 0.1)
    for step in range(1, 11):
        parts = components((matte >= thresholds[step]) & (label >= thresholds[step]), connectivity=1)
        if published:
            source = _source_by_properties(parts)
        else:
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            source = (parts == sizes.argmax()) & (parts > 0)
        level[(level == -1) & ~source] = thresholds[step - 1]
    level[level == -1] = 1
    p, g = matte - level, label - level
    return float(np.abs((1 - p * (p >= 0.15)) - (1 - g * (g >= 0.15))).sum() / 1000)


def _source_by_properties(parts: NDArray[np.int64]) -> NDArray[np.bool_]:
    source = np.zeros(parts.shape, dtype=bool)
    found = regionprops(parts)
    if found:
        largest = found[int(np.argmax([component.area for component in found]))]
        source[tuple(largest.coords.T)] = True
        distance_transform_edt(~source)
    return source
