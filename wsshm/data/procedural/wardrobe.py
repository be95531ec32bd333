"""Clothes and headwear of the shifted test set, which no picture to train on shows.

A name of `TOPS` or `HATS` among a person's clothes is drawn by its function here, all others by `garments` and `head`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsshm.data.procedural.canvas import CIRCLE, ellipse, limb, rectangle, shifted, smooth
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.garments import front, outline, profile
from wsshm.data.procedural.texture import Array, Material, any_colour, hsv, plain

FABRICS = ("argyle", "leopard", "sequins", "fade")
"""Patterns (`texture`) that no other clothes have."""


def any_new_fabric(rng: np.random.Generator) -> Material:
    """A random fabric, more colourful than `any_fabric`, in one of `FABRICS` or plain."""
    colour = hsv(rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.25, 0.95))
    return Material(
        colour=colour,
        pattern=str(rng.choice(["plain", *FABRICS], p=[0.32, 0.17, 0.17, 0.17, 0.17])),
        second=np.clip(colour * rng.uniform(0.3, 0.7), 0, 1) if rng.random() < 0.5 else any_colour(rng),
        frequency=rng.uniform(4, 8),
        angle=rng.uniform(-0.3, 0.3),
        fold=rng.uniform(0.05, 0.2),
        fold_cells=int(rng.integers(3, 7)),
        seed=int(rng.integers(1 << 30)),
    )


def _trunk(figure: Figure, ease: float) -> Array:
    """The cross-sections of a plain top, painted, for what goes on it."""
    table = profile(figure.person.body, ease)
    shape = smooth(outline(table[:11], figure.person.body.yaw), 2)
    figure.pen.fill([shape], figure.cloth(figure.person.clothes.top_fabric), 0.42, shadow=0.3)
    return table


def _hoodie(figure: Figure) -> None:
    """A sweater whose hood lies on the shoulders, behind the neck."""
    wide, turn = figure.person.body.shoulder * 0.74, 0.12 * float(np.sin(figure.person.body.yaw))
    fabric = figure.cloth(figure.person.clothes.top_fabric)
    figure.pen.fill([ellipse((-turn, 0.0), wide, 0.34)], fabric, 0.2, gain=0.75)
    _trunk(figure, 0.07)
    figure.pen.fill(limb(np.array([[-wide, 0.02], [turn, 0.34], [wide, 0.02]]), [0.12, 0.1, 0.12]), fabric, 0.12)


def _turtleneck(figure: Figure) -> None:
    _trunk(figure, 0.03)


def _camisole(figure: Figure) -> None:
    """Bare shoulders, two straps."""
    body, yaw = figure.person.body, figure.person.body.yaw
    table = profile(body)
    figure.pen.fill([smooth(outline(table[:9], yaw), 2)], figure.skin, 0.42, shadow=0.3)
    fabric = figure.cloth(figure.person.clothes.top_fabric)
    rows = profile(body, 0.015)[5:11]
    figure.pen.fill([smooth(outline(rows, yaw), 1)], fabric, 0.4, shadow=0.3)
    for side in (-1.0, 1.0):
        angle = np.full(6, side * 0.62)
        strap = front(table[1:7], yaw, angle - 0.07, angle + 0.07)
        figure.pen.fill([strap], fabric, 0.03, shadow=0.2)


def _suit(figure: Figure) -> None:
    """Jacket, white shirt and tie."""
    clothes, yaw = figure.person.clothes, figure.person.body.yaw
    table = _trunk(figure, 0.06)
    rows = table[1:10]
    t = np.linspace(0, 1, len(rows))
    wide = 0.42 * (1 - t) + 0.03
    figure.pen.fill([front(rows, yaw, -wide, wide)], figure.cloth(plain(np.array([0.93, 0.93, 0.95]), 0.04)), 0.5)
    tie = np.interp(t, [0, 0.12, 0.7, 1], [0.07, 0.05, 0.1, 0.02])
    figure.pen.fill([front(rows, yaw, -tie, tie)], figure.cloth(clothes.inner_fabric), 0.05, shadow=0.3)
    for side in (-1, 1):
        reach = np.interp(t, [0, 0.3, 1], [0.16, 0.3, 0.04])
        lapel = front(rows, yaw, side * wide, side * (wide + reach))
        figure.pen.fill([lapel], figure.cloth(clothes.top_fabric), 0.06, gain=1.15, shadow=0.3)


def _fur_cape(figure: Figure) -> None:
    """A cape over both arms, whose outline is strands."""
    body, rng, fabric = figure.person.body, figure.rng, figure.person.clothes.top_fabric
    y = np.array([-0.02, 0.1, 0.3, 0.9, 2.2])
    half = body.shoulder * np.array([0.3, 0.75, 1.08, 1.25, 1.35])
    sides = outline(np.stack([y, half, half * 0.6, np.zeros(5)], 1), body.yaw)
    figure.pen.fill([smooth(sides, 2)], figure.cloth(fabric), 0.5, shadow=0.4)
    n = figure.count(8000)
    rows, across = rng.uniform(0.02, 2.1, n), rng.uniform(-1, 1, n)
    across = np.where(rng.random(n) < 0.4, np.sign(across) * rng.uniform(0.93, 1.02, n), across)  # more at the outline
    width = np.interp(rows, y, sides[9:4:-1, 0])
    roots = np.stack([across * width, rows], 1)
    aim = np.stack([0.75 * across + rng.normal(0, 0.35, n), 0.7 + rng.normal(0, 0.3, n)], 1)
    steps = np.linspace(0, 1, 5)[None, :, None]
    paths = roots[:, None] + steps * aim[:, None] * 0.13 + steps**2 * np.array([0, 0.05])
    order = np.argsort(rows)
    figure.pen.strands(paths[order], rng.uniform(0.7, 1.2, n), figure.lit(fabric.colour), 0.006)


def _ruffled(figure: Figure) -> None:
    _trunk(figure, 0.02)


TOPS: dict[str, Callable[[Figure], None]] = {
    "hoodie": _hoodie,
    "turtleneck": _turtleneck,
    "camisole": _camisole,
    "suit": _suit,
    "fur cape": _fur_cape,
    "ruffled blouse": _ruffled,
}
SLEEVES = {"camisole": 0.0, "fur cape": 0.0}
"""Tops without sleeves; all others have long ones."""
NECKLINES = {"camisole": 0.3, "ruffled blouse": 0.12, "fur cape": 0.12, "hoodie": 0.1}
COVERS_ARMS = ("fur cape",)


def over_neck(figure: Figure) -> None:
    """What a new top has at the neck: a collar, cords or ruffles. Nothing for all others."""
    draw = _AT_NECK.get(figure.person.clothes.top)
    if draw is not None:
        draw(figure)


def _roll_collar(figure: Figure) -> None:
    body, fabric = figure.person.body, figure.cloth(figure.person.clothes.top_fabric)
    wide, turn = body.neck * 1.16, 0.03 * float(np.sin(body.yaw))
    figure.pen.fill([smooth(rectangle(-wide - turn, -0.3, wide - turn, 0.1), 2)], fabric, 0.2, shadow=0.3)
    figure.pen.fill(
        limb(np.array([[-wide * 0.95, -0.2], [0.05 * turn, -0.15], [wide * 0.95, -0.2]]), [0.075] * 3),
        fabric,
        0.08,
        gain=1.1,
        shadow=0.3,
    )


def _cords(figure: Figure) -> None:
    turn = 0.25 * float(np.sin(figure.person.body.yaw))
    for side in (-1, 1):
        x, low = turn + side * 0.12, figure.rng.uniform(0.75, 1.05)
        sway = figure.rng.normal(0, 0.03)
        figure.pen.line([(x, 0.36), (x + sway, 0.6), (x - sway, low)], figure.lit(np.array([0.92, 0.91, 0.88])), 0.024)
        figure.pen.flat(ellipse((x - sway, low), 0.022, 0.05), figure.lit(np.array([0.5, 0.5, 0.52])))


def _shirt_collar(figure: Figure) -> None:
    body, white = figure.person.body, figure.cloth(plain(np.array([0.95, 0.95, 0.97]), 0.04))
    turn = 0.22 * float(np.sin(body.yaw))
    figure.pen.fill(
        [smooth(rectangle(-body.neck * 1.08, -0.14, body.neck * 1.08, 0.08), 1)], white, 0.15, gain=0.9, shadow=0.2
    )
    for side in (-1, 1):
        tip = np.array([[side * body.neck * 1.12, -0.12], [turn, 0.1], [turn + side * 0.16, 0.24]])
        figure.pen.fill([np.concatenate([tip, [[side * body.neck * 1.3, 0.06]]])], white, 0.04, shadow=0.3)


def _ruff(figure: Figure) -> None:
    """Three rows of pleats around the neck."""
    body, fabric = figure.person.body, figure.cloth(figure.person.clothes.inner_fabric)
    for row, (wide, low) in enumerate(((0.3, 0.2), (0.24, 0.1), (0.18, 0.0))):
        around = np.linspace(-0.2, np.pi + 0.2, 13)
        middle = np.stack([np.cos(around) * body.neck * (1.25 + wide), low + 0.16 * np.sin(around)], 1)
        pleats = [ellipse(at, 0.1, 0.075, turn) for at, turn in zip(middle, around, strict=True)]
        figure.pen.fill(pleats, fabric, 0.07, gain=0.9 + 0.08 * row, shadow=0.35)


_AT_NECK: dict[str, Callable[[Figure], None]] = {
    "turtleneck": _roll_collar,
    "hoodie": _cords,
    "suit": _shirt_collar,
    "ruffled blouse": _ruff,
}


def _crown(figure: Figure, grow: float) -> tuple[float, float, float]:
    """Half the head's width with its hair, where its middle is, and which way the face looks: to the right is positive."""
    face = figure.person.face
    s, c = float(np.sin(face.yaw)), float(np.cos(face.yaw))
    return float(np.hypot((face.width + grow) * c, (0.43 + grow) * s)), -0.05 * s, s


