"""Drawing a person: the order of the parts, from back to front."""

from __future__ import annotations

import numpy as np

from wsshm.data.procedural import garments, hair, head, limbs, props
from wsshm.data.procedural.canvas import Canvas, Pen
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.person import Person
from wsshm.data.procedural.skeleton import Arm, pose
from wsshm.data.procedural.texture import Array, Material

FAR = -0.12  # arms whose joints lie further back are drawn before the trunk


def draw_person(canvas: Canvas, person: Person, neck: Array, unit: float, stone: Material | None = None) -> None:
    """Draw one person opaquely, the base of the neck at canvas pixel `neck` (2,), a head `unit` canvas pixels high."""
    pen = Pen(canvas, np.asarray(neck, np.float32), unit, person.body.lean)
    detail = float(np.clip(unit / 120, 0.25, 2.5)) * (0.4 if stone else 1.0)
    skeleton = pose(person.body, person.held)
    figure = Figure(person, pen, skeleton, np.random.default_rng(person.seed), stone, detail)
    strands = hair.grow(figure)

    if person.held == "umbrella" and not stone:
        props.canopy(figure)
    if person.clothes.backpack:
        garments.backpack(figure)
    hair.draw_behind(figure, strands)
    covered = person.clothes.top == "poncho"
    far = [arm for arm in skeleton.arms if arm.depth < FAR or (covered and not _busy(person, arm))]
    for arm in far:
        limbs.draw_arm(figure, arm)
    garments.behind_legs(figure)
    for leg in sorted(skeleton.legs, key=lambda leg: leg.depth):
        limbs.draw_leg(figure, leg)
    garments.pelvis(figure)
    garments.torso(figure)
    head.neck(figure)
    garments.over_neck(figure)
    head.draw(figure)
    hair.draw_front(figure, strands)
    head.hat(figure)
    near = [arm for arm in skeleton.arms if all(arm is not other for other in far)]
    for arm in sorted(near, key=lambda arm: arm.depth):
        if arm.side == 1 and person.held != "none" and not stone:
            props.held(figure, arm)
        limbs.draw_arm(figure, arm)


def _busy(person: Person, arm: Arm) -> bool:
    return person.held != "none" and (arm.side == 1 or person.held in ("book", "guitar", "ball"))
