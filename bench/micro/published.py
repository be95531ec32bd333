"""What the published code of every convention computes, written down slowly and plainly: what our measures are held to.

Images are HxW NumPy arrays and regions are HxW arrays of truth values. Nothing here is shared with wsshm.metrics. All is
in float64 where the published code does not depend on less.
"""

from __future__ import annotations

import math

import numpy as np

Image = np.ndarray

SIGMA = 1.4  # of the Gaussian whose derivatives Grad takes
REGIONS = ("whole", "unknown", "boundary", "foreground", "background")
MEASURES = ("sad", "mse", "mad", "grad", "conn", "iou")


# The sums and means


def total(terms: Image, region: Image) -> float:
    return math.fsum(terms[region])


def mean(terms: Image, region: Image) -> float | None:
    return total(terms, region) / region.sum() if region.any() else None


def iou(matte: Image, label: Image) -> float:
    both = (matte >= 0.5) & (label >= 0.5)
    either = (matte >= 0.5) | (label >= 0.5)
    return both.sum() / either.sum() if either.any() else 1.0


def overwritten(matte: Image, trimap: Image) -> Image:
    """The matte with P3M's rule for the unknown region: 1 where the trimap is 255, 0 where it is 0."""
    result = matte.copy()
    result[trimap == 255] = 1.0
    result[trimap == 0] = 0.0
    return result


# Grad


def p3m_kernel() -> Image:
    """13 x 13: across, the derivative of a Gaussian whose taps sum to 1; down, that Gaussian."""
    taps = np.arange(-6, 7)  # int(4 sigma + 0.5) = 6
    smooth = np.exp(-(taps**2) / (2 * SIGMA**2))
    smooth /= smooth.sum()
    return np.outer(smooth, taps / SIGMA**2 * smooth)


def dim_kernel() -> Image:
    """9 x 9: the same up to a factor, cut where the Gaussian falls below 0.01, and of L2 norm 1."""
    half = math.ceil(SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * SIGMA * 1e-2)))
    taps = np.arange(-half, half + 1)
    gaussian = np.exp(-(taps**2) / (2 * SIGMA**2)) / (SIGMA * math.sqrt(2 * math.pi))
    kernel = np.outer(gaussian, taps / SIGMA**2 * gaussian)
    return kernel / math.sqrt((kernel**2).sum())


