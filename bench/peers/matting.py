"""A picture in, a matte out, by a peer's file as its description says."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from bench.peers import FIRST, Description, Given, Input, Peer, names, shipped
from bench.peers.files import Array, Tensor, digest, open_file
from wsshm.errors import UserError, first_line, nearest
from wsshm.prediction.protocols import Native, Short

log = logging.getLogger(__name__)
SLACK = 0.05  # beyond [0, 1]: what rounding in 16 or 8 bits may add to a matte


class Matte(NamedTuple):
    """What a peer says about one picture: a matte, H x W float32 in [0, 1] at the picture's size."""

    matte: NDArray[np.float32]


class Placed(NamedTuple):
    """The network's size (`rows`, `columns`) in px, and the part of it (from the upper left) that the picture fills."""

    rows: int
    columns: int
    height: int
    width: int


def placed(rule: Input, height: int, width: int) -> Placed:
    """Where a picture of that size lies in the network's input. UserError for a strip that would grow huge."""
    if rule.size.fixed:
        rows, columns = rule.size.fixed
        if rule.resize == "stretch":
            return Placed(rows, columns, rows, columns)
        scale = min(rows / height, columns / width)
        return Placed(rows, columns, max(1, round(height * scale)), max(1, round(width * scale)))
    side = rule.size.short_side
    [(rows, columns)] = (Native() if side is None else Short(side)).sizes(height, width)
    step = rule.size.multiple
    if rule.resize == "keep aspect":
        return Placed(rows + -rows % step, columns + -columns % step, rows, columns)
    rows, columns = (max(step, side - side % step) for side in (rows, columns))
    return Placed(rows, columns, rows, columns)


