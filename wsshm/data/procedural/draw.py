"""Drawing a person: the order of the parts, from back to front."""

from __future__ import annotations

import numpy as np

from wsshm.data.procedural import garments, hair, head, limbs, props, wardrobe
from wsshm.data.procedural.canvas import Canvas, Pen
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.person import Person
from wsshm.data.procedural.skeleton import Arm, pose
from wsshm.data.procedural.texture import Array, Material

FAR = -0.12  # arms whose joints lie further back are drawn before the trunk


def draw_person(canvas: Canvas, person: Person, neck: Array, unit: float, stone: Material | None = None) -> None:
    """Draw one person opaquely, the base of the neck at canvas pixel `neck` (2,), a head `unit` canvas pixels high."""
    pen = Pen(canvas, np.asarray(neck, np.float32), unit, person.body.lean)
    detail = float(np.clip(unit / 120, 0.25, 4.0)) * (0.4 if stone else 1.0)
    skeleton = pose(person.body, person.held)
    figure = Figure(person, pen, skeleton, np.random.default_rng(person.seed), stone, detail)
    strands = hair.grow(figure)

    if person.held == "umbrella" and not stone:
        props.canopy(figure)
    away = person.seen_from_behind
    if person.clothes.backpack and not away:
        garments.backpack(figure)
    hair.draw_behind(figure, strands)
    behind = [arm for arm in skeleton.arms if _behind(person, arm)]
    _arms(figure, behind)
    garments.behind_legs(figure)
    for leg in sorted(skeleton.legs, key=lambda leg: leg.depth):
        limbs.draw_leg(figure, leg)
    garments.pelvis(figure)
    wardrobe.TOPS.get(person.clothes.top, garments.torso)(figure)
    head.neck(figure)
    garments.over_neck(figure)
    wardrobe.over_neck(figure)
    if person.clothes.backpack and away:
        garments.backpack(figure)
    head.draw(figure)
    hair.draw_front(figure, strands)
    wardrobe.HATS.get(person.clothes.hat, head.hat)(figure)
    _arms(figure, [arm for arm in skeleton.arms if not _behind(person, arm)])


def _arms(figure: Figure, arms: list[Arm]) -> None:
    for arm in sorted(arms, key=lambda arm: arm.depth):
        if arm.side == 1 and figure.person.held != "none" and not figure.stone:
            props.held(figure, arm)
        limbs.draw_arm(figure, arm)


def _behind(person: Person, arm: Arm) -> bool:
    """Whether the trunk hides part of an arm: it lies further back, or under a poncho or cape, or before a turned back."""
    busy = person.held != "none" and (arm.side == 1 or person.held in ("book", "guitar", "ball"))
    if person.seen_from_behind and busy and person.held != "bag":
        return True
    return arm.depth < FAR or (person.clothes.top in ("poncho", *wardrobe.COVERS_ARMS) and not busy)
