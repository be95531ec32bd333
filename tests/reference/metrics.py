"""The measures of convention `p3m` written down pixel by pixel from their definitions: slow and obvious.

Images are lists or arrays of rows; nothing here is shared with wsshm.metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Image = np.ndarray
Pixel = tuple[int, int]


def pixels(image: Image) -> list[Pixel]:
    height, width = image.shape
    return [(y, x) for y in range(height) for x in range(width)]


def sad(matte: Image, label: Image, region: Sequence[Pixel]) -> float:
    return math.fsum(abs(matte[p] - label[p]) for p in region) / 1000


def mad(matte: Image, label: Image, region: Sequence[Pixel]) -> float:
    return math.fsum(abs(matte[p] - label[p]) for p in region) / len(region)


def mse(matte: Image, label: Image, region: Sequence[Pixel]) -> float:
    return math.fsum((matte[p] - label[p]) ** 2 for p in region) / len(region)


def iou(matte: Image, label: Image) -> float:
    both = sum(matte[p] >= 0.5 and label[p] >= 0.5 for p in pixels(label))
    either = sum(matte[p] >= 0.5 or label[p] >= 0.5 for p in pixels(label))
    return both / either if either else 1.0


def overwritten(matte: Image, trimap: Image) -> Image:
    """The matte with P3M's rule for the unknown region: 1 where the trimap is 255, 0 where it is 0."""
    result = np.array(matte, dtype=float)
    for p in pixels(result):
        if trimap[p] == 255:
            result[p] = 1.0
        if trimap[p] == 0:
            result[p] = 0.0
    return result


def gradient_terms(matte: Image, label: Image) -> Image:
    terms = np.zeros(label.shape)
    for p in pixels(label):
        terms[p] = (gradient_magnitude(matte, p) - gradient_magnitude(label, p)) ** 2 / 10
    return terms


def gradient_magnitude(alpha: Image, at: Pixel, sigma: float = 1.4) -> float:
    """|gradient| by a 2-D sum over the 13 x 13 neighbours with the derivatives of a Gaussian as weights."""
    radius = int(4 * sigma + 0.5)
    taps = range(-radius, radius + 1)
    total = sum(math.exp(-(k**2) / (2 * sigma**2)) for k in taps)
    smooth = {k: math.exp(-(k**2) / (2 * sigma**2)) / total for k in taps}
    slope = {k: k / sigma**2 * smooth[k] for k in taps}
    height, width = alpha.shape
    down = across = 0.0
    for dy in taps:
        for dx in taps:
            value = alpha[reflected(at[0] + dy, height), reflected(at[1] + dx, width)]
            down += slope[dy] * smooth[dx] * value
            across += smooth[dy] * slope[dx] * value
    return math.sqrt(down**2 + across**2)


def reflected(index: int, size: int) -> int:
    """The border rule d c b a | a b c d | d c b a."""
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index


def connectivity_terms(matte: Image, label: Image) -> Image:
    thresholds = [i / 10 for i in range(11)]
    sources = [largest_component({p for p in pixels(label) if matte[p] >= t and label[p] >= t}) for t in thresholds[1:]]
    terms = np.zeros(label.shape)
    for p in pixels(label):
        level = 1.0
        for below, source in zip(thresholds, sources, strict=False):
            if p not in source:
                level = below
                break
        terms[p] = abs(phi(matte[p], level) - phi(label[p], level)) / 1000
    return terms


def phi(alpha: float, level: float) -> float:
    distance = alpha - level
    return 1 - distance if distance >= 0.15 else 1.0


def largest_component(region: set[Pixel]) -> set[Pixel]:
    """The largest 4-connected part of `region`; of equal ones the one that reading order meets first."""
    largest: set[Pixel] = set()
    left = set(region)
    for start in sorted(region):
        if start not in left:
            continue
        left.remove(start)
        component, edge = {start}, [start]
        while edge:
            y, x = edge.pop()
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    component.add(near)
                    edge.append(near)
        if len(component) > len(largest):
            largest = component
    return largest


def derived_trimap(label: Image) -> tuple[Image, int]:
    """(trimap, radius): the boundary 0.05 < alpha < 0.95 dilated by OpenCV's ellipse of the radius."""
    radius = max(1, round(0.02 * min(label.shape)))
    fractional = {p for p in pixels(label) if 0.05 < label[p] < 0.95}
    trimap = np.zeros(label.shape, dtype=np.uint8)
    for p in pixels(label):
        y, x = p
        near = (
            (y + dy, x + dx)
            for dy in range(-radius, radius + 1)
            for half in [round(radius * math.sqrt(1 - (dy / radius) ** 2))]
            for dx in range(-half, half + 1)
        )
        trimap[p] = 128 if any(q in fractional for q in near) else 255 if label[p] >= 0.95 else 0
    return trimap, radius


def score(matte: Image, label: Image, trimap: Image | None) -> dict[str, dict[str, float | None]]:
    """{region: {measure: value}} with the absent ones as None."""
    everything = pixels(label)
    if trimap is None:
        trimap, _ = derived_trimap(label)
    unknown = [p for p in everything if trimap[p] == 128]
    fractional = [p for p in everything if 0.05 < label[p] < 0.95]
    known = overwritten(matte, trimap)
    grad, conn = gradient_terms(matte, label), connectivity_terms(matte, label)
    share = len(everything) / len(unknown) if unknown else None
    return {
        "whole": {
            "sad": sad(matte, label, everything),
            "mse": mse(matte, label, everything),
            "mad": mad(matte, label, everything),
            "grad": math.fsum(grad[p] for p in everything),
            "conn": math.fsum(conn[p] for p in everything),
            "iou": iou(matte, label),
        },
        "unknown": {
            "sad": sad(known, label, everything),
            "mse": mse(known, label, everything) * share if share else None,
            "mad": mad(known, label, everything) * share if share else None,
            "grad": math.fsum(grad[p] for p in unknown),
            "conn": math.fsum(conn[p] for p in unknown),
            "iou": None,
        },
        "boundary": {
            **dict.fromkeys(("sad", "mse", "grad", "conn", "iou")),
            "mad": mad(matte, label, fractional) if fractional else None,
        },
    }
