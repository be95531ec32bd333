"""The head: neck, skull, ears, face, beard, glasses and hats."""

from __future__ import annotations

import numpy as np

from wsshm.data.procedural.canvas import ellipse, limb, rectangle, shifted, smooth
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.skeleton import turned
from wsshm.data.procedural.texture import Array, plain

DARK = np.array([0.07, 0.06, 0.06])


def skull(figure: Figure, grow: float = 0.0) -> Array:
    """The outline of the head (n, 2) in head coordinates, the chin towards where the face looks."""
    face = figure.person.face
    s, c = np.sin(face.yaw), np.cos(face.yaw)
    width = face.width + grow
    cranium = float(np.hypot(width * c, (0.44 + grow) * s))
    back = -0.05 * s
    rows = [  # y, half-width, centre
        (-0.5 - grow, cranium * 0.42, back),
        (-0.44 - grow, cranium * 0.72, back),
        (-0.3, cranium * 0.95, back),
        (-0.1, cranium, back),
        (0.1, width * (0.97 - 0.05 * abs(s)), 0.03 * s),
        (0.25, width * (0.6 + 0.4 * face.jaw), 0.08 * s),
        (0.4, width * face.jaw * 0.86, 0.13 * s),
        (0.485, width * face.jaw * 0.52, 0.17 * s),
    ]
    y, half, middle = np.array(rows).T
    left, right = np.stack([middle - half, y], 1), np.stack([middle + half, y], 1)
    return smooth(np.concatenate([left, right[::-1]]), 2)


def neck(figure: Figure) -> None:
    """The neck and what the neckline leaves bare of the chest."""
    body, clothes, pen = figure.person.body, figure.person.clothes, figure.pen
    top = pen.units(figure.head.at([(-body.neck * 0.92, 0.2), (body.neck * 0.92, 0.2)]))
    turn = np.sin(body.yaw)
    low = 0.0 if figure.person.seen_from_behind or clothes.top == "poncho" else clothes.neckline
    shape = np.array(
        [
            top[0],
            (-body.neck * 1.02 - 0.03 * turn, -0.08),
            (-body.neck * 1.25 - 0.03 * turn, 0.03),
            (-0.05 + 0.22 * turn, 0.05 + low),
            (0.05 + 0.22 * turn, 0.05 + low),
            (body.neck * 1.25 - 0.03 * turn, 0.03),
            (body.neck * 1.02 - 0.03 * turn, -0.08),
            top[1],
        ]
    )
    pen.fill([smooth(shape, 1)], figure.skin, 0.22, gain=0.86)


def draw(figure: Figure) -> None:
    """Ears, skull and, unless seen from behind, the face."""
    face, pen = figure.person.face, figure.head
    s, c = np.sin(face.yaw), np.cos(face.yaw)
    for side in (-1, 1):
        x, z = side * face.width * 1.02 * c - 0.02 * s, -side * s
        if z > -0.45:
            pen.fill([ellipse((x, 0.06), 0.035 + 0.04 * abs(s), 0.105, side * 0.15)], figure.skin, 0.05, gain=0.93)
    pen.fill([skull(figure)], figure.skin, 0.36, shadow=0.5)
    if not figure.person.seen_from_behind:
        _features(figure)