class PeerModel:
    """A peer's file, opened: called with a picture (H x W x 3 uint8 RGB) it gives its matte at the picture's size.

    `protocol` is its input rule as the store has it. Every call stands alone; `follow` goes on from the frame before.
    """

    def __init__(self, given: Given, threads: int | None = None, engine: str | None = None) -> None:
        """Open the file on `threads` CPU threads and hold it against its description.

        `engine` is one of its format's (see `bench.peers.RUNS`), by default the usual one.

        UserError for a file that cannot be opened or does not fit. Another file than the described one is a warning.
        """
        self.peer: Peer = given.peer
        self.file: Path = given.file
        self.description: Description = given.peer.description
        self.name, self.protocol = given.peer.name, self.description.protocol
        self.session = open_file(given.file, self.description.format, threads, engine=engine)
        self.sha256 = digest(given.file)
        if self.description.sha256 and self.sha256 != self.description.sha256:
            log.warning(
                "%s is not the file that %s describes (sha256 %s..., not %s...): its numbers may be others",
                *(given.file, self.name, self.sha256[:12], self.description.sha256[:12]),
            )
        self._input, self._output = self._fit()

    def __call__(self, image: NDArray[np.uint8]) -> Matte:
        """The matte of one picture. UserError where the file cannot take it, or answers with another shape or NaN."""
        return self.follow(image, {})[0]

    def follow(self, image: NDArray[np.uint8], states: Mapping[str, Array]) -> tuple[Matte, dict[str, Array]]:
        """The matte of a frame and the states after it, which the next frame takes; {} before the first."""
        place = placed(self.description.input, *image.shape[:2])
        values, after = self.run(self.feeds(image, states))
        return Matte(self._restored(values, place, *image.shape[:2])), after

    def feeds(self, image: NDArray[np.uint8], states: Mapping[str, Array] | None = None) -> dict[str, Array]:
        """What the network takes for a picture: every input's array by its name."""
        rule = self.description.input
        pixels = _prepared(image, rule, placed(rule, *image.shape[:2]))
        batch = np.moveaxis(pixels, -1, 0)[None] if rule.layout == "NCHW" else pixels[None]
        fed: dict[str, Array] = {self._input: np.ascontiguousarray(batch, self._type(self._input))}
        for extra in self.description.extra_inputs:
            shape = self.session.inputs[extra.name].shape or ()
            fed[extra.name] = np.full([side or 1 for side in shape], extra.of(*image.shape[:2]), self._type(extra.name))
        zeros = self.description.first_state
        for state in self.description.states:
            before = (states or {}).get(state.input)
            fed[state.input] = np.zeros(zeros, self._type(state.input)) if before is None else before
        return fed

    def run(self, feeds: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """The output as it comes, and the states for the next frame. UserError where the file cannot take its input."""
        states = self.description.states
        try:
            first, *rest = self.session.run([self._output, *(state.output for state in states)], feeds)
        except Exception as error:  # of engines' own types
            raise UserError(
                f"{self.file} cannot be run as {self.name} is described ({first_line(error)}); check its size, layout and"
                " states"
            ) from None
        return first, {state.input: after for state, after in zip(states, rest, strict=True)}

    def _type(self, name: str) -> type[np.generic]:
        return self.session.inputs[name].dtype

    def _restored(self, output: Array, place: Placed, height: int, width: int) -> NDArray[np.float32]:
        rule = self.description.output
        _check_output(rule.meaning, rule.layout, Tensor(output.shape, np.float32), self.file, self._output)
        channels = output[0] if rule.layout == "NCHW" else np.moveaxis(output[0], -1, 0)
        values = _read(channels.astype(np.float32), rule.meaning)
        if not np.isfinite(values).all():
            raise UserError(f"{self.file} answers with NaN, so it is of no use as {self.name}; fetch it again")
        low, high = float(values.min()), float(values.max())
        if low < -SLACK or high > 1 + SLACK:
            raise UserError(
                f"{self.file} answers with values from {low:.3g} to {high:.3g}, which are no {rule.meaning}; if they are"
                " logits, describe them as sigmoid"
            )
        # The output may be smaller than the input: the same part of it is the picture's.
        down, right = values.shape[0] / place.rows, values.shape[1] / place.columns
        values = values[: max(1, round(place.height * down)), : max(1, round(place.width * right))]
        if values.shape != (height, width):
            values = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        return np.clip(values, 0, 1)

    def _fit(self) -> tuple[str, str]:
        """The names of the picture's input and of the output; UserError where file and description do not fit."""
        told = self.description
        has_in, has_out = self.session.inputs, self.session.outputs
        fed = [*(extra.name for extra in told.extra_inputs), *(state.input for state in told.states)]
        free = [name for name in has_in if name not in fed]
        picture = (free[0] if free else FIRST) if told.input.name == FIRST else told.input.name
        for name in (picture, *fed):
            if name not in has_in:
                raise UserError(self._lacks("input", name, has_in))
        output = next(iter(has_out)) if told.output.name == FIRST else told.output.name
        for name in (output, *(state.output for state in told.states)):
            if name not in has_out:
                raise UserError(self._lacks("output", name, has_out))
        if unfed := [name for name in has_in if name != picture and name not in fed]:
            raise UserError(
                f"{self.file} also wants the input {', '.join(map(repr, unfed))}, which {self.name} does not describe;"
                f" add it to extra_inputs, or with its output to states{self._others()}"
            )
        self._check_picture(picture)
        _check_output(told.output.meaning, told.output.layout, has_out[output], self.file, output)
        return picture, output

    def _check_picture(self, name: str) -> None:
        rule, tensor = self.description.input, self.session.inputs[name]
        if tensor.shape is None:
            return
        wanted: tuple[int | None, ...] = rule.size.fixed or (None, None)
        expected = (1, 3, *wanted) if rule.layout == "NCHW" else (1, *wanted, 3)
        alike = len(tensor.shape) == 4 and all(
            has is None or want is None or has == want for has, want in zip(tensor.shape, expected, strict=True)
        )
        if (
            alike and (tensor.shape[3], tensor.shape[1])[rule.layout == "NHWC"] == 3
        ):  # where the other layout has colours
            alike = (tensor.shape[1], tensor.shape[3])[rule.layout == "NHWC"] == 3
        if not alike:
            raise UserError(
                f"the input {name!r} of {self.file} has {tensor}, not {Tensor(expected, np.float32)} as {self.name} is"
                f" described ({rule.layout}); correct layout and size{self._others()}"
            )

    def _lacks(self, kind: str, name: str, has: Mapping[str, Any]) -> str:
        close = f" ({nearest(name, has)})" if len(has) > 12 else ""
        return (
            f"{self.file} has no {kind} {name!r}, which {self.name} describes; its {kind}s are"
            f" {', '.join(map(repr, has))}{close}{self._others()}"
        )

    def _others(self) -> str:
        """The shipped descriptions whose named inputs and outputs the file has, as the end of a sentence."""
        fitting = []
        for name in names():
            told = shipped(name).description
            into = {told.input.name, *(e.name for e in told.extra_inputs), *(s.input for s in told.states)} - {FIRST}
            out = {told.output.name, *(s.output for s in told.states)} - {FIRST}
            if name != self.name and into and into <= self.session.inputs.keys() and out <= self.session.outputs.keys():
                fitting.append(name)
        return f"; its names are those of {' or '.join(fitting)}" if fitting else ""


def _prepared(image: NDArray[np.uint8], rule: Input, place: Placed) -> NDArray[np.float32]:
    """The picture as the network's numbers, rows x columns x 3."""
    largest = 255.0 if rule.scale == 255 else max(float(image.max()), 1.0)
    inside = _resized(image, place.height, place.width, rule.interpolation)
    below, right = place.rows - place.height, place.columns - place.width
    if below or right:
        inside = cv2.copyMakeBorder(inside, 0, below, 0, right, cv2.BORDER_REPLICATE)
    if rule.channels == "BGR":
        inside = inside[..., ::-1]
    values = inside.astype(np.float32) / np.float32(largest)
    if (rule.mean, rule.std) == ((0, 0, 0), (1, 1, 1)):  # two passes less, which would count as the peer's time
        return values
    mean, std = (np.asarray(three, np.float32) for three in (rule.mean, rule.std))
    return (values - mean) / std


def _resized(image: NDArray[np.uint8], height: int, width: int, interpolation: str) -> NDArray[Any]:
    if (height, width) == image.shape[:2]:
        return image
    if interpolation == "antialiased":
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    how = cv2.INTER_AREA if interpolation == "area" and shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)


