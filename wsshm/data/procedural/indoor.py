"""Rooms: a wall, a floor and furniture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsshm.data.procedural import ground
from wsshm.data.procedural.canvas import Pen, ellipse, limb, rectangle, smooth
from wsshm.data.procedural.texture import Array, any_colour, any_fabric, plain, value_noise

Thing = Callable[[np.random.Generator, Pen, float], None]  # the float is the horizon


def draw(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    """Draw a room on the whole canvas."""
    wall = _wall(rng, pen)
    kind = str(rng.choice(["tiles", "boards", "rough"]))
    ground.floor(rng, pen, horizon, any_colour(rng, 0.5, 0.3, 0.75), any_colour(rng, 0.4, 0.35, 0.8), kind)
    pen.flat(rectangle(0, horizon - 0.02, 1, horizon), np.minimum(wall * 1.2, 1))
    things, weights = list(_THINGS), np.array(list(_THINGS.values()))
    picked = rng.choice(len(things), int(rng.integers(2, 7)), p=weights / weights.sum())
    for k in sorted(picked):  # what hangs on walls comes before what stands in front of them
        things[k](rng, pen, horizon)
    ground.shade(pen, 1.05, 0.85)


def _wall(rng: np.random.Generator, pen: Pen) -> Array:
    """Cover the canvas with a papered, panelled or brick wall; returns its colour (3,)."""
    colour = any_colour(rng, 0.45, 0.4, 0.92)
    picture = pen.canvas.rgba[..., :3]
    side = picture.shape[0]
    picture[:] = colour
    kind = rng.integers(5)
    if kind == 0:
        bands = np.arange(side) // max(side // int(rng.integers(6, 24)), 2) % 2
        picture *= (1 - 0.12 * bands[None, :, None]).astype(np.float32)
    elif kind == 1:
        high = 1 / rng.uniform(10, 22)
        for row in range(int(1 / high) + 1):
            pen.line([(0, row * high), (1, row * high)], colour * 0.75, 0.003)
            for column in range(int(0.5 / high) + 2):
                x = (column + 0.5 * (row % 2)) * high * 2
                pen.line([(x, row * high), (x, (row + 1) * high)], colour * 0.75, 0.003)
    elif kind == 2:
        picture *= 0.9 + 0.2 * value_noise(rng, side, side, 5, 4)
    elif kind == 3:
        for x in np.arange(0, 1, rng.uniform(0.08, 0.2)):
            pen.line([(x, 0), (x, 1)], colour * 0.8, 0.006)
    return colour


def _window(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, y, w, h = rng.uniform(-0.1, 0.8), rng.uniform(0.02, 0.25), rng.uniform(0.2, 0.4), rng.uniform(0.25, 0.5)
    pen.flat(rectangle(x, y, x + w, y + h), np.array([0.93, 0.93, 0.9]))
    pen.flat(
        rectangle(x + 0.015, y + 0.015, x + w - 0.015, y + h - 0.015),
        np.array([0.62, 0.76, 0.93]) * rng.uniform(0.75, 1.05),
    )
    ground.blob_cloud(rng, pen, x + w / 2, y + h * 0.8, w * 0.35, h * 0.15, np.array([0.3, 0.48, 0.25]), 40)
    pen.flat(rectangle(x, y + h - 0.015, x + w, y + h + 0.02), np.array([0.9, 0.9, 0.88]))
    pen.flat(rectangle(x + w / 2 - 0.008, y, x + w / 2 + 0.008, y + h), np.array([0.9, 0.9, 0.88]))


def _poster(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, y, w, h = rng.uniform(-0.05, 0.85), rng.uniform(0.03, 0.35), rng.uniform(0.1, 0.28), rng.uniform(0.12, 0.35)
    pen.flat(rectangle(x, y, x + w, y + h), any_colour(rng))
    for _ in range(int(rng.integers(2, 7))):
        at = (x + w * rng.uniform(0.25, 0.75), y + h * rng.uniform(0.25, 0.75))
        pen.flat(ellipse(at, w * rng.uniform(0.05, 0.25), h * rng.uniform(0.05, 0.25)), any_colour(rng))
    pen.line(rectangle(x, y, x + w, y + h), any_colour(rng), 0.012, closed=True)


def _portrait(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, y, w = rng.uniform(-0.05, 0.85), rng.uniform(0.03, 0.3), rng.uniform(0.15, 0.28)
    ground.portrait(rng, pen, x, y, x + w, y + w * rng.uniform(1.1, 1.4))


def _shelf(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, y, w, h = rng.uniform(-0.1, 0.8), rng.uniform(0.05, 0.3), rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.6)
    wood = any_colour(rng, 0.5, 0.25, 0.7)
    pen.fill([rectangle(x, y, x + w, y + h)], plain(wood * 0.6, 0.1), 0.02)
    for k in range(3):
        bottom, left = y + h * (k + 1) / 3, x + 0.015
        while left < x + w - 0.03:
            thick = rng.uniform(0.012, 0.035)
            pen.flat(rectangle(left, bottom - h * rng.uniform(0.18, 0.28), left + thick, bottom), any_colour(rng) * 0.9)
            left += thick + rng.uniform(0, 0.012)
        pen.flat(rectangle(x, bottom, x + w, bottom + 0.012), wood)


def _curtain(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, w = rng.uniform(-0.1, 0.9), rng.uniform(0.1, 0.3)
    fabric = any_fabric(rng)
    for fold in np.arange(x, x + w, 0.035):
        pen.fill([rectangle(fold, -0.02, fold + 0.037, min(horizon, 1.05))], fabric, 0.02)


def _door(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, colour = rng.uniform(-0.1, 0.85), any_colour(rng, 0.4, 0.35, 0.85)
    pen.fill([rectangle(x, 0.12, x + 0.3, horizon)], plain(colour, 0.06), 0.012)
    for top, low in ((0.17, 0.4), (0.44, 0.68)):
        pen.fill([rectangle(x + 0.04, top, x + 0.26, min(low, horizon))], plain(colour * 0.9), 0.01)
    pen.flat(ellipse((x + 0.27, 0.43), 0.01, 0.01), np.array([0.8, 0.7, 0.3]))


def _sofa(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, w, base = rng.uniform(-0.2, 0.7), rng.uniform(0.4, 0.7), horizon + rng.uniform(0.02, 0.12)
    fabric = any_fabric(rng)
    pen.fill([smooth(rectangle(x, base - 0.3, x + w, base - 0.05), 2)], fabric, 0.06)
    pen.fill([smooth(rectangle(x, base - 0.13, x + w, base + 0.02), 1)], fabric, 0.05, gain=1.1, shadow=0.3)
    for side in (x - 0.03, x + w - 0.06):
        pen.fill([smooth(rectangle(side, base - 0.2, side + 0.1, base + 0.04), 2)], fabric, 0.05, shadow=0.3)


def _lamp(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, top = rng.uniform(0, 1), rng.uniform(0.12, 0.35)
    pen.fill([rectangle(x - 0.008, top, x + 0.008, horizon + 0.03)], plain(np.array([0.25, 0.25, 0.25])), 0.01)
    shade = np.array([[x - 0.05, top], [x + 0.05, top], [x + 0.09, top + 0.13], [x - 0.09, top + 0.13]])
    pen.fill([shade], plain(np.array([1.0, 0.9, 0.7])), 0.08, gain=1.3)


def _plant(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, base, size = rng.uniform(0, 1), horizon + rng.uniform(0, 0.1), rng.uniform(0.2, 0.5)
    ground.leaves(rng, pen, x, base - 0.09, size, np.array([0.24, 0.48, 0.2]))
    pot = np.array(
        [[x - 0.06, base - 0.11], [x + 0.06, base - 0.11], [x + 0.045, base + 0.01], [x - 0.045, base + 0.01]]
    )
    pen.fill([pot], plain(any_colour(rng, 0.6), 0.1), 0.05)


def _table(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x, w, top = rng.uniform(-0.1, 0.7), rng.uniform(0.25, 0.5), horizon - rng.uniform(0.08, 0.16)
    wood = plain(any_colour(rng, 0.6, 0.3, 0.8), 0.15)
    for leg in (x + 0.02, x + w - 0.04):
        pen.fill([rectangle(leg, top, leg + 0.02, horizon + 0.05)], wood, 0.01, gain=0.8)
    pen.fill([rectangle(x, top - 0.015, x + w, top + 0.02)], wood, 0.015, shadow=0.2)
    vase = limb(
        np.array([[x + w / 2, top - 0.03], [x + w / 2, top - 0.09], [x + w / 2, top - 0.13]]), [0.03, 0.035, 0.015]
    )
    pen.fill(vase, plain(any_colour(rng), 0.05), 0.03)


def _mannequin(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    head = rng.uniform(0.09, 0.2)
    tint = np.array([0.85, 0.8, 0.74]) * rng.uniform(0.75, 1.05)
    ground.statue(rng, pen, rng.uniform(0, 1), rng.uniform(0.28, 0.5), head, plain(tint, 0.03))


# Each kind of thing and how often it is picked.
_THINGS: dict[Thing, int] = {
    _window: 14,
    _poster: 12,
    _portrait: 9,
    _door: 6,
    _curtain: 8,
    _shelf: 13,
    _lamp: 8,
    _sofa: 11,
    _table: 8,
    _plant: 12,
    _mannequin: 4,
}
