"""Places outdoors: sky, hills, buildings, ground, trees and street furniture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsshm.data.procedural import ground
from wsshm.data.procedural.canvas import Pen, ellipse, rectangle
from wsshm.data.procedural.texture import Array, any_colour, plain, value_noise

Thing = Callable[[np.random.Generator, Pen, float, float], None]  # the floats are where it stands, x and y


def draw(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    """Draw a place on the whole canvas."""
    _sky(rng, pen)
    for k in range(int(rng.integers(0, 3))):
        _hill(rng, pen, horizon, 0.28 - 0.1 * k)
    if rng.random() < 0.55:
        _street(rng, pen, horizon)
    paved = rng.random() < 0.35
    green = np.array([0.28, 0.45, 0.18]) * rng.uniform(0.75, 1.25)
    if paved:
        kind = str(rng.choice(["tiles", "rough"]))
        ground.floor(rng, pen, horizon, np.array([0.47, 0.46, 0.45]), np.array([0.6, 0.58, 0.55]), kind)
    else:
        ground.floor(rng, pen, horizon, green * 0.8, green * (1.35, 1.2, 1.2), "rough")
        _grass(rng, pen, horizon, green)
    things, weights = list(_THINGS), np.array(list(_THINGS.values()))
    picked = rng.choice(len(things), int(rng.integers(2, 7)), p=weights / weights.sum())
    for k in picked:
        things[k](rng, pen, rng.uniform(-0.05, 1.05), horizon + rng.uniform(0, 0.08))


def _sky(rng: np.random.Generator, pen: Pen) -> None:
    picture = pen.canvas.rgba[..., :3]
    side = picture.shape[0]
    high = np.array([0.45, 0.65, 0.92]) if rng.random() < 0.7 else np.array([0.85, 0.62, 0.5])
    high = high * rng.uniform(0.7, 1.05)
    t = np.linspace(0, 1, side)[:, None, None]
    picture[:] = high * (1 - t) + np.array([0.9, 0.9, 0.9]) * t
    picture += np.clip((value_noise(rng, side, side, 3, 5) - 0.55) * 3, 0, 0.5)
    np.clip(picture, 0, 1, out=picture)


def _hill(rng: np.random.Generator, pen: Pen, horizon: float, height: float) -> None:
    x = np.linspace(0, 1, 64)
    ridge = horizon - height * value_noise(rng, 2, 64, 5, 4)[0, :, 0]
    shape = np.concatenate([np.stack([x, ridge], 1), [[1, horizon + 0.01], [0, horizon + 0.01]]])
    pen.flat(shape, np.array([0.4, 0.5, 0.5]) * rng.uniform(0.75, 1.2))


def _street(rng: np.random.Generator, pen: Pen, horizon: float) -> None:
    x = -0.1
    while x < 1:
        w, top = rng.uniform(0.15, 0.4), rng.uniform(0.02, 0.5) * horizon
        wall = any_colour(rng, 0.35, 0.35, 0.85)
        pen.flat(rectangle(x, top, x + w, horizon), wall)
        pen.flat(rectangle(x + w * 0.9, top, x + w, horizon), wall * 0.8)
        cell = w / int(rng.integers(3, 7))
        glass = np.array([0.3, 0.36, 0.44])
        for left in np.arange(x + cell * 0.25, x + w * 0.85, cell):
            for up in np.arange(top + cell * 0.4, horizon - cell * 0.6, cell * 1.3):
                pen.flat(rectangle(left, up, left + cell * 0.5, up + cell * 0.8), glass * rng.uniform(0.6, 1.9))
        x += w * rng.uniform(1.0, 1.25)


def _grass(rng: np.random.Generator, pen: Pen, horizon: float, colour: Array) -> None:
    if horizon >= 1:
        return
    n = 260
    y = np.sort(rng.uniform(horizon, 1.0, n))
    x, tall = rng.uniform(0, 1, n), 0.008 + 0.035 * (y - horizon) / max(1 - horizon, 0.05)
    blades = np.stack([np.stack([x, y], 1), np.stack([x + rng.normal(0, 0.01, n), y - tall], 1)], 1)
    pen.strands(blades, rng.uniform(0.7, 1.6, n), colour, 0.004)


def _branches(rng: np.random.Generator, pen: Pen, x: float, y: float, size: float) -> list[tuple[float, float]]:
    """Draw a bare tree; returns the ends of its twigs."""
    bark = np.array([0.33, 0.25, 0.18]) * rng.uniform(0.7, 1.3)
    tips: list[tuple[float, float]] = []

    def grow(x: float, y: float, angle: float, length: float, width: float, depth: int) -> None:
        end = (x + np.sin(angle) * length, y - np.cos(angle) * length)
        pen.line([(x, y), end], bark * (0.8 + 0.1 * depth), width)
        if depth == 0:
            tips.append(end)
            return
        for _ in range(int(rng.integers(2, 4))):
            grow(*end, angle + rng.normal(0, 0.5), length * rng.uniform(0.6, 0.8), width * 0.62, depth - 1)

    grow(x, y, rng.normal(0, 0.06), size * 0.33, size * 0.055, 4)
    return tips


def _tree(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    size = rng.uniform(0.45, 1.0)
    colour = np.array([0.25, 0.45, 0.18]) * rng.uniform(0.65, 1.25)
    tips = np.array(_branches(rng, pen, x, y, size))
    (middle_x, middle_y), (wide, high) = tips.mean(0), 2.2 * (tips.std(0) + 0.03)
    ground.blob_cloud(rng, pen, middle_x, middle_y, wide, high, colour, 420)


def _bare_tree(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    _branches(rng, pen, x, y, rng.uniform(0.45, 1.0))


def _bush(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    colour = np.array([0.24, 0.44, 0.17]) * rng.uniform(0.7, 1.3)
    ground.blob_cloud(rng, pen, x, y - 0.07, rng.uniform(0.12, 0.25), rng.uniform(0.07, 0.13), colour, 320)


def _tuft(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    ground.leaves(rng, pen, x, y + 0.02, rng.uniform(0.08, 0.22), np.array([0.35, 0.5, 0.2]) * rng.uniform(0.8, 1.3))


def _lamp_post(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    pen.fill([rectangle(x - 0.01, 0.06, x + 0.01, y)], plain(np.array([0.3, 0.3, 0.32])), 0.01)
    pen.fill([ellipse((x, 0.06), 0.035, 0.035)], plain(np.array([1.0, 0.96, 0.85])), 0.035, gain=1.2)


def _bench(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    wood = np.array([0.5, 0.36, 0.24])
    for k in range(4):
        low = y - 0.045 - 0.032 * k
        pen.fill([rectangle(x, low - 0.018, x + 0.34, low)], plain(wood * rng.uniform(0.85, 1.2)), 0.008)
    for leg in (x + 0.03, x + 0.3):
        pen.flat(rectangle(leg, y - 0.05, leg + 0.012, y + 0.02), np.array([0.25, 0.25, 0.26]))


def _sign(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    pen.fill([rectangle(x - 0.007, y - 0.38, x + 0.007, y)], plain(np.array([0.5, 0.5, 0.5])), 0.007)
    pen.fill([ellipse((x, y - 0.4), 0.06, 0.06)], plain(any_colour(rng, 0.9, 0.4)), 0.02)


def _car(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    paint, size = plain(any_colour(rng, 0.9, 0.25, 0.9)), rng.uniform(0.3, 0.5)
    cabin = np.array([[0.2, -0.2], [0.3, -0.34], [0.68, -0.34], [0.82, -0.2]]) * size + (x - size / 2, y)
    hull = np.array([[0, -0.05], [0.02, -0.2], [0.98, -0.2], [1, -0.05]]) * size + (x - size / 2, y)
    pen.fill([hull, cabin], paint, 0.05)
    glass = np.array([[0.25, -0.2], [0.33, -0.31], [0.65, -0.31], [0.76, -0.2]]) * size + (x - size / 2, y)
    pen.flat(glass, np.array([0.45, 0.53, 0.6]))
    for wheel in (0.22, 0.78):
        pen.flat(
            ellipse((x + (wheel - 0.5) * size, y - 0.05 * size), 0.085 * size, 0.085 * size),
            np.array([0.12, 0.12, 0.12]),
        )


def _statue(rng: np.random.Generator, pen: Pen, x: float, y: float) -> None:
    head = rng.uniform(0.05, 0.16)
    grey = np.array([0.72, 0.7, 0.66]) * rng.uniform(0.65, 1.1) if rng.random() < 0.7 else np.array([0.35, 0.45, 0.38])
    material = ground.stone(rng, grey)
    plinth = max(y - head * 1.2, 0.75)
    pen.fill([rectangle(x - head * 1.2, plinth, x + head * 1.2, y + 0.01)], material, 0.03)
    ground.statue(rng, pen, x, plinth - head * 6.0 if head < 0.08 else plinth - head * 2.4, head, material)


# Each kind of thing and how often it is picked.
_THINGS: dict[Thing, int] = {
    _tree: 26,
    _bare_tree: 12,
    _bush: 16,
    _tuft: 10,
    _lamp_post: 8,
    _bench: 8,
    _sign: 6,
    _car: 8,
    _statue: 8,
}