def _read(channels: NDArray[np.float32], meaning: str) -> NDArray[np.float32]:
    """The matte that C x H x W values mean."""
    if meaning == "softmax":  # of two, which is the sigmoid of their difference
        return _sigmoid(channels[1] - channels[0])
    values = channels[0]
    if meaning == "sigmoid":
        return _sigmoid(values)
    if meaning == "min-max":
        low, high = float(values.min()), float(values.max())
        return (values - low) / (high - low) if high > low else np.zeros_like(values)
    return values


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return expit(values)  # never overflows


def _check_output(meaning: str, layout: str, tensor: Tensor, file: Path, name: str) -> None:
    """UserError unless an output is one picture's map of as many channels as its meaning needs."""
    if tensor.shape is None:
        return
    channels = 2 if meaning == "softmax" else 1
    wanted: tuple[int | None, ...] = (1, channels, None, None) if layout == "NCHW" else (1, None, None, channels)
    alike = len(tensor.shape) == 4 and all(
        has is None or want is None or has == want for has, want in zip(tensor.shape, wanted, strict=True)
    )
    if not alike:
        raise UserError(
            f"the output {name!r} of {file} has {tensor}, where {meaning} in {layout} is {Tensor(wanted, np.float32)};"
            " choose another output, or correct its layout and meaning"
        )
