"""Showing pictures to a network: resized by a protocol, padded, and its answers back at the picture's own size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsshm.errors import UserError, first_line
from wsshm.models.network import MattingModel, Network, State
from wsshm.prediction.protocols import Prediction, Protocol, Size

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ENGINES = ("eager", "compile")


def pick_device(name: str) -> torch.device:
    """A torch device by name; `auto` is the first GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"the device {name!r} cannot be used on this machine; write auto, cpu or cuda:0") from error
    return device


def predict_matte(
    model: MattingModel, image: UInt8, protocol: Protocol, *, device: torch.device | str = "cpu"
) -> Prediction:
    """Matte and boundary of an H x W x 3 uint8 RGB picture, at the picture's own size.

    `model` is on `device` and in eval mode. See `inputs_at` and `restored` for what is done before and after it.
    """
    forward, own = Forward(model, device), image.shape[:2]
    answers = []
    for size in protocol.sizes(*own):
        maps, _ = forward([inputs_at(image, size, forward.stride)])
        answers.append(restored(maps[0], size, own))
    return protocol.merged(answers)


def inputs_at(image: UInt8, size: Size, stride: int) -> UInt8:
    """A picture shrunk by area averaging (enlarged bilinearly) to `size`, and padded by reflection to the stride."""
    rows, columns = size
    if size != image.shape[:2]:
        how = cv2.INTER_AREA if rows < image.shape[0] else cv2.INTER_LINEAR
        image = cv2.resize(image, (columns, rows), interpolation=how).astype(np.uint8, copy=False)
    padded = cv2.copyMakeBorder(image, 0, -rows % stride, 0, -columns % stride, cv2.BORDER_REFLECT_101)
    return padded.astype(np.uint8, copy=False)


def restored(both: Float32, size: Size, own: Size) -> Prediction:
    """Matte and boundary (2,H,W) of a padded input without the padding, bilinearly at the picture's own size."""

    def one(values: Float32) -> Float32:
        values = values[: size[0], : size[1]]
        if size != own:
            values = cv2.resize(values, own[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)
        return np.clip(values, 0, 1).astype(np.float32, copy=False)

    return Prediction(one(both[0]), one(both[1]))


class ModelFailed(UserError):
    """A network that cannot be used at all, on this device or in this way: no other picture would fare better."""


class Forward:
    """A network and how it is executed: device, precision, engine.

    `model` is on `device` and in eval mode. Raises UserError for a precision or engine that is not known.
    """

    def __init__(
        self, model: MattingModel, device: torch.device | str, precision: str = "fp32", engine: str = "eager"
    ) -> None:
        for what, given, known in (("precision", precision, PRECISIONS), ("engine", engine, ENGINES)):
            if given not in known:
                raise UserError(f"there is no {what} {given!r}; write {', '.join(known)}")
        self.model, self.device = model, torch.device(device)
        self.precision, self.engine = precision, engine
        self._still: Callable[..., Any] = torch.compile(model) if engine == "compile" else model
        self._step: Callable[..., Any] | None = None

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of it."""
        return self.model.stride

    @property
    def recurrent(self) -> bool:
        """Whether the network remembers earlier frames of a video."""
        network = getattr(self.model, "network", None)
        return isinstance(network, Network) and type(network).step is not Network.step

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[UInt8], state: State | None = None) -> tuple[Float32, State]:
        """Matte and boundary (N,2,H,W) float32 in [0, 1] of N pictures (H,W,3), H and W multiples of the stride.

        With a `state`, () at first, they are the next frames of N videos, and the state to go on with is returned.
        """
        columns = [torch.from_numpy(np.ascontiguousarray(p)).to(self.device).permute(2, 0, 1)[None] for p in pictures]
        batch = columns[0] if len(columns) == 1 else torch.cat(columns)
        lower = self.precision != "fp32"
        cast = torch.autocast(self.device.type, PRECISIONS[self.precision]) if lower else contextlib.nullcontext()
        with cast, self._compiling():
            if state is None:
                output, after = self._still(batch.float() / 255), ()
            else:
                output, after = self._stepped()(batch.float() / 255, state)
        maps = [values[:, 0].float().cpu().numpy() for values in (output.matte, output.boundary)]
        return np.stack(maps, axis=1), after

    def _stepped(self) -> Callable[..., Any]:
        if self._step is None:
            self._step = torch.compile(self.model.step) if self.engine == "compile" else self.model.step
        return self._step

    @contextlib.contextmanager
    def _compiling(self) -> Any:
        """What keeps torch.compile from compiling becomes a sentence."""
        if self.engine != "compile":
            yield
            return
        from torch._dynamo.exc import TorchDynamoException

        try:
            yield
        except TorchDynamoException as error:
            raise ModelFailed(
                f"torch.compile cannot compile this network here ({first_line(error)[:200]}); it needs a C++ compiler (g++)"
                " on a CPU and Triton on a GPU: install it, or leave out --engine compile"
            ) from error
