"""Hair: thousands of strands that grow from the skull in three dimensions, fall, wave and clump into locks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wsshm.data.procedural.canvas import CIRCLE, ellipse
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.skeleton import turned
from wsshm.data.procedural.texture import Array, plain

STEPS = 12  # segments of a strand; drawn in three pieces that are shaded apart
PIECES = (slice(0, 5), slice(4, 9), slice(8, 13))
STRAND_WIDTH = 0.0042
SKULL_CENTRE = np.array([0.0, -0.07, -0.03])


@dataclass(frozen=True)
class Growth:
    """How the hair of a style grows. Lengths are in head heights."""

    count: int
    length: float
    gravity: float
    outward: float
    jitter: float
    wave: float = 0.0
    frequency: float = 2.0
    clump: float = 0.4
    lock: float = 0.1  # width of a lock's solid core; 0 for hair without locks
    falls: bool = True


STYLES: dict[str, Growth] = {
    "short": Growth(1500, 0.2, 0.25, 0.5, 0.22, 0.01, 2, 0.35, 0.0, False),
    "spiky": Growth(1300, 0.34, -0.08, 1.3, 0.16, 0.0, 2, 0.75, 0.05, False),
    "bob": Growth(2200, 0.85, 1.6, 0.5, 0.06, 0.015, 1.2, 0.4, 0.1),
    "long": Growth(2600, 1.6, 1.6, 0.45, 0.06, 0.02, 1.5, 0.4, 0.1),
    "wavy": Growth(2600, 1.5, 1.4, 0.6, 0.07, 0.055, 2.6, 0.45, 0.1),
    "curly": Growth(2600, 1.05, 0.9, 0.85, 0.12, 0.08, 4.5, 0.5, 0.11),
    "afro": Growth(3400, 0.42, 0.02, 1.2, 0.42, 0.03, 5, 0.15, 0.09, False),
    "tied": Growth(900, 0.0, 0.0, 0.0, 0.0, 0.0, 1, 0.2, 0.0, False),
}


@dataclass(frozen=True)
class Strands:
    """Grown hair in the viewer's axes around the head's centre: `paths` (n, 13, 3); `guides` are rows of `paths`."""

    growth: Growth
    paths: Array
    lock: Array
    guides: Array
    scalp: Array
    tails: Array


def grow(figure: Figure) -> Strands | None:
    """Grow a person's hair; None for the bald and where a headscarf covers it."""
    hair, hat = figure.person.hair, figure.person.clothes.hat
    if hair.style == "bald" or hat == "headscarf":
        return None
    tied = hair.style in ("ponytail", "braids", "bun")
    growth = STYLES["tied" if tied else hair.style]
    if hat != "none" and hair.style in ("afro", "spiky"):
        growth = STYLES["short"]
    rng = figure.rng
    roots = _roots(figure, figure.count(growth.count))
    n = len(roots)
    guide_count = min(int(34 + 14 * figure.detail), n)
    gaps = np.linalg.norm(roots[:, None] - roots[None, :guide_count], axis=2)
    lock = gaps.argmin(1)
    paths = _tie(figure, roots) if tied else _fall(figure, roots, lock, growth)
    wisps = rng.random(n) < 0.1 * hair.flyaways
    t = np.linspace(0, 1, STEPS + 1)
    pull = growth.clump * np.where(wisps, 0.0, 1.0)[:, None] * t
    paths = paths[lock] * pull[..., None] + paths * (1 - pull[..., None])
    paths[wisps] += (rng.normal(0, 0.085, (int(wisps.sum()), 1, 3)) * (t**2)[None, :, None]) * (1 + growth.length)
    yaw = figure.person.face.yaw
    tails = _tails(figure) if tied else np.zeros((0, STEPS + 1, 3))
    return Strands(
        growth, turned(paths, yaw), lock, np.arange(guide_count), turned(roots[:420], yaw), turned(tails, yaw)
    )


def _radii(figure: Figure) -> Array:
    return np.array([figure.person.face.width + 0.02, 0.44, 0.43])


