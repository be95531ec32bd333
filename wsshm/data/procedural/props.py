"""Things that people hold; they belong to the foreground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsshm.data.procedural.canvas import ellipse, limb, rectangle, shifted, smooth
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.skeleton import Arm
from wsshm.data.procedural.texture import Array, Material, any_colour, any_fabric, hsv, plain

CANOPY = (0.35, -2.15)  # the umbrella's top ring, in head heights from the base of the neck


def held(figure: Figure, arm: Arm) -> None:
    """Draw what the person holds, at the hand of `arm`."""
    hand = arm.joints[2:, :2].mean(0)
    _DRAW[figure.person.held](figure, hand)


def canopy(figure: Figure) -> None:
    """The umbrella's roof and pole, behind the person."""
    x, y = CANOPY
    hand = next(arm for arm in figure.skeleton.arms if arm.side == 1).joints[2:, :2].mean(0)
    figure.pen.line([(x, y - 0.3), hand], figure.lit(np.array([0.35, 0.35, 0.37])), 0.025)
    wide, high = 1.75, 0.8
    arc = np.linspace(np.pi, 2 * np.pi, 33)
    top = np.stack([x + wide * np.cos(arc), y + 0.6 + high * np.sin(arc)], 1)
    hem = []
    for k in range(6):
        a, b = x + wide - 2 * wide * k / 6, x + wide - 2 * wide * (k + 1) / 6
        hem += [(a, y + 0.62), ((a + b) / 2, y + 0.5)]
    fabric = figure.person.clothes.scarf_fabric
    figure.pen.fill([np.concatenate([top, np.array(hem)])], fabric, 0.7)
    for k in range(1, 6):
        foot = x - wide + 2 * wide * k / 6
        figure.pen.line(
            [(x, y - 0.2), ((x + foot) / 2, y + 0.1), (foot, y + 0.6)], figure.lit(fabric.colour) * 0.6, 0.012
        )


def _umbrella(figure: Figure, hand: Array) -> None:
    figure.pen.fill(
        limb(np.stack([shifted(hand, 0, -0.15), shifted(hand, 0, 0.25)]), [0.05, 0.05]),
        plain(np.array([0.25, 0.15, 0.1])),
        0.05,
    )


def _bag(figure: Figure, hand: Array) -> None:
    rng = figure.rng
    half, deep, drop = rng.uniform(0.32, 0.55), rng.uniform(0.6, 1.0), rng.uniform(0.25, 0.6)
    top = shifted(hand, 0, 0.2 + drop)
    fabric = any_fabric(rng)
    for shift in (-0.5, 0.5):
        x = shift * half
        figure.pen.line(
            [shifted(top, x - 0.08, 0.1), shifted(hand, x * 0.3, 0.12), shifted(top, x + 0.08, 0.1)],
            figure.lit(fabric.colour * 0.7),
            0.028,
        )
    shape = smooth(rectangle(top[0] - half, top[1], top[0] + half, top[1] + deep), 1)
    figure.pen.fill([shape], fabric, 0.2, shadow=0.35)


def _book(figure: Figure, hand: Array) -> None:
    yaw = np.sin(figure.person.body.yaw)
    middle = np.array([0.55 * yaw + 0.0, float(hand[1]) - 0.12])
    squeeze = 0.55 + 0.45 * abs(np.cos(figure.person.body.yaw))
    cover = plain(any_colour(figure.rng, 0.9, 0.2, 0.8), 0.05)
    for side in (-1, 1):
        page = np.array([[0, 0.32], [0, -0.3], [side * 0.46 * squeeze, -0.36], [side * 0.46 * squeeze, 0.26]]) + middle
        figure.pen.fill([page], cover, 0.03, shadow=0.3, gain=1.0 + 0.12 * side)