def _beret(figure: Figure) -> None:
    half, back, _ = _crown(figure, 0.06)
    side, fabric = float(np.sign(figure.person.hair.parting) or 1), figure.cloth(figure.person.clothes.inner_fabric)
    figure.head.fill([ellipse((back + 0.12 * side, -0.5), half + 0.16, 0.19, 0.18 * side)], fabric, 0.3, shadow=0.4)
    figure.head.fill(
        limb(np.array([[back - half, -0.31], [back, -0.39], [back + half, -0.31]]), [0.045] * 3), fabric, 0.05, gain=0.8
    )
    figure.head.line([(back + 0.12 * side, -0.68), (back + 0.15 * side, -0.75)], figure.lit(fabric.colour), 0.03)


def _fedora(figure: Figure) -> None:
    half, back, s = _crown(figure, 0.06)
    fabric = figure.cloth(figure.person.clothes.inner_fabric)
    brim = ellipse((back + 0.05 * s, -0.34), half + 0.33, 0.105, 0.06 * s)
    figure.head.fill([brim], fabric, 0.08, gain=0.85, shadow=0.6)
    crown = np.array([[-1, -0.36], [-0.86, -0.7], [-0.4, -0.8], [0, -0.74], [0.4, -0.8], [0.86, -0.7], [1, -0.36]])
    figure.head.fill([shifted(smooth(crown * (half, 1), 1), back, 0)], fabric, 0.3, shadow=0.2)
    band = np.array([[-0.97, -0.37], [-0.94, -0.47], [0.94, -0.47], [0.97, -0.37]]) * (half, 1)
    figure.head.fill([shifted(band, back, 0)], plain(np.array([0.12, 0.1, 0.1])), 0.2)


