"""A simulated annotator who draws masks of a grade (`wsshm.grades`): as far from the truth as that grade's are said to be.

All lengths are shares of the picture's shorter side, and outlines are drawn between pixels: a picture of twice the size has
the same mask. The numbers of `HANDS` are ours, chosen so that masks of the embedded set's photos have their grade's IoU with
the drawn truth at 128 and at 192 px; nobody published how such errors lie along an outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wsshm.data.procedural.texture import Array

VERSION = 1  # part of every drawn mask's identity: raise it whenever masks change
FINEST = 512  # px: outlines are drawn with at least so many along the shorter side, and then shrunk
WAVES = 10  # along each side of a picture, of how a model's outline strays
SUBPIXEL = 4  # bits


@dataclass(frozen=True)
class Hand:
    """How an annotator errs, in shares of the shorter side.

    `detail` is the radius of what is left out (fingers, wisps of hair), `tolerance` how far a polygon's side may run from
    the outline, `jitter` the standard deviation of a click, `lean` that over pictures of how far an outline lies outside or
    inside. `stray` is a model's in place of clicks: the standard deviation of a smooth displacement, corners being rounded
    by `tolerance`.
    """

    detail: float
    tolerance: float
    jitter: float
    lean: float
    stray: float = 0.0


HANDS = {
    "clicks": Hand(detail=0.0198, tolerance=0.0132, jitter=0.0, lean=0.0066, stray=0.0149),
    "polygon": Hand(detail=0.0312, tolerance=0.0286, jitter=0.0091, lean=0.0143),
    "fine": Hand(detail=0.0168, tolerance=0.0168, jitter=0.0056, lean=0.0084),
    "expert": Hand(detail=0.005, tolerance=0.0063, jitter=0.0019, lean=0.0025),
}


def draw(rng: np.random.Generator, alpha: Array, grade: str) -> Array:
    """A mask (H, W) of 0 and 255 of a grade, after 8-bit alpha (H, W), whose person is where it is above 127.

    Holes are filled. The same `rng` gives an annotator who leans and strays to the same side at every grade. Only an alpha
    without a person gives a mask without one.
    """
    hand = HANDS[grade]
    height, width = alpha.shape
    finer = max(1.0, FINEST / min(height, width))
    large = cv2.resize(alpha, (round(width * finer), round(height * finer)), interpolation=cv2.INTER_LINEAR)
    whole = _filled(_outlines((large > 127).astype(np.uint8)), large.shape)
    if not whole.any():
        return np.zeros_like(alpha)
    side = min(large.shape)
    lean, strays = rng.normal(), rng.normal(size=(WAVES, WAVES)).astype(np.float32)
    kept = _opened(whole, hand.detail * side)
    if hand.stray:
        rounded = cv2.GaussianBlur(_signed(kept), (0, 0), hand.tolerance * side)
        waves = cv2.resize(strays, large.shape[::-1], interpolation=cv2.INTER_CUBIC)
        outline = rounded + hand.stray * side * waves
    else:
        outline = _signed(_clicked(rng, kept, hand, side))
    mask = _shrunk(outline + lean * hand.lean * side > 0, alpha)
    return mask if mask.any() else _shrunk(whole > 0, alpha)


def _clicked(rng: np.random.Generator, kept: Array, hand: Hand, side: int) -> Array:
    """The polygons of an annotator who clicks along the outlines."""
    mask = np.zeros_like(kept)
    for outline in _outlines(kept):
        clicks = cv2.approxPolyDP(outline, hand.tolerance * side, True).astype(np.float64)
        clicks += hand.jitter * side * rng.normal(size=clicks.shape)
        cv2.fillPoly(mask, [np.round(clicks * (1 << SUBPIXEL)).astype(np.int32)], 1, shift=SUBPIXEL)
    return mask


def _signed(mask: Array) -> Array:
    """Distance in px to the outline, positive inside."""
    if mask.all() or not mask.any():
        return np.where(mask > 0, np.float32(max(mask.shape)), -np.float32(max(mask.shape)))
    inside, outside = (cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (mask, 1 - mask))
    return np.where(mask > 0, inside - 0.5, 0.5 - outside).astype(np.float32)


def _opened(mask: Array, radius: float) -> Array:
    """Without what a disc of `radius` px does not fit into; as it is where nothing would be left."""
    core = (_signed(mask) > radius).astype(np.uint8)
    return (_signed(core) > -radius).astype(np.uint8) if core.any() else mask


def _shrunk(mask: Array, like: Array) -> Array:
    """A mask at the size of `like`: 255 where at least half of a pixel is."""
    share = cv2.resize(mask.astype(np.uint8) * np.uint8(255), like.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.where(share > 127, 255, 0).astype(np.uint8)


def _outlines(mask: Array) -> list[Array]:
    return list(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])


def _filled(outlines: list[Array], shape: tuple[int, ...]) -> Array:
    mask = np.zeros(shape, np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [outline], 1)
    return mask