def _phone(figure: Figure, hand: Array) -> None:
    shape = smooth(rectangle(-0.13, -0.3, 0.13, 0.22), 1) @ np.array([[0.97, 0.24], [-0.24, 0.97]]) + hand
    figure.pen.fill([shape], plain(np.array([0.1, 0.1, 0.12])), 0.03, shadow=0.2)


def _guitar(figure: Figure, hand: Array) -> None:
    other = next(a for a in figure.skeleton.arms if a.side == -1).joints[2, :2]
    along = hand - other
    along = along / (np.linalg.norm(along) + 1e-6)
    across = np.array([-along[1], along[0]])
    turn = float(np.arctan2(along[1], along[0]))
    hole = other + along * 0.1
    wood = Material(np.array([0.72, 0.42, 0.18]), "stripes", np.array([0.66, 0.37, 0.15]), 16, turn + np.pi / 2, 0.1)
    dark = plain(np.array([0.25, 0.15, 0.1]), 0.05)
    figure.pen.fill(
        [ellipse(hole - along * 0.4, 0.58, 0.66, turn), ellipse(hole + along * 0.2, 0.48, 0.48, turn)],
        wood,
        0.1,
        shadow=0.4,
    )
    figure.pen.fill([ellipse(hole + along * 0.05, 0.17, 0.17)], plain(np.array([0.1, 0.07, 0.05])), 0.05)
    end = hole + along * 2.3
    figure.pen.fill(limb(np.stack([hole + along * 0.3, end, end + along * 0.35]), [0.075, 0.065, 0.11]), dark, 0.05)
    for k in range(4):
        shift = across * (k - 1.5) * 0.028
        figure.pen.line([hole - along * 0.45 + shift, end + shift], figure.lit(np.array([0.8, 0.78, 0.7])), 0.006)


def _ball(figure: Figure, hand: Array) -> None:
    radius = figure.rng.uniform(0.35, 0.55)
    middle = np.array([0.35 * np.sin(figure.person.body.yaw), float(hand[1])])
    figure.pen.fill([ellipse(middle, radius, radius)], any_fabric(figure.rng), radius, shadow=0.4)


def _flowers(figure: Figure, hand: Array) -> None:
    rng = figure.rng
    hue = rng.random()
    for _ in range(14):
        lean, tall = rng.normal(0, 0.32), rng.uniform(0.6, 1.1)
        top = shifted(hand, lean, -tall)
        green = figure.lit(np.array([0.2, 0.42, 0.16]) * rng.uniform(0.7, 1.3))
        figure.pen.line(
            [shifted(hand, -lean * 0.4, 0.4), hand, shifted(hand, lean * 0.4, -tall * 0.6), top], green, 0.018
        )
        leaf = shifted(hand, lean * 0.6, -tall * 0.6)
        figure.pen.flat(ellipse(leaf, 0.15, 0.035, rng.uniform(0, np.pi)), green)
        petal = figure.lit(hsv(hue + rng.normal(0, 0.06), rng.uniform(0.3, 0.8), rng.uniform(0.7, 1)))
        for k in range(6):
            spoke = np.array([np.cos(k * 1.05), np.sin(k * 1.05)]) * 0.07
            figure.pen.flat(ellipse(top + spoke, 0.055, 0.055), petal * rng.uniform(0.85, 1.1))
        figure.pen.flat(ellipse(top, 0.04, 0.04), figure.lit(np.array([0.9, 0.75, 0.2])))


def _cup(figure: Figure, hand: Array) -> None:
    cup = np.array([[-0.11, -0.28], [0.11, -0.28], [0.085, 0.14], [-0.085, 0.14]]) + hand
    figure.pen.fill([cup], plain(any_colour(figure.rng, 0.7, 0.4, 0.95)), 0.1, shadow=0.2)


_DRAW: dict[str, Callable[[Figure, Array], None]] = {
    "bag": _bag,
    "book": _book,
    "phone": _phone,
    "umbrella": _umbrella,
    "guitar": _guitar,
    "ball": _ball,
    "flowers": _flowers,
    "cup": _cup,
}
