"""A trained model as an engine executes it in a precision: pictures of any size in, mattes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from timm.utils import reparameterize_model

from bench import photos
from bench.engines import ENGINES, Setting
from wsshm.errors import UserError
from wsshm.models.checkpoint import load_model
from wsshm.models.network import MattingModel
from wsshm.prediction.forward import inputs_at, pick_device, restored
from wsshm.prediction.protocols import P3MHybrid, Protocol, Short

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Mattes(torch.nn.Module):
    """A model's mattes alone, N x 3 x H x W images in and N x 1 x H x W mattes out, as engines take it."""

    def __init__(self, model: MattingModel) -> None:
        super().__init__()
        self.model = model
        self.stride = model.stride

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images).matte


@dataclass(frozen=True)
class Matte:
    """A matte, H x W float32 in [0, 1] at the picture's size."""

    matte: NDArray[np.float32]


class Executed:
    """A saved model in an engine: called with a picture (H x W x 3 uint8 RGB) it gives its matte.

    `engine` and `precision` are what the store's columns have: both None for eager fp32, which is what every other score
    of ours is of.
    """

    def __init__(
        self,
        folder: Path,
        rule: Protocol | None,
        device: str,
        engine: str,
        precision: str,
        scratch: Path,
        calibration: str | None = None,
    ) -> None:
        """Load the model and prepare the engine, whose files go to the folder `scratch`.

        int8 is calibrated on the validation photos of the manifest `calibration`, by default on photos of the embedded
        set, at the size that the model was trained at. UserError where the engine cannot run it, and for the protocol
        p3m-hybrid, which needs the boundary too.
        """
        if isinstance(rule, P3MHybrid):
            raise UserError(
                f"{rule} needs the boundary, and engines give the matte alone; leave --engine out, or take another"
            )
        chosen = ENGINES.get(engine)
        self._device = torch.device("cpu") if chosen.on_cpu else pick_device(device)
        kind = self._device.type
        if reason := chosen.refusal(kind, precision):
            raise UserError(f"{reason}; give another --engine or --precision")
        model, card = load_model(folder)
        self.rule = rule or Short(card.size)
        as_usual = (engine, precision) == ("eager", "fp32")
        self.engine: str | None = None if as_usual else engine
        self.precision: str | None = None if as_usual else precision
        self._dtype = DTYPES["fp32" if chosen.lowers else precision]
        self._layout = torch.contiguous_format if chosen.layout == "nchw" else torch.channels_last
        self._chosen, self._scratch = chosen, scratch
        if kind == "cuda" and self._device.index is not None:  # engines take streams of torch's current GPU
            torch.cuda.set_device(self._device)
        side = -(-card.size // model.stride) * model.stride
        fused = cast(MattingModel, reparameterize_model(model)).requires_grad_(False)
        self._network = Mattes(fused.to(self._device, self._dtype).to(memory_format=self._layout)).eval()
        self._setting: dict[str, Any] = {
            "device": kind,
            "precision": precision,
            "threads": torch.get_num_threads(),
            "pictures": lambda: (
                photos.of_manifest(calibration, side, side)
                if calibration
                else photos.drawn(photos.CALIBRATION, side, side)
            ),
            "any_size": True,
        }
        self._prepared: dict[tuple[int, ...], Callable[[torch.Tensor], Any]] = {}

    @property
    def protocol(self) -> str:
        """The name of the input rule."""
        return str(self.rule)

    def __call__(self, image: NDArray[np.uint8]) -> Matte:
        [size] = self.rule.sizes(*image.shape[:2])
        picture = inputs_at(image, size, self._network.stride)
        values = torch.from_numpy(np.ascontiguousarray(picture)).to(self._device).permute(2, 0, 1)[None]
        images = (values.float() / 255).to(self._dtype).contiguous(memory_format=self._layout)
        run = self._running(images)
        with torch.inference_mode():
            matte = run(images)[0].float().cpu().numpy()
        return Matte(restored(np.concatenate([matte, matte]), size, image.shape[:2]).matte)

    def _running(self, images: torch.Tensor) -> Callable[[torch.Tensor], Any]:
        """The prepared network; an engine that takes one size is prepared for each."""
        size = () if self._chosen.any_size else tuple(images.shape)
        if size not in self._prepared:
            folder = self._scratch / "x".join(map(str, size or ("any",)))
            folder.mkdir(parents=True, exist_ok=True)
            self._prepared[size] = self._chosen.prepare(self._network, images, Setting(folder=folder, **self._setting))
        return self._prepared[size]