def correlated(alpha: Image, kernel: Image, border: str) -> Image:
    """The sum over all taps of tap x shifted image; `border` is a mode of np.pad."""
    height, width = alpha.shape
    padded = np.pad(alpha, len(kernel) // 2, mode=border)  # type: ignore[call-overload]
    result = np.zeros_like(alpha)
    for y, x in np.ndindex(kernel.shape):
        result += kernel[y, x] * padded[y : y + height, x : x + width]
    return result


def gradient_magnitude(alpha: Image, kernel: Image, border: str) -> Image:
    across, down = correlated(alpha, kernel, border), correlated(alpha, kernel.T, border)
    return np.sqrt(across**2 + down**2)


def normalised(alpha: Image) -> Image:
    low, high = alpha.min(), alpha.max()
    return (alpha - low) / (high - low) if high > low else np.zeros_like(alpha)


def gradient_terms(matte: Image, label: Image, convention: str) -> Image:
    if convention == "p3m":
        p, g = (gradient_magnitude(alpha, p3m_kernel(), "symmetric") for alpha in (matte, label))
        return (p - g) ** 2 / 10
    if convention in ("dim", "rvm-lr"):
        matte, label = normalised(matte), normalised(label)
    p, g = (gradient_magnitude(alpha, dim_kernel(), "edge") for alpha in (matte, label))
    return (p - g) ** 2 / 1000


# Conn


def connectivity_terms(matte: Image, label: Image, convention: str, skips_empty: bool = False) -> Image:
    """Each pixel's part of Conn, by the thresholds and the level map of the convention's code.

    A threshold that no pixel of both reaches leaves all pixels out, as in Deep Image Matting's code. With `skips_empty`
    it leaves none out, as in P3M's, which our measures do not copy: all that such a prediction lacks would be forgiven.
    """
    tenths: Image = np.array([i / 10 for i in range(11)])
    thresholds: Image = np.arange(0, 1.1, 0.1) if convention == "p3m" else tenths
    level: Image = np.ones(label.shape, dtype=np.float32 if convention == "p3m" else np.float64)
    p, g = matte, label
    if convention.startswith("rvm"):
        thresholds, p, g = thresholds.astype(np.float32), p.astype(np.float32), g.astype(np.float32)
    inside = np.ones(label.shape, dtype=bool)  # pixels that no threshold has left out so far
    for i in range(1, 11):
        source = largest_component((p >= thresholds[i]) & (g >= thresholds[i]))
        if skips_empty and not source.any():
            continue
        leaves = inside & ~source
        level[leaves] = tenths[i - 1] if convention.startswith("rvm") else thresholds[i - 1]
        inside &= source
    return np.abs(phi(matte, level) - phi(label, level)) / 1000


def phi(alpha: Image, level: Image) -> Image:
    distance = alpha - level
    return np.where(distance >= 0.15, 1 - distance, 1.0)


def largest_component(region: Image) -> Image:
    """The largest 4-connected part of `region`; of equal ones the one that reading order meets first."""
    across = region.shape[1] + 2
    left = np.pad(region, 1).ravel().tolist()  # a rim of False, so that every pixel has four neighbours
    largest: list[int] = []
    for start in range(len(left)):
        if not left[start]:
            continue
        left[start] = False
        component = [start]
        for pixel in component:  # grows while it is walked
            for near in (pixel - across, pixel - 1, pixel + 1, pixel + across):
                if left[near]:
                    left[near] = False
                    component.append(near)
        if len(component) > len(largest):
            largest = component
    result = np.zeros(len(left), dtype=bool)
    result[largest] = True
    return result.reshape(-1, across)[1:-1, 1:-1]


# Trimap, and all measures of all regions


def derived_trimap(label: Image) -> tuple[Image, int]:
    """(trimap, radius): the boundary 0.05 < alpha < 0.95 dilated by OpenCV's ellipse of the radius."""
    label = np.array(label, dtype=np.float64)
    height, width = label.shape
    radius = max(1, round(0.02 * min(label.shape)))
    padded = np.pad((label > 0.05) & (label < 0.95), radius)
    unknown = np.zeros(label.shape, dtype=bool)
    for dy in range(-radius, radius + 1):
        half = round(radius * math.sqrt(1 - (dy / radius) ** 2))
        for dx in range(-half, half + 1):
            unknown |= padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
    return np.where(unknown, 128, np.where(label >= 0.95, 255, 0)).astype(np.uint8), radius


def score(
    matte: Image, label: Image, trimap: Image | None = None, convention: str = "p3m"
) -> dict[str, dict[str, float | None]]:
    """{region: {measure: value}} in the convention's units, with None for what is not defined."""
    matte, label = np.array(matte, dtype=np.float64), np.array(label, dtype=np.float64)
    if trimap is None:
        trimap, _ = derived_trimap(label)
    regions = {
        "whole": np.ones(label.shape, dtype=bool),
        "unknown": trimap == 128,
        "boundary": (label > 0.05) & (label < 0.95),
        "foreground": trimap == 255,
        "background": trimap == 0,
    }
    grad, conn = gradient_terms(matte, label, convention), connectivity_terms(matte, label, convention)
    absolute, squared = np.abs(matte - label), (matte - label) ** 2
    scores: dict[str, dict[str, float | None]] = {}
    for name, region in regions.items():
        scores[name] = {
            "sad": total(absolute, region) / 1000,
            "mse": mean(squared, region),
            "mad": mean(absolute, region),
            "grad": total(grad, region),
            "conn": total(conn, region),
            "iou": iou(matte, label) if name == "whole" else None,
        }
    if convention == "p3m":
        scores["unknown"] |= p3m_unknown(matte, label, trimap)
    scores["boundary"] = {**dict.fromkeys(MEASURES), "mad": scores["boundary"]["mad"]}
    if convention.startswith("rvm"):
        for of_region in scores.values():
            of_region["sad"] = None
            for measure in ("mse", "mad"):
                value = of_region[measure]
                of_region[measure] = None if value is None else value * 1000
    return scores


def p3m_unknown(matte: Image, label: Image, trimap: Image) -> dict[str, float | None]:
    """SAD of the overwritten matte over the whole image; MSE and MAD the same sums over the number of unknown pixels."""
    error = overwritten(matte, trimap) - label
    unknown = (trimap == 128).sum()
    return {
        "sad": math.fsum(np.abs(error).ravel()) / 1000,
        "mse": math.fsum((error**2).ravel()) / unknown if unknown else None,
        "mad": math.fsum(np.abs(error).ravel()) / unknown if unknown else None,
    }


# Sequences and contours


def dtssd(matte: Image, previous_matte: Image, label: Image, previous_label: Image, convention: str = "p3m") -> float:
    p, p_before, g, g_before = (np.array(a, dtype=np.float64) for a in (matte, previous_matte, label, previous_label))
    value = math.sqrt(math.fsum((((p - p_before) - (g - g_before)) ** 2).ravel()) / p.size)
    return value * 100 if convention.startswith("rvm") else value


def boundary_f(matte: Image, label: Image) -> float:
    """Perazzi et al. 2016: F of the contours' pixels, matched within 0.008 diagonals, rounded up to whole pixels."""
    height, width = label.shape
    tolerance = 0
    while (125 * tolerance) ** 2 < height**2 + width**2:  # 0.008 = 1 / 125
        tolerance += 1
    predicted, true = contour(matte >= 0.5), contour(label >= 0.5)
    if not predicted.any() and not true.any():
        return 1.0
    if not predicted.any() or not true.any():
        return 0.0
    precision = (predicted & within(tolerance, true)).sum() / predicted.sum()
    recall = (true & within(tolerance, predicted)).sum() / true.sum()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: Image) -> Image:
    """Pixels whose east, south or south-east neighbour differs; beyond the border the border's own pixels repeat."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    east, south, south_east = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask != east) | (mask != south) | (mask != south_east)


def within(distance: int, pixels: Image) -> Image:
    """Where one of `pixels` lies within the distance, as the crow flies."""
    height, width = pixels.shape
    padded = np.pad(pixels, distance)
    near = np.zeros_like(pixels)
    for dy in range(-distance, distance + 1):
        for dx in range(-distance, distance + 1):
            if dy**2 + dx**2 <= distance**2:
                near |= padded[distance + dy : distance + dy + height, distance + dx : distance + dx + width]
    return near
