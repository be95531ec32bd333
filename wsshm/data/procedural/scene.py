"""Coherent scenes behind people: one room or one outdoors place, one light, and things that only look like people."""

from __future__ import annotations

import numpy as np

from wsshm.data.procedural import indoor, outdoor
from wsshm.data.procedural.canvas import Canvas, Light, Pen
from wsshm.data.procedural.texture import Array

SUPERSAMPLE = 2


def draw_scene(rng: np.random.Generator, size: int, light: Light, setting: str, horizon: float) -> Array:
    """One scene without people, float32 (size, size, 3) in [0, 1].

    `setting` is `indoor` or `outdoor`; `horizon` is where the floor begins, as a share of the height (may exceed 1).
    """
    canvas = Canvas(size, size, SUPERSAMPLE, light)
    canvas.rgba[..., 3] = 1
    pen = Pen(canvas, np.zeros(2, np.float32), float(size * SUPERSAMPLE))
    (indoor if setting == "indoor" else outdoor).draw(rng, pen, horizon)
    return np.clip(canvas.resolve()[..., :3], 0, 1)
