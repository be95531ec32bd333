"""A layout of a user's own whose masks are annotations: a circle for each photo, in a JSON. Nothing imports it."""

import json
from functools import partial

import numpy as np

from wsshm.config import Section
from wsshm.data.layouts import Annotated, Drawing, Layout, register
from wsshm.data.manifest import Sample


class Options(Section):
    """How circles are drawn."""

    grow: float = 1.0
    """Factor of every radius."""


def draw(circle, width, height, grow):
    x, y, radius = circle
    rows, columns = np.mgrid[:height, :width]
    return ((columns - x) ** 2 + (rows - y) ** 2 <= (grow * radius) ** 2).astype(np.uint8)


def read(root, split, domain, options):
    path = root / "circles.json"
    samples, drawings = [], {}
    for name, entry in json.loads(path.read_text()).items():
        samples.append(
            Sample(id=name, split=entry.get("split", split), kind="photo", domain=domain, image=f"{name}.png")
        )
        width, height = entry["size"]
        shape = partial(draw, entry["circle"], width, height, options.grow)
        drawings[name] = Drawing(width, height, f"{path}, {name}", shape)
    return Annotated(samples, drawings)


register(
    Layout(
        "circles",
        "photos with circles",
        "circles.json: names of photos, their size and circle",
        read,
        fits=lambda root: (root / "circles.json").is_file(),
        domain="natural",
        options=Options,
    )
)