def _turban(figure: Figure) -> None:
    half, back, _ = _crown(figure, 0.08)
    fabric = figure.cloth(figure.person.clothes.scarf_fabric)
    dome = np.array([[-1, -0.22], [-1.12, -0.5], [-0.6, -0.82], [0.6, -0.82], [1.12, -0.5], [1, -0.22]]) * (half, 1)
    figure.head.fill([shifted(smooth(dome, 2), back, 0)], fabric, 0.3, shadow=0.4)
    for k in range(5):
        low, side = -0.25 - 0.1 * k, -1 if k % 2 else 1
        wide = half * (1.1 - 0.1 * k)
        wrap = np.array([[back - wide, low + 0.03 * side], [back, low - 0.12], [back + wide, low - 0.03 * side]])
        figure.head.fill(limb(wrap, [0.065, 0.08, 0.065]), fabric, 0.08, gain=0.95 + 0.05 * side, shadow=0.3)


def _headphones(figure: Figure) -> None:
    half, back, s = _crown(figure, 0.05)
    shell = figure.cloth(plain(figure.person.clothes.inner_fabric.colour, 0.05))
    arc = np.linspace(np.pi, 2 * np.pi, 25)
    band = np.stack([back + (half + 0.03) * np.cos(arc), -0.06 + 0.56 * np.sin(arc)], 1)
    figure.head.line(band, figure.lit(np.array([0.16, 0.16, 0.18])), 0.055)
    for side in (-1, 1):
        if side * s < 0.75:  # the cup on the far side is hidden
            at = (back + side * (half + 0.01), 0.05)
            figure.head.fill([ellipse(at, 0.085, 0.17)], shell, 0.1, shadow=0.4)


def _flower_crown(figure: Figure) -> None:
    half, back, _ = _crown(figure, 0.05)
    rng, hue = figure.rng, figure.rng.random()
    arc = np.linspace(np.pi * 1.02, np.pi * 1.98, 13)
    for k, turn in enumerate(arc):
        at = np.array([back + (half + 0.03) * np.cos(turn), -0.27 + 0.14 * np.sin(turn)])
        leaf = figure.lit(np.array([0.2, 0.42, 0.16]) * rng.uniform(0.7, 1.3))
        figure.head.flat(ellipse(at + rng.normal(0, 0.03, 2), 0.12, 0.035, rng.uniform(0, np.pi)), leaf)
        if k % 2:
            continue
        petal = hsv(hue + rng.normal(0, 0.05), rng.uniform(0.3, 0.85), rng.uniform(0.75, 1))
        petals = [at + 0.055 * CIRCLE[4 * j] + 0.05 * CIRCLE for j in range(6)]
        figure.head.fill(petals, figure.cloth(plain(petal, 0.05)), 0.05, shadow=0.3)
        figure.head.flat(ellipse(at, 0.03, 0.03), figure.lit(np.array([0.9, 0.75, 0.2])))


HATS: dict[str, Callable[[Figure], None]] = {
    "beret": _beret,
    "fedora": _fedora,
    "turban": _turban,
    "headphones": _headphones,
    "flower crown": _flower_crown,
}
