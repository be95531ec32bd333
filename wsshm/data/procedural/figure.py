"""A person about to be drawn: where the pen stands, and the colours of things under the scene's light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsshm.data.procedural.canvas import Pen
from wsshm.data.procedural.person import Person
from wsshm.data.procedural.skeleton import Skeleton
from wsshm.data.procedural.texture import Array, Material, plain

HEAD_Y = -0.70  # centre of the head above the base of the neck


@dataclass(frozen=True)
class Figure:
    """A person about to be drawn: the pen stands at the base of the neck, its unit is the head's height.

    `stone` makes a statue or a mannequin of them: one material all over. `detail` scales the number of strands.
    """

    person: Person
    pen: Pen
    skeleton: Skeleton
    rng: np.random.Generator
    stone: Material | None
    detail: float

    def cloth(self, material: Material) -> Material:
        return self.stone or material

    @property
    def skin(self) -> Material:
        return self.stone or plain(self.person.skin, 0.03, self.person.seed)

    @property
    def skin_lit(self) -> Array:
        """Colour (3,) of flat features painted on skin."""
        light = self.pen.canvas.light
        return np.clip(self.skin.colour * light.level * light.colour, 0, 1)

    @property
    def hair_lit(self) -> Array:
        light = self.pen.canvas.light
        colour = self.stone.colour * 0.9 if self.stone else self.person.hair.colour
        return np.asarray(colour * (light.ambient + 0.75 * light.diffuse) * light.colour)

    @property
    def head(self) -> Pen:
        """A pen at the centre of the head, turned with it."""
        yaw = self.person.body.yaw
        return self.pen.moved((0.07 * np.sin(yaw), HEAD_Y), self.person.face.tilt)

    def lit(self, colour: Array) -> Array:
        """A flat colour under the scene's light; statues keep only its brightness."""
        light = self.pen.canvas.light
        if self.stone:
            colour = self.stone.colour * (0.75 + 0.25 * float(np.mean(colour)))
        return np.asarray(colour * light.level * light.colour)

    def count(self, strands: float) -> int:
        """How many strands to draw at this size, of a number meant for a head 120 canvas pixels high."""
        return max(1, int(strands * self.detail))
