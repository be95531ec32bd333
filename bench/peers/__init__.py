"""Other people's models: one YAML file each says how an ONNX or TFLite file is fed and what its output means.

To add one, write such a file (`wsshm bench peers rvm` tells one in full) and give it as `--peer mine.yaml=FILE`, or put
it into this folder; no code changes. Read in this order: this file (what a description may say), `files.py` (opening and
running a file), `matting.py` (a picture in, a matte out), `rows.py` (what the store keeps), `speed.py` and `timing.py`,
`listing.py`.
This side imports neither torch nor an engine.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from bench.store import PEER
from wsshm.config import Section, parse
from wsshm.documents import load_document
from wsshm.errors import UserError, nearest

FOLDER = Path(__file__).parent
FIRST = "first"
"""Stands for the name of the file's first input that is not fed otherwise, or its first output."""
RUNS = {"onnx": ("onnxruntime", "openvino"), "tflite": ("litert",)}
"""What can run a file of each format, the usual one first; the store's column `engine`."""

NUMBERS = {"format", "input", "extra_inputs", "states", "first_state", "output"}
"""Of a description, what changes a peer's numbers."""

Text = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=8192)]
Three = tuple[float, float, float]
Spread = Annotated[float, Field(gt=0)]


class Licence(Section):
    """What may be done with the code and with the weights; read the licences themselves before you ship."""

    code: Text
    weights: Text
    commercial: bool | None = None
    """Whether its owners allow commercial use of the weights; null where they do not say."""


class Size(Section):
    """The input's size: `height` and `width`, or any `multiple` of N, or the shorter side at `short_side`."""

    height: Side | None = None
    width: Side | None = None
    short_side: Side | None = None
    multiple: Side = 1

    @pydantic.model_validator(mode="after")
    def _one_rule(self) -> Size:
        if (self.height is None) != (self.width is None):
            raise ValueError("height and width belong together; give both or neither")
        if self.fixed and (self.short_side is not None or self.multiple > 1):
            raise ValueError("a height and a width leave nothing to short_side and multiple; leave those out")
        return self

    @property
    def fixed(self) -> tuple[int, int] | None:
        """(height, width) in px where the network takes no other."""
        return None if self.height is None or self.width is None else (self.height, self.width)


class Input(Section):
    """How a picture becomes the network's input: resized, scaled to [0, 1], then (x - mean) / std per channel."""

    name: Text = FIRST
    layout: Literal["NCHW", "NHWC"]
    channels: Literal["RGB", "BGR"] = "RGB"
    size: Size = Size()
    resize: Literal["stretch", "keep aspect"] = "stretch"
    """Stretched to the size, or resized as a whole and padded below and to the right by its last pixels."""
    interpolation: Literal["bilinear", "area", "antialiased"] = "bilinear"
    """area: average when shrinking; antialiased: bilinear over the area that shrinks into a pixel."""
    scale: Literal[255, "own maximum"] = 255
    """What 8-bit values are divided by: 255, or the picture's own largest value."""
    mean: Three = (0.0, 0.0, 0.0)
    std: tuple[Spread, Spread, Spread] = (1.0, 1.0, 1.0)


class Extra(Section):
    """A further input: a constant, or the factor min(1, `longest_side` / the picture's longer side)."""

    name: Text
    value: float | None = None
    longest_side: Side | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Extra:
        if (self.value is None) == (self.longest_side is None):
            raise ValueError("an extra input is a value or min(1, longest_side / longer side); give one of the two")
        return self

    def of(self, height: int, width: int) -> float:
        """The number for a picture of that size."""
        if self.longest_side is not None:
            return min(1.0, self.longest_side / max(height, width))
        return float(self.value or 0.0)


class State(Section):
    """A recurrent state: `input` takes what `output` gave for the frame before."""

    input: Text
    output: Text


