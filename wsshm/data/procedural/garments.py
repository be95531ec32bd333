"""Clothes on the trunk: tops, trousers' seat, skirts, coats, ponchos, scarves and backpacks."""

from __future__ import annotations

import numpy as np

from wsshm.data.procedural.canvas import limb, smooth
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.person import Body
from wsshm.data.procedural.texture import Array

SEAT_Y = 2.8


def profile(body: Body, ease: float = 0.0) -> Array:
    """Cross-sections of the trunk (rows of y, half-width, half-depth, how far forward), in head heights."""
    s, g = body.shoulder, body.girth
    rows = [
        (-0.04, body.neck, body.neck, -0.03),
        (0.05, body.neck * 1.45, body.neck * 1.1, -0.03),
        (0.14, s * 0.66, 0.24, -0.03),
        (0.22, s * 0.9, 0.29, -0.02),
        (0.34, s * 0.97, 0.33, 0.0),
        (0.6, s * 0.9, 0.36, 0.03),
        (0.95, body.chest, 0.37 * g**0.5 + body.bust * 0.5, body.bust),
        (1.25, (body.chest + body.waist) / 2, 0.36 * g**0.7, body.bust * 0.4),
        (1.6, body.waist, 0.34 * g, 0.02),
        (2.0, (body.waist + body.hip) / 2 + 0.05, 0.38 * g, 0.0),
        (2.4, body.hip, 0.42 * g**0.7, -0.05),
        (SEAT_Y, body.hip * 0.93, 0.38 * g**0.7, -0.05),
    ]
    table = np.array(rows)
    table[3:, 1:3] += ease
    return table


def outline(table: Array, yaw: float) -> Array:
    """The silhouette (n, 2) of stacked elliptic sections (y, half-width, half-depth, forward), turned by `yaw`."""
    y, a, b, forward = table.T
    half = np.hypot(a * np.cos(yaw), b * np.sin(yaw))
    middle = forward * np.sin(yaw)
    left = np.stack([middle - half, y], 1)
    right = np.stack([middle + half, y], 1)
    return np.concatenate([left, right[::-1]])


def front(table: Array, yaw: float, inner: Array, outer: Array) -> Array:
    """A strip (n, 2) on the front of the trunk between the angles `inner` and `outer` (n,) around its axis."""
    y, a, b, forward = table.T
    sides = []
    for angle in (inner, outer):
        x = np.sin(angle) * a * np.cos(yaw) + (np.cos(angle) * b + forward) * np.sin(yaw)
        sides.append(np.stack([x, y], 1))
    return np.concatenate([sides[0], sides[1][::-1]])


def _skirt(figure: Figure, top: float, bottom: float, flare: float) -> Array:
    body = figure.person.body
    table = profile(body, 0.03)
    t = np.linspace(0, 1, 7)
    y = top + (bottom - top) * t
    a = np.maximum(np.interp(y, table[:, 0], table[:, 1]), body.hip * np.minimum(1, t * 4)) + flare * t**1.3
    b = np.interp(y, table[:, 0], table[:, 2]) + flare * t**1.3
    sides = outline(np.stack([y, a, b, np.zeros(7)], 1), body.yaw)
    hem_x = np.linspace(sides[6, 0], sides[7, 0], 17)
    sway = figure.rng.uniform(0, 6)
    hem_y = bottom + 0.05 * np.sin(hem_x * 9 + sway) + 0.08 * np.sin(np.linspace(0, np.pi, 17))
    return np.concatenate([sides[:7], np.stack([hem_x, hem_y], 1), sides[7:]])


def behind_legs(figure: Figure) -> None:
    """The inside of a coat or robe that shows behind the legs."""
    clothes = figure.person.clothes
    if clothes.top == "coat":
        shape = _skirt(figure, 1.6, 2.6 + clothes.bottom_length * 0.8, clothes.flare * 0.5)
        figure.pen.fill([shape], figure.cloth(clothes.top_fabric), 0.3, gain=0.6)


def pelvis(figure: Figure) -> None:
    """Trousers' seat, or a skirt."""
    clothes, body = figure.person.clothes, figure.person.body
    if clothes.top in ("dress", "robe"):
        return
    if clothes.bottom == "skirt":
        shape = _skirt(figure, 1.5, 2.4 + clothes.bottom_length, clothes.flare)
        figure.pen.fill([shape], figure.cloth(clothes.bottom_fabric), 0.4, shadow=0.4)
    else:
        table = profile(body, 0.02)[8:]
        figure.pen.fill([smooth(outline(table, body.yaw), 1)], figure.cloth(clothes.bottom_fabric), 0.4)