def _roots(figure: Figure, count: int) -> Array:
    """Points on the scalp (count, 3): the skull without the face, above the nape."""
    d = figure.rng.normal(0, 1, (3 * count + 60, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    lowest = np.interp(d[:, 2], [-1, -0.1, 0.2, 0.5, 1], [0.6, 0.55, 0.25, -0.36, -0.5])
    kept = d[d[:, 1] < lowest][:count]
    return SKULL_CENTRE + kept * _radii(figure)


def _fall(figure: Figure, roots: Array, lock: Array, growth: Growth) -> Array:
    """Grow every strand step by step: outwards, off the parting, then down, around the head and off the face."""
    hair, face, rng = figure.person.hair, figure.person.face, figure.rng
    n = len(roots)
    radii = _radii(figure)
    normal = (roots - SKULL_CENTRE) / radii
    side = np.where(roots[:, 0] > hair.parting * face.width, 1.0, -1.0)
    fringe = hair.fringe & (normal[:, 2] > 0.45) & growth.falls
    heading = normal * growth.outward * hair.volume + rng.normal(0, growth.jitter, (n, 3))
    if growth.falls:
        heading[:, 0] += np.where(fringe, 0.15, 0.7) * side * np.clip(-normal[:, 1], 0, 1)
        heading[:, 2] += np.where(fringe, 0.5, -0.25)
    else:
        heading += np.array([0.5 * np.sign(hair.parting), -0.1, 0.25]) * (growth.length < 0.3)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-6
    length = growth.length * hair.length * rng.uniform(0.72, 1.05, n)
    length = np.where(fringe, 0.42, length)
    shell = 1.04 + 0.16 * rng.random(n) * hair.volume
    pull = np.array([1.2 * hair.wind, growth.gravity, -0.15 * abs(hair.wind)]) * 3 / STEPS
    frequency = growth.frequency * (0.8 + 0.4 * hair.curl) * rng.uniform(0.92, 1.08, n)
    phase = (rng.uniform(0, 2 * np.pi, n)[lock] + rng.normal(0, 0.3, n))[:, None] + np.array([0, np.pi / 2, np.pi / 3])
    swing = growth.wave * (0.5 + hair.curl) * np.array([1.0, 0.25, 1.0])
    at = roots.copy()
    path = [roots]
    for k in range(1, STEPS + 1):
        heading = heading + pull + rng.normal(0, growth.jitter * 0.6, (n, 3))
        heading /= np.linalg.norm(heading, axis=1, keepdims=True) + 1e-6
        at = at + heading * (length / STEPS)[:, None]
        off = (at - SKULL_CENTRE) / (radii * (1.0, 1.12, 1.02))
        depth = np.linalg.norm(off, axis=1)
        inside = depth < shell
        at[inside] = (SKULL_CENTRE + (at - SKULL_CENTRE) * (shell / np.maximum(depth, 0.3))[:, None])[inside]
        if growth.falls:
            # Below the hairline the face stays free: hair is led aside and back, the lower the further.
            below = np.clip((at[:, 1] + 0.52) / 0.27, 0, 1) * ~fringe
            aside = below * face.width * 0.95
            on_face = (at[:, 2] > 0) & (np.abs(at[:, 0]) < aside)
            at[on_face, 0] = (side * aside)[on_face]
            at[:, 2] = np.minimum(at[:, 2], 0.5 - below * (0.46 - 0.6 * (shell - 1.04)))
        t = k / STEPS
        wave = np.sin(phase + 2 * np.pi * frequency[:, None] * t) * swing * min(1.0, 2.5 * t)
        path.append(at + wave)
    paths = np.stack(path, 1)
    if growth.jitter < 0.2:  # straight hair has no corners
        paths[:, 1:-1] = 0.25 * paths[:, :-2] + 0.5 * paths[:, 1:-1] + 0.25 * paths[:, 2:]
    return paths


def _knot(figure: Figure) -> Array:
    """Where tied hair is tied (k, 3): one point at the back, or one behind each ear."""
    style = figure.person.hair.style
    if style == "braids":
        return np.array([[-0.33, 0.22, -0.2], [0.33, 0.22, -0.2]])
    high = figure.person.hair.parting
    return np.array([[0.0, -0.25 - 0.3 * high if style == "ponytail" else -0.3 - 0.35 * high, -0.42 + 0.2 * abs(high)]])


def _tie(figure: Figure, roots: Array) -> Array:
    """Strands combed over the skull to the nearest knot."""
    knots, radii = _knot(figure), _radii(figure)
    part = roots[:, 0] > figure.person.hair.parting * 0.2
    goal = knots[part.astype(int)] if len(knots) == 2 else np.broadcast_to(knots[0], roots.shape)
    t = np.linspace(0, 1, STEPS + 1)[None, :, None]
    path = roots[:, None] * (1 - t) + goal[:, None] * t
    off = (path - SKULL_CENTRE) / radii
    depth = np.linalg.norm(off, axis=2, keepdims=True)
    lift = 1.03 + 0.03 * figure.rng.random((len(roots), 1, 1))
    return SKULL_CENTRE + (path - SKULL_CENTRE) * lift / np.maximum(depth, 0.3)


def _tails(figure: Figure) -> Array:
    """What hangs from the knots: a pony's tail, braids or a bun's loose ends (n, 13, 3)."""
    hair, rng = figure.person.hair, figure.rng
    parts = []
    t = np.linspace(0, 1, STEPS + 1)[None, :, None]
    for knot in _knot(figure):
        out = (knot - SKULL_CENTRE) / np.linalg.norm(knot - SKULL_CENTRE)
        n = figure.count(900 if hair.style == "ponytail" else 260)
        if hair.style == "ponytail":
            length = 1.15 * hair.length * rng.uniform(0.7, 1.05, (n, 1, 1))
            aim = out * 0.9 + rng.normal(0, 0.16, (n, 3))
            bend = np.array([hair.wind * 0.8, 1.0, 0.0])
            path = knot + length * (aim[:, None] * (t - 0.55 * t**2) * 0.7 + bend * t**1.6 * 0.95)
            path = path + 0.05 * hair.curl * np.sin(5 * t + rng.normal(0, 0.4, (n, 1, 1))) * np.array([1, 0, 1])
        else:
            aim = out + rng.normal(0, 0.6, (n, 3))
            start = knot + rng.normal(0, 0.08, (n, 3)) + out * 0.08
            path = start[:, None] + aim[:, None] * t * 0.2 + t**2 * np.array([0, 0.06, 0])
        parts.append(path)
    return np.concatenate(parts)


def draw_behind(figure: Figure, strands: Strands | None) -> None:
    """The hair that lies behind the neck and shoulders."""
    if strands is not None:
        _draw(figure, strands, front=False)


def draw_front(figure: Figure, strands: Strands | None) -> None:
    """The scalp's cover and the hair before it."""
    if strands is None:
        return
    seen = strands.scalp[strands.scalp[:, 2] > -0.06][:, :2]
    if len(seen):
        blobs = seen[:, None] + CIRCLE[None, ::2] * 0.062
        cover = plain(
            figure.stone.colour * 0.9 if figure.stone else figure.person.hair.colour, 0.25, figure.person.seed
        )
        figure.head.fill(list(blobs), figure.cloth(replace(cover, fold_cells=6)), 0.3, gain=0.72, shadow=0.25)
    _draw(figure, strands, front=True)


def _draw(figure: Figure, strands: Strands, front: bool) -> None:
    rng = figure.rng
    middle = strands.paths[:, STEPS // 2 :, 2].mean(1)
    chosen = (middle > 0) == front
    dim = 1.0 if front else 0.72
    if strands.growth.lock:
        _cores(figure, strands, chosen, dim * 0.78)
    tail_front = bool(len(strands.tails)) and (strands.tails[:, 0, 2].mean() > 0) == front
    if tail_front:
        _solid_tail(figure)
    tint = rng.uniform(0.78, 1.22, int(strands.lock.max()) + 1)[strands.lock] * rng.uniform(0.85, 1.15, len(middle))
    _pieces(figure, strands.paths[chosen], tint[chosen] * dim)
    if tail_front:
        _pieces(figure, strands.tails, rng.uniform(0.65, 1.25, len(strands.tails)) * dim)


def _pieces(figure: Figure, paths: Array, tint: Array) -> None:
    if not len(paths):
        return
    light = figure.pen.canvas.light
    points, shades = [], []
    for piece in PIECES:
        part = paths[:, piece]
        normal = part[:, 2] - SKULL_CENTRE
        normal = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6)
        bright = light.on(normal) / light.level
        along = part[:, -1] - part[:, 0]
        along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-6)
        gloss = np.maximum(1 - np.abs(along @ light.direction), 0) ** 3 * np.maximum(normal @ light.direction, 0)
        points.append(part[..., :2])
        shades.append(tint * (np.minimum(0.35 + 0.6 * bright + 0.35 * gloss, 1.15)))
    figure.head.strands(np.concatenate(points), np.concatenate(shades), figure.hair_lit, STRAND_WIDTH)


def _cores(figure: Figure, strands: Strands, chosen: Array, dim: float) -> None:
    """The solid cores of the locks, thinner towards the ends."""
    locks = strands.guides[chosen[strands.guides]]
    tone = dim * (0.85 + 0.3 * ((locks * 7) % 5) / 5)
    width = strands.growth.lock * (0.8 + 0.3 * figure.person.hair.volume)
    for piece, share in zip(PIECES, (1.0, 0.75, 0.2), strict=True):
        figure.head.strands(strands.paths[locks, piece, :2], tone, figure.hair_lit, width * share)


def _solid_tail(figure: Figure) -> None:
    style, hair, pen = figure.person.hair.style, figure.person.hair, figure.head
    material = figure.cloth(plain(hair.colour, 0.3, figure.person.seed))
    for knot in turned(_knot(figure), figure.person.face.yaw):
        x, y = float(knot[0]), float(knot[1])
        if style == "bun":
            pen.fill([ellipse((x * 1.25, y * 1.35 - 0.04), 0.21, 0.19)], material, 0.18, gain=0.85, shadow=0.2)
        elif style == "braids":
            size = 0.085
            for k in range(int(9 * hair.length)):
                lean = 0.4 if k % 2 else -0.4
                link = ellipse((x * (1.08 + 0.02 * k) + 0.02 * lean, y + 0.1 * k), size, size * 1.15, lean)
                pen.fill([link], material, 0.08, gain=0.92, shadow=0.3)
                size *= 0.97