class Output(Section):
    """What is read from the network, and what its values mean."""

    name: Text = FIRST
    layout: Literal["NCHW", "NHWC"]
    meaning: Literal["alpha", "probability", "sigmoid", "softmax", "min-max"]
    """alpha and probability are taken as they are; sigmoid: of logits; softmax: its channel 1 of two; min-max: stretched to
    [0, 1] by the picture's own least and largest value."""


class Description(Section):
    """One model file as it is published."""

    title: Text
    kind: Literal["matting", "person segmentation", "salient object"]
    paper: Text
    source: Text
    """Where the file can be had."""
    licence: Licence
    file: Text
    """The file's usual name."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    tried: bool = False
    """Whether this description has been run with the file here, and its mattes looked at."""
    note: Text | None = None
    format: Literal["onnx", "tflite"]
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    input: Input
    extra_inputs: tuple[Extra, ...] = ()
    states: tuple[State, ...] = ()
    first_state: tuple[Side, ...] = (1, 1, 1, 1)
    """Shape of the zeros that stand for the states before the first frame; [] is a single number."""
    output: Output

    @pydantic.model_validator(mode="after")
    def _can_be_fed(self) -> Description:
        if self.format == "tflite" and self.input.size.fixed is None:
            raise ValueError("a tflite file is run at one size; give input.size its height and width")
        names = [self.input.name, *(extra.name for extra in self.extra_inputs), *(s.input for s in self.states)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two inputs are called {twice[0]!r}")
        return self

    def run_id(self, sha256: str) -> str:
        """`peer-` and 16 hex digits over the file's contents and how it is fed and read: its name in a store."""
        fed = json.dumps(self.model_dump(mode="json", include=NUMBERS), sort_keys=True)
        return f"{PEER}{hashlib.sha256(f'{sha256} {fed}'.encode()).hexdigest()[:16]}"

    @property
    def protocol(self) -> str:
        """The test-time input rule in a few words, as the store's column `protocol` has it."""
        size = self.input.size
        if size.fixed:
            height, width = size.fixed
            return f"{'stretched to' if self.input.resize == 'stretch' else 'fitted into'} {width}x{height}"
        rule = "native" if size.short_side is None else f"short{size.short_side}"
        return rule if size.multiple == 1 else f"{rule}, multiples of {size.multiple}"


@dataclass(frozen=True)
class Peer:
    """A description by its name, which is that of its YAML file."""

    name: str
    description: Description


@dataclass(frozen=True)
class Given:
    """A peer and the file that is to be run as it."""

    peer: Peer
    file: Path


def names() -> list[str]:
    """The names of the shipped descriptions."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@functools.cache
def shipped(name: str) -> Peer:
    """A shipped description. UserError, with the nearest name, for an unknown one."""
    if name not in names():
        raise UserError(
            f"there is no peer {name!r}; {nearest(name, names())} (wsshm bench peers lists them; a description of your own"
            " is the path of its .yaml file)"
        )
    return read(FOLDER / f"{name}.yaml")


def read(path: Path) -> Peer:
    """The description in a YAML file. UserError, one sentence, for what is wrong in it."""
    return Peer(path.stem, parse(load_document(path), Description, str(path)))


def described(text: str) -> Peer:
    """A peer by its shipped name (`rvm`, `rvm.yaml`), or by the path of a description of the user's own."""
    path = Path(text)
    if path.suffix in (".yaml", ".yml") and (path.exists() or path.name != text or path.stem not in names()):
        return read(path)
    return shipped(text.removesuffix(".yaml"))


def given(options: list[str]) -> list[Given]:
    """The peers of `--peer PEER=FILE`. UserError for another form, an unknown peer, or two peers of one name."""
    found: list[Given] = []
    for option in options:
        peer, equals, file = option.partition("=")
        if not equals or not peer or not file:
            raise UserError(f"--peer takes PEER=FILE, such as rvm=rvm_mobilenetv3.onnx, not {option!r}")
        found.append(Given(described(peer), Path(file)))
    seen = [one.peer.name for one in found]
    if twice := sorted({name for name in seen if seen.count(name) > 1}):
        raise UserError(f"--peer is given {twice[0]!r} twice; copy its description under another name for another file")
    return found