def torso(figure: Figure) -> None:
    """The top: shirt, jacket, coat, dress, robe or poncho."""
    clothes, body, pen = figure.person.clothes, figure.person.body, figure.pen
    fabric = figure.cloth(clothes.top_fabric)
    table = profile(body, 0.05 if clothes.top in ("jacket", "coat", "robe") else 0.015)
    tucked = clothes.top == "shirt" and clothes.neckline < 0.17
    shape = smooth(outline(table[:10] if tucked else table[:11], body.yaw), 2)
    if clothes.top == "poncho":
        _poncho(figure)
        return
    shapes = [shape]
    if clothes.top in ("dress", "robe"):
        bottom = 2.5 + clothes.bottom_length * (1.2 if clothes.top == "robe" else 1.0)
        shapes.append(_skirt(figure, 1.55, min(bottom, 5.4), clothes.flare * (0.6 if clothes.top == "robe" else 1)))
    elif clothes.top == "coat":
        shapes.append(_skirt(figure, 1.55, 2.6 + clothes.bottom_length * 0.8, clothes.flare * 0.5))
    pen.fill(shapes, fabric, 0.42, shadow=0.3)
    if figure.person.seen_from_behind:
        return
    if clothes.top in ("jacket", "coat", "robe"):
        _opening(figure, table)
    elif clothes.top == "shirt" and clothes.neckline > 0.24:
        _buttons(figure, table)


def _opening(figure: Figure, table: Array) -> None:
    clothes, yaw = figure.person.clothes, figure.person.body.yaw
    rows = table[1:11] if clothes.top != "robe" else table[1:7]
    t = np.linspace(0, 1, len(rows))
    wide = 0.28 + 0.25 * clothes.flare * t if clothes.top != "robe" else 0.5 * (1 - t) + 0.02
    strip = front(rows, yaw, -wide, wide)
    figure.pen.fill([strip], figure.cloth(clothes.inner_fabric), 0.8)
    if clothes.top == "coat" and clothes.bottom != "skirt":
        low = table[8:].copy()
        low[-1, 0] = 2.6 + clothes.bottom_length * 0.75
        spread = np.linspace(0.5, 0.75, len(low))
        figure.pen.fill([front(low, yaw, -spread, spread)], figure.cloth(clothes.bottom_fabric), 0.8, gain=0.85)
    for side in (-1, 1):
        lapel = front(rows[:5], yaw, side * wide[:5], side * (wide[:5] + np.array([0.1, 0.28, 0.3, 0.2, 0.02])))
        figure.pen.fill([lapel], figure.cloth(clothes.top_fabric), 0.06, gain=1.12, shadow=0.3)


def _buttons(figure: Figure, table: Array) -> None:
    yaw = figure.person.body.yaw
    rows = table[3:10]
    zero = np.zeros(len(rows))
    path = front(rows, yaw, zero, zero)[: len(rows)]
    colour = figure.lit(figure.person.clothes.top_fabric.colour)
    figure.pen.line(path, colour * 0.6, 0.012)
    for y in np.arange(0.5, 2.0, 0.28):
        x = np.interp(y, path[:, 1], path[:, 0])
        figure.pen.flat(np.array([x, y]) + 0.018 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]), colour * 1.4)


def _poncho(figure: Figure) -> None:
    clothes, body = figure.person.clothes, figure.person.body
    bottom = 1.7 + 0.35 * clothes.bottom_length
    width = body.shoulder * 1.25 + 0.4 * clothes.flare
    y = np.array([-0.03, 0.1, 0.3, 0.9, bottom])
    half = np.array([body.neck * 1.2, body.shoulder * 0.75, body.shoulder * 1.08, width * 0.95, width])
    depth = half * 0.6
    sides = outline(np.stack([y, half, depth, np.zeros(5)], 1), body.yaw)
    hem_x = np.linspace(sides[4, 0], sides[5, 0], 25)
    hem_y = bottom + 0.25 * np.sin(np.linspace(0, np.pi, 25)) + 0.03 * np.sin(hem_x * 12)
    shape = np.concatenate([sides[:5], np.stack([hem_x, hem_y], 1), sides[5:]])
    _fringe(figure, np.stack([hem_x, hem_y], 1), 0.32, clothes.top_fabric.colour)
    figure.pen.fill([shape], figure.cloth(clothes.top_fabric), 0.5, shadow=0.4)


