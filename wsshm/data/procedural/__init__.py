"""The embedded data set: pictures of people, drawn, with exact alpha by construction; no download."""

from wsshm.data.procedural.dataset import embedded, ensure, make, outline
from wsshm.data.procedural.recipe import DEFAULT_COUNTS, GENERATOR_VERSION, PARTS, SHIFTED, Recipe

__all__ = ["DEFAULT_COUNTS", "GENERATOR_VERSION", "PARTS", "SHIFTED", "Recipe", "embedded", "ensure", "make", "outline"]