def _features(figure: Figure) -> None:
    face, pen = figure.person.face, figure.head
    skin, statue = figure.skin_lit, figure.stone is not None
    brow_colour = figure.hair_lit * 0.75 if not statue else skin * 0.6

    def across(angle: float, radius: float = 0.0) -> tuple[float, float]:
        """Where an angle around the face falls, and how much it is foreshortened."""
        r = radius or face.width * 1.02
        return r * float(np.sin(angle + face.yaw)) + 0.03 * float(np.sin(face.yaw)), float(np.cos(angle + face.yaw))

    # The nose's shaded side, tip and nostrils.
    ridge, _ = across(0, face.width * 0.9)
    tip, _ = across(0, face.width * 1.22)
    away = -float(np.sign(pen.canvas.light.direction[0]) or 1)
    shade = np.array([[ridge, -0.04], [tip, 0.15], [tip + 0.055 * away, 0.17], [ridge + 0.05 * away, 0.02]])
    pen.flat(shade, skin * 0.84)
    pen.flat(np.array([[tip - 0.012, 0.0], [tip + 0.012, 0.02], [tip + 0.018, 0.14], [tip - 0.018, 0.14]]), skin * 1.08)
    pen.fill([ellipse((tip, 0.145), 0.058, 0.036)], figure.skin, 0.05, gain=1.02)
    pen.flat(ellipse((tip, 0.178), 0.05, 0.01), skin * 0.6)
    for side in (-1, 1):
        x, flat = across(side * 0.43)
        if flat < 0.2:
            continue
        pen.flat(ellipse((x, -0.035), 0.1 * flat, 0.06), skin * 0.86)
        eye = np.clip(skin * 0.25 + 0.62, 0, 1) if not statue else skin * 0.75
        pen.flat(ellipse((x, -0.02), 0.067 * flat, 0.03), eye)
        if not statue:
            look = x + 0.02 * float(np.sin(face.yaw))
            pen.flat(ellipse((look, -0.02), 0.029 * flat, 0.03), figure.lit(face.eye))
            pen.flat(ellipse((look, -0.02), 0.014 * flat, 0.016), DARK)
        lid = np.array([[x - 0.075 * flat, -0.018], [x, -0.056], [x + 0.075 * flat, -0.018]])
        pen.line(lid, skin * 0.35, 0.012)
        outer, inner = x + side * 0.1 * flat, x - side * 0.075 * flat
        brow = np.array([[outer, -0.105], [x, -0.135 - face.brow], [inner, -0.11 + face.brow]])
        pen.line(brow, brow_colour, 0.026)
    if face.beard != "none" and not statue:
        _beard(figure)
    _mouth(figure, *across(0, face.width * 1.05), skin, statue)
    if face.glasses != "none" and not statue:
        _glasses(figure, [(across(side * 0.43)) for side in (-1, 1)])


def _mouth(figure: Figure, x: float, flat: float, skin: Array, statue: bool) -> None:
    face, pen = figure.person.face, figure.head
    blush = np.array([0.95, 0.62, 0.6]) if not statue else np.array([0.9, 0.9, 0.9])
    lips = skin * (1 - face.lips + face.lips * blush)
    half = 0.115 * max(flat, 0.4)
    corner = 0.315 - face.smile
    upper = np.array(
        [[x - half, corner], [x - 0.03, 0.283], [x, 0.29], [x + 0.03, 0.283], [x + half, corner], [x, 0.325]]
    )
    lower = np.array([[x - half, corner], [x, 0.322], [x + half, corner], [x + 0.04, 0.36], [x - 0.04, 0.36]])
    pen.flat(upper, lips * 0.9)
    pen.flat(lower, lips)
    pen.line(np.array([[x - half, corner], [x, 0.322], [x + half, corner]]), skin * 0.42, 0.01)


def _beard(figure: Figure) -> None:
    face, rng, pen = figure.person.face, figure.rng, figure.head
    n = figure.count({"full": 1300, "goatee": 500, "stubble": 500}[face.beard])
    angle = rng.uniform(-1.45, 1.45, n) if face.beard != "goatee" else rng.uniform(-0.5, 0.5, n)
    low = 0.47 - 0.16 * (angle / 1.45) ** 2
    high = np.where(np.abs(angle) < 0.35, 0.37, 0.2 + 0.1 * np.cos(angle))
    moustache = rng.random(n) < 0.16
    y = np.where(moustache, rng.uniform(0.23, 0.275, n), rng.uniform(0, 1, n) ** 0.7 * (low - high) + high)
    angle = np.where(moustache, np.clip(angle, -0.35, 0.35), angle)
    radius = face.width * np.interp(y, [0.1, 0.3, 0.5], [1.0, 0.5 + 0.5 * face.jaw, face.jaw * 0.75])
    roots = np.stack([np.sin(angle) * radius, y, np.cos(angle) * 0.36], 1)
    length = {"full": rng.uniform(0.1, 0.3), "goatee": 0.14, "stubble": 0.025}[face.beard]
    aim = np.stack([np.sin(angle) * 0.35, np.full(n, 0.8), np.cos(angle) * 0.3], 1) + rng.normal(0, 0.22, (n, 3))
    steps = np.linspace(0, 1, 4)[None, :, None]
    paths = turned(roots[:, None] + steps * aim[:, None] * length * rng.uniform(0.6, 1.1, (n, 1, 1)), face.yaw)
    seen = paths[:, 0, 2] > -0.05
    paths[..., 0] += 0.08 * np.sin(face.yaw)
    pen.strands(paths[seen][..., :2], rng.uniform(0.55, 1.1, n)[seen], figure.hair_lit, 0.006)


