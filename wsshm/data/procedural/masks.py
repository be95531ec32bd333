"""Labels made from exact alpha: a trimap, and masks of the annotator of earlier releases (`annotator` has today's)."""

from __future__ import annotations

import cv2
import numpy as np

from wsshm.data.procedural.texture import Array


def annotate(rng: np.random.Generator, alpha: Array, coarseness: float = 1.0) -> Array:
    """A mask (H, W) of 0 and 255 as an annotator clicks it: a jittered polygon without wisps of hair or holes.

    What findings of earlier releases were measured with; its radii are whole pixels, so that pictures of another size have
    other masks.
    `alpha` is 8-bit (H, W). `coarseness` scales the polygon's tolerance, the clicks' jitter, the size of the details
    that are left out and the outline's bias; 0 follows alpha >= 0.5 and only fills its holes. The same `rng` gives
    the same annotator at every coarseness.
    """
    side = min(alpha.shape)
    solid: Array = (alpha > 127).astype(np.uint8)
    tolerance = rng.uniform(0.008, 0.018) * side * coarseness
    bias = int(rng.integers(-1, 2)) * round(side / 128 * coarseness)
    filled = _fill(solid, _outlines(solid))
    if coarseness > 0:
        disc = _disc(max(1, round(0.016 * side * coarseness)))
        filled = np.asarray(cv2.morphologyEx(filled, cv2.MORPH_OPEN, disc))
    polygons = []
    for outline in _outlines(filled):
        jitter = rng.normal(0, 1, (len(outline), 1, 2))
        if coarseness > 0 and cv2.contourArea(outline) < 0.0006 * side * side:
            continue
        clicks = cv2.approxPolyDP(outline, tolerance, True)
        polygons.append(np.round(clicks + 0.004 * side * coarseness * jitter[: len(clicks)]).astype(np.int32))
    mask = _fill(np.zeros_like(solid), polygons)
    if bias:
        grow = cv2.dilate if bias > 0 else cv2.erode
        mask = np.asarray(grow(mask, _disc(abs(bias))))
    return mask * np.uint8(255)


def trimap(alpha: Array) -> Array:
    """A trimap (H, W) of 0, 128 (unknown) and 255 from 8-bit alpha.

    Unknown is 0.05 < alpha < 0.95 dilated by an ellipse of radius max(1, round(0.02 x shorter side)).
    """
    share = alpha.astype(np.float32) / 255
    unknown = ((share > 0.05) & (share < 0.95)).astype(np.uint8)
    near = cv2.dilate(unknown, _disc(max(1, round(0.02 * min(alpha.shape)))))
    known = np.where(share > 0.5, 255, 0)
    return np.where(near > 0, 128, known).astype(np.uint8)


def _disc(radius: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _outlines(mask: Array) -> list[Array]:
    return list(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])


def _fill(mask: Array, polygons: list[Array]) -> Array:
    for polygon in polygons:
        cv2.fillPoly(mask, [polygon], 1)
    return mask
