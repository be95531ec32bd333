"""Mattes to measure: drawn by hypothesis, and one with the shape of a person."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from hypothesis import strategies as st

from wsshm.metrics import RegionScores, score

Array = np.ndarray
CONVENTIONS = ("p3m", "dim", "rvm", "rvm-lr")
VERSIONS = {"p3m": "p3m-2", "dim": "dim-1", "rvm": "rvm-2", "rvm-lr": "rvm-lr-2"}
ERRORS = ("sad", "mse", "mad", "grad", "conn")


def by_region(
    matte: Array, label: Array, trimap: Array | None = None, convention: str = "p3m"
) -> dict[str, RegionScores]:
    return {scores.region: scores for scores in score(matte, label, trimap, convention=convention)}


def errors(scores: RegionScores) -> dict[str, float]:
    """The errors that are defined."""
    return {measure: value for measure in ERRORS if (value := getattr(scores, measure)) is not None}


def person(height: int, width: int, seed: int = 0) -> Array:
    """A person-shaped matte: head and shoulders with a soft outline, and hair as thin curved strokes around the head."""
    rng = np.random.default_rng(seed)
    body: Array = np.zeros((height, width))
    centre, radius = (round(0.5 * width), round(0.36 * height)), max(1, round(0.17 * height))
    cv2.circle(body, centre, radius, 1.0, -1)
    cv2.ellipse(body, (centre[0], height), (round(0.36 * width), round(0.5 * height)), 0, 180, 360, 1.0, -1)
    body = cv2.GaussianBlur(body, (0, 0), 0.006 * height + 0.1)
    hair = np.zeros((height, width), dtype=np.uint8)
    for angle in rng.uniform(-np.pi, 0, 120):
        bends = angle + rng.normal(0, 0.25, 3).cumsum()
        reach = radius * np.array([0.8, 1.0, 1.2]) + rng.uniform(0, 0.7) * radius * np.array([0, 0.6, 1])
        points = np.array(centre) + reach[:, None] * np.stack([np.cos(bends), np.sin(bends)], axis=1)
        cv2.polylines(
            hair, [np.rint(16 * points).astype(np.int32)], False, int(rng.integers(60, 256)), 1, cv2.LINE_AA, 4
        )
    return np.maximum(body, hair / 255).clip(0, 1)


def predicted(label: Array, seed: int = 1) -> Array:
    """What a network makes of a person: blurred hair, a band of grey around the outline, a detached spot, 8 bits."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(0, 1, label.shape), (0, 0), 2.0)
    matte: Array = cv2.GaussianBlur(label, (0, 0), 1.5) + 0.6 * noise * ((label > 0.01) & (label < 0.99))
    cv2.circle(matte, (label.shape[1] // 10, label.shape[0] // 10), label.shape[0] // 20, 0.7, -1)
    return (matte.clip(0, 1) * 255).round() / 255


def blobs(rng: np.random.Generator, height: int, width: int) -> Array:
    coarse = rng.random((height // 6 + 1, width // 6 + 1)) > 0.5
    blocks = np.kron(coarse, np.ones((6, 6)))[:height, :width]
    return np.clip(blocks + rng.choice([0.0, 0.2, 0.6]) * (rng.random((height, width)) - 0.5), 0, 1)


def hair(rng: np.random.Generator, height: int, width: int) -> Array:
    """A half-plane with a soft edge, and thin fractional strokes across it."""
    y, x = np.mgrid[:height, :width]
    slope = rng.normal(size=2)
    matte = ((slope[0] * (y - height / 2) + slope[1] * (x - width / 2)) / 4 + 0.5).clip(0, 1)
    for _ in range(4):
        ends = [(int(rng.integers(width)), int(rng.integers(height))) for _ in range(2)]
        cv2.line(matte, ends[0], ends[1], float(rng.random()), 1)
    return matte


def two_people(rng: np.random.Generator, height: int, width: int, equal: bool) -> Array:
    """Two boxes that touch nowhere, where there is room for two: at most a third of the image wide each."""
    matte = np.zeros((height, width))
    tall, wide = max(1, 2 * height // 3), max(1, width // 3)
    matte[:tall, :wide] = 1
    second = matte[height - tall :, width - wide :] if equal else matte[height - tall // 2 - 1 :, width - wide :]
    second[:] = rng.choice([1.0, 0.8])
    return matte


def beside_thresholds(rng: np.random.Generator, height: int, width: int) -> Array:
    """Tenths, and the float64 numbers next to them."""
    tenths = rng.integers(0, 11, (height, width)) / 10
    beside = np.nextafter(tenths, tenths + rng.integers(-1, 2, tenths.shape)).clip(0, 1)
    return np.where(tenths > 0, beside, 0.0)


KINDS: dict[str, Callable[[np.random.Generator, int, int], Array]] = {
    "zero": lambda rng, h, w: np.zeros((h, w)),
    "one": lambda rng, h, w: np.ones((h, w)),
    "constant": lambda rng, h, w: np.full((h, w), rng.choice([0.1, 0.3, 0.5, 0.7, rng.random()])),
    "noise": lambda rng, h, w: rng.random((h, w)),
    "tenths": lambda rng, h, w: rng.integers(0, 11, (h, w)) / 10,
    "beside thresholds": beside_thresholds,
    "twentieths": lambda rng, h, w: rng.integers(0, 21, (h, w)) / 20,
    "bytes": lambda rng, h, w: rng.integers(0, 256, (h, w)) / 255,
    "bytes at thresholds": lambda rng, h, w: rng.choice([0, 51, 102, 152, 153, 154, 204, 255], (h, w)) / 255,
    "blobs": blobs,
    "hair": hair,
    "two equal people": lambda rng, h, w: two_people(rng, h, w, equal=True),
    "two unequal people": lambda rng, h, w: two_people(rng, h, w, equal=False),
}

LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": np.ascontiguousarray,
    "transposed": lambda array: np.ascontiguousarray(array.T).T,
    "every other pixel": lambda array: np.repeat(np.repeat(array, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda array: np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1],
}

sizes = st.one_of(
    st.sampled_from([(1, 1), (1, 64), (64, 1), (2, 3), (5, 13), (64, 64)]),
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array, Array | None]:
    """A matte, a label, perhaps a trimap: of every kind above, in float32 and float64, contiguous or not."""
    height, width = draw(sizes)
    rng = np.random.default_rng(draw(seeds))
    label = KINDS[draw(st.sampled_from(sorted(KINDS)))](rng, height, width)
    relation = draw(st.sampled_from(["unrelated", "noisy", "nearly perfect", "perfect"]))
    if relation == "unrelated":
        matte = KINDS[draw(st.sampled_from(sorted(KINDS)))](rng, height, width)
    else:
        spread = {"noisy": 0.1, "nearly perfect": 1e-4, "perfect": 0.0}[relation]
        matte = (label + spread * rng.normal(size=label.shape)).clip(0, 1)
    trimap = rng.choice(np.array([0, 128, 255], dtype=np.uint8), label.shape) if draw(st.booleans()) else None
    kinds = st.sampled_from([np.float32, np.float64])
    layouts = st.sampled_from(sorted(LAYOUTS))
    return (
        LAYOUTS[draw(layouts)](matte.astype(draw(kinds))),
        LAYOUTS[draw(layouts)](label.astype(draw(kinds))),
        None if trimap is None else LAYOUTS[draw(layouts)](trimap),
    )