def _glasses(figure: Figure, eyes: list[tuple[float, float]]) -> None:
    face, pen = figure.person.face, figure.head
    frame = figure.lit(
        np.array([0.12, 0.1, 0.1]) if face.jaw > 0.7 else figure.person.clothes.inner_fabric.colour * 0.7
    )
    shapes = []
    for x, flat in eyes:
        half = 0.125 * max(flat, 0.25)
        shape = ellipse((x, -0.015), half, 0.1)
        if face.glasses == "square":
            shape = smooth(rectangle(x - half, -0.09, x + half, 0.075), 1)
        if face.glasses == "sunglasses":
            pen.flat(shape, DARK)
        pen.line(shape, frame, 0.016, closed=True)
        shapes.append(shape)
    pen.line(np.array([[shapes[0][:, 0].max(), -0.03], [shapes[1][:, 0].min(), -0.03]]), frame, 0.016)
    for side, shape in zip((-1, 1), shapes, strict=True):
        edge = shape[:, 0].max() if side > 0 else shape[:, 0].min()
        temple = side * face.width * np.cos(face.yaw)
        if side * temple > side * edge:
            pen.line(np.array([[edge, -0.03], [temple, -0.02]]), frame, 0.014)


def hat(figure: Figure) -> None:
    """A beanie, a cap, a sun hat or a headscarf, over the hair."""
    kind, face, pen = figure.person.clothes.hat, figure.person.face, figure.head
    if kind == "none":
        return
    fabric = figure.cloth(figure.person.clothes.inner_fabric)
    s, c = float(np.sin(face.yaw)), float(np.cos(face.yaw))
    half = float(np.hypot((face.width + 0.05) * c, 0.48 * s))
    back = -0.05 * s
    crown = np.array([[-1, -0.2], [-0.95, -0.45], [-0.5, -0.63], [0.5, -0.63], [0.95, -0.45], [1, -0.2]])
    crown = shifted(crown * np.array([half, 1]), back, 0)
    if kind == "beanie":
        pen.fill([smooth(crown, 2)], fabric, 0.35, shadow=0.3)
        band = limb(
            np.array([[back - half * 0.97, -0.19], [back + 0.1 * s, -0.2 - 0.03 * c], [back + half * 0.97, -0.19]]),
            [0.07] * 3,
        )
        pen.fill(band, fabric, 0.09, gain=0.9, shadow=0.35)
    elif kind == "cap":
        pen.fill([smooth(shifted(crown, 0, 0.02), 2)], fabric, 0.35, shadow=0.3)
        if c > -0.3:
            visor = ellipse((back + 0.42 * s, -0.2), 0.3 * max(abs(c), 0.55) + 0.06, 0.075, 0.15 * s)
            pen.fill([visor], fabric, 0.06, gain=0.85, shadow=0.6)
    elif kind == "sun hat":
        brim = ellipse((back, -0.22), half + 0.34, 0.13)
        pen.fill([brim], plain(fabric.colour, 0.15), 0.1, gain=0.8, shadow=0.6)
        pen.fill([smooth(crown * (0.96, 1.0) + (0, -0.03), 2)], fabric, 0.3, shadow=0.2)
    else:
        _headscarf(figure, half, back)


def _headscarf(figure: Figure, half: float, back: float) -> None:
    face, pen, body = figure.person.face, figure.head, figure.person.body
    fabric = figure.cloth(figure.person.clothes.scarf_fabric)
    drape = body.shoulder * 0.85
    outer = np.array(
        [[back - half - 0.06, -0.1], [back - half * 0.75, -0.5], [back, -0.62], [back + half * 0.75, -0.5]]
    )
    outer = np.concatenate([outer, [[back + half + 0.06, -0.1], [back + half, 0.35], [drape, 0.98], [0.1, 1.25]]])
    outer = np.concatenate([outer, [[-drape, 0.98], [back - half, 0.35]]])
    opening = []
    if not figure.person.seen_from_behind:
        centre = 0.13 * float(np.sin(face.yaw))
        opening = [smooth(np.array([[centre + x * face.width * 0.9, y] for x, y in _FACE]), 2)]
    pen.fill([smooth(outer, 2)], fabric, 0.3, shadow=0.3, holes=opening)


_FACE = [(-0.9, -0.15), (-0.6, -0.34), (0.6, -0.34), (0.9, -0.15), (0.88, 0.15), (0.5, 0.5), (-0.5, 0.5), (-0.88, 0.15)]