def _fringe(figure: Figure, hem: Array, length: float, colour: Array) -> None:
    """Threads that hang from a hem."""
    rng = figure.rng
    along = np.linalg.norm(np.diff(hem, axis=0), axis=1).sum()
    n = max(int(along * 60 * figure.detail), 8)
    t = np.sort(rng.uniform(0, len(hem) - 1.001, n))
    roots = np.stack([np.interp(t, np.arange(len(hem)), hem[:, i]) for i in range(2)], 1)
    steps = np.linspace(0, 1, 5)[None, :, None]
    tuft = np.floor(t * 2.2)
    lean = rng.normal(0, 0.05, int(tuft.max()) + 1)[tuft.astype(int)] + rng.normal(0, 0.035, n)
    fall = np.stack([lean, length * rng.uniform(0.75, 1.05, n)], 1)
    paths = roots[:, None] + steps * fall[:, None] + (steps**2) * rng.normal(0, 0.03, (n, 1, 2))
    figure.pen.strands(paths, rng.uniform(0.7, 1.2, n), figure.lit(colour), 0.006)


def over_neck(figure: Figure) -> None:
    """A scarf, a fur collar or a lace shawl."""
    kind, body, rng = figure.person.clothes.scarf, figure.person.body, figure.rng
    if kind == "none" or figure.stone:
        return
    fabric = figure.person.clothes.scarf_fabric
    turn = np.sin(body.yaw) * 0.15
    if kind == "fringed":
        width = body.neck * 1.5
        ring = limb(np.array([[-width, -0.08], [turn, 0.12], [width, -0.08]]), [0.13, 0.17, 0.13])
        x = turn + rng.uniform(-0.2, 0.2)
        end = np.array([x + rng.uniform(-0.25, 0.25), rng.uniform(0.9, 2.0)])
        tail = limb(np.array([[x, 0.12], end]), [0.13, 0.17])
        if not figure.person.seen_from_behind:
            _fringe(figure, end + np.array([[-0.17, 0.1], [0, 0.14], [0.17, 0.1]]), 0.28, fabric.colour)
            figure.pen.fill(tail, fabric, 0.14, shadow=0.4)
        figure.pen.fill(ring, fabric, 0.15, shadow=0.4)
    elif kind == "fur":
        n = figure.count(2600)
        around = rng.uniform(-0.25, np.pi + 0.25, n)
        roots = np.stack([np.cos(around) * body.shoulder * 0.66 + turn, 0.06 + 0.2 * np.sin(around)], 1)
        roots += rng.normal(0, 0.045, (n, 2))
        aim = np.stack([np.cos(around) * 0.6, 0.25 + 0.4 * np.sin(around)], 1) + rng.normal(0, 0.45, (n, 2))
        steps = np.linspace(0, 1, 4)[None, :, None]
        paths = roots[:, None] + steps * aim[:, None] * 0.16 + steps**2 * np.array([0, 0.05])
        figure.pen.strands(paths, rng.uniform(0.6, 1.3, n), figure.lit(fabric.colour), 0.006)
    else:
        _lace(figure, turn)


def _lace(figure: Figure, turn: float) -> None:
    """A shawl of crossing threads: opaque each, see-through together."""
    body, rng = figure.person.body, figure.rng
    wide, low = body.shoulder * 1.1, rng.uniform(1.2, 1.8)
    threads = max(int(56 * figure.detail**0.5), 20)
    t = np.linspace(0, 1, 9)
    span = np.linspace(-1, 1, threads)[:, None]
    spread = body.neck * 1.2 + (wide - body.neck * 1.2) * t**0.6
    paths = []
    for shift in (-0.25, 0.25):
        lane = np.clip(span + shift * t, -1, 1)
        y = -0.02 + low * t * (1 - 0.25 * lane**2)
        paths.append(np.stack([lane * spread + turn, y + 0 * lane], -1))
    hem = paths[0][:, -1]
    figure.pen.line(hem, figure.lit(figure.person.clothes.scarf_fabric.colour), 0.02)
    figure.pen.strands(
        np.concatenate(paths), np.ones(2 * threads), figure.lit(figure.person.clothes.scarf_fabric.colour), 0.009
    )


def backpack(figure: Figure) -> None:
    """A backpack that shows beside the trunk when it is turned."""
    body = figure.person.body
    x = -0.5 * np.sin(body.yaw)
    half = 0.5 * abs(np.cos(body.yaw)) + 0.28
    pack = smooth(np.array([[x - half, 0.2], [x + half, 0.2], [x + half, 1.75], [x - half, 1.75]]), 2)
    figure.pen.fill([pack], figure.cloth(figure.person.clothes.inner_fabric), 0.3)
