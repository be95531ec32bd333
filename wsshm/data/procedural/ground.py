"""What scenes share: floors in perspective, plants, and statues, mannequins and portraits that look like people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wsshm.data.procedural.canvas import CIRCLE, Canvas, Pen, rectangle
from wsshm.data.procedural.draw import draw_person
from wsshm.data.procedural.person import sample_person
from wsshm.data.procedural.texture import Array, Material, any_colour, value_noise


def floor(rng: np.random.Generator, pen: Pen, horizon: float, first: Array, second: Array, kind: str) -> None:
    """Fill all below `horizon` with a ground of two colours, `tiles`, `boards` or `rough`, seen in perspective."""
    picture = pen.canvas.rgba
    side = picture.shape[0]
    top = int(horizon * side)
    rows = side - top
    if rows < 2:
        return
    near = (np.arange(rows, dtype=np.float32) + 1) / rows
    depth = 1 / (0.12 + 0.88 * near)
    across = (np.arange(side, dtype=np.float32) / side - 0.5)[None] * depth[:, None]
    if kind == "tiles":
        share = ((np.floor(across * 5) + np.floor(depth * 3)[:, None]) % 2).astype(np.float32)
    elif kind == "boards":
        share = 0.5 + 0.4 * np.sin(np.floor(across * 8) * 12.9).astype(np.float32)
    else:
        share = value_noise(rng, rows, side, 18, 3)[..., 0]
    picture[top:, :, :3] = first + (second - first) * share[..., None]
    picture[top:, :, :3] *= (0.72 + 0.28 * near)[:, None, None]


def shade(pen: Pen, top: float, bottom: float) -> None:
    """Darken the whole picture smoothly from factor `top` to factor `bottom`."""
    side = pen.canvas.rgba.shape[0]
    pen.canvas.rgba[..., :3] *= np.linspace(top, bottom, side, dtype=np.float32)[:, None, None]


def leaves(rng: np.random.Generator, pen: Pen, x: float, y: float, size: float, colour: Array) -> None:
    """A tuft of curved leaves or blades growing from (x, y)."""
    n, t = int(rng.integers(18, 45)), np.linspace(0, 1, 7)
    lean, tall = rng.normal(0, 0.6, (n, 1)), size * rng.uniform(0.45, 1.0, (n, 1))
    across = x + tall * np.sin(lean) * t + 0.2 * size * lean * t**2
    paths = np.stack([across, y - tall * (t - 0.25 * np.abs(lean) * t**2)], -1)
    wide = rng.random(n) < 0.5
    for chosen, width in ((~wide, 0.015), (wide, rng.uniform(0.025, 0.05))):
        pen.strands(paths[chosen], rng.uniform(0.5, 1.4, int(chosen.sum())), colour, size * width)


def statue(rng: np.random.Generator, pen: Pen, x: float, y: float, head: float, material: Material) -> None:
    """A figure of stone, bronze or plastic, the base of its neck at (x, y), a head `head` of the picture high."""
    person = sample_person(rng)
    style = person.hair.style if person.hair.style in ("short", "bob", "bun", "bald", "curly") else "bald"
    person = replace(
        person,
        held="none",
        hair=replace(person.hair, style=style, flyaways=0.0, wind=0.0),
        clothes=replace(person.clothes, scarf="none", backpack=False, hat="none"),
    )
    draw_person(pen.canvas, person, pen.at((x, y)), head * pen.unit, stone=material)


def stone(rng: np.random.Generator, colour: Array) -> Material:
    """A mottled material for statues."""
    return Material(
        colour, "print", colour * rng.uniform(0.6, 0.9), fold=0.15, fold_cells=8, seed=int(rng.integers(1 << 30))
    )


def portrait(rng: np.random.Generator, pen: Pen, x0: float, y0: float, x1: float, y1: float) -> None:
    """A framed picture of a person: flat, on a wall, and not to be cut out."""
    side = pen.canvas.rgba.shape[0]
    left, top, right, bottom = (int(np.clip(v, 0, 1) * side) for v in (x0, y0, x1, y1))
    if right - left < 12 or bottom - top < 12:
        return
    small = Canvas(bottom - top, right - left, 1, pen.canvas.light)
    small.rgba[...] = (*any_colour(rng, 0.5, 0.3), 1.0)
    head = (bottom - top) * rng.uniform(0.25, 0.42)
    draw_person(small, sample_person(rng), np.array([(right - left) * 0.5, (bottom - top) * 0.62]), head)
    pen.canvas.rgba[top:bottom, left:right, :3] = small.rgba[..., :3] * 0.9
    pen.line(rectangle(x0, y0, x1, y1), any_colour(rng), 0.014, closed=True)


def blob_cloud(
    rng: np.random.Generator, pen: Pen, x: float, y: float, wide: float, high: float, colour: Array, n: int
) -> None:
    """Foliage: many small discs of similar colours, the upper ones lighter."""
    spots = rng.normal(0, 0.5, (n, 2))
    spots = spots[np.argsort(-spots[:, 1])]
    radius = wide * rng.uniform(0.025, 0.065, (n, 1)) * np.stack([np.ones(n), rng.uniform(0.4, 0.8, n)], 1)
    turn = rng.uniform(0, np.pi, n)
    axes = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], 1).reshape(n, 2, 2)
    leaves = (x, y) + spots[:, None] * (wide, high) + (CIRCLE[None, ::3] * radius[:, None]) @ axes
    tone = np.clip(1 - 0.5 * spots[:, 1], 0.45, 1.5) * rng.uniform(0.75, 1.2, n)
    pen.flats(leaves, colour * tone[:, None])
