"""The embedded data set: pictures of people, drawn, with exact alpha by construction; no download."""

from wsshm.data.procedural.dataset import (
    DEFAULT_COUNTS,
    GENERATOR_VERSION,
    PARTS,
    SHIFTED,
    Recipe,
    embedded,
    ensure,
    make,
)

__all__ = ["DEFAULT_COUNTS", "GENERATOR_VERSION", "PARTS", "SHIFTED", "Recipe", "embedded", "ensure", "make"]
