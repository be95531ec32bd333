"""A trained model as a function: a picture in, its matte out; and a stream of a video's frames."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageOps

from wsshm.errors import UserError
from wsshm.models.checkpoint import ModelCard, load_model
from wsshm.models.folder import model_folder
from wsshm.models.network import MattingModel
from wsshm.prediction.forward import Float32, Forward, ModelFailed, UInt8, inputs_at, pick_device, restored
from wsshm.prediction.inputs import read_photo
from wsshm.prediction.protocols import Prediction, Protocol, Short, parse_protocol
from wsshm.prediction.tiles import Memory, States, in_tiles

Picture = UInt8 | Image.Image | str | os.PathLike
"""H x W x 3 uint8 RGB, a PIL image, or the path of a photo."""


class Matter:
    """A model that mattes pictures: `matter(image)` is the matte, H x W float32 in [0, 1].

    `device` is auto, cpu or cuda:0; `protocol` a test-time input rule or its name, by default the shorter side at the
    training size; `precision` fp32, bf16 or fp16; `engine` eager or compile. Inputs that would not fit into memory are
    seen in tiles, with `tile` all that are larger than so many px. `batch` frames of a video go through the network
    together, unless it remembers earlier ones.
    """

    def __init__(
        self,
        model: MattingModel,
        card: ModelCard,
        *,
        device: str | torch.device = "auto",
        protocol: Protocol | str | None = None,
        precision: str = "fp32",
        engine: str = "eager",
        tile: int | None = None,
        batch: int = 1,
    ) -> None:
        self.card = card
        self.protocol = parse_protocol(protocol) if isinstance(protocol, str) else protocol or Short(card.size)
        place = pick_device(device) if isinstance(device, str) else device
        self.forward = Forward(model.to(place).eval(), place, precision, engine)
        self.memory = Memory(self.forward)
        self.tile, self.batch = tile, max(1, batch)

    def __call__(self, image: Picture) -> Float32:
        """The matte of a picture, H x W float32 in [0, 1]. UserError for one that cannot be read or matted."""
        return self.predict(image).matte

    def predict(self, image: Picture) -> Prediction:
        """Matte and boundary of a picture."""
        name = str(image) if isinstance(image, str | os.PathLike) else "the picture"
        return self.alike([as_array(image)], [name])[0]

    def frames(self, frames: Iterable[Picture]) -> Iterator[Float32]:
        """The mattes of a video's frames, in order, as they come; a recurrent network remembers the earlier ones.

        What it remembers is dropped where the frames' size changes.
        """
        for answer in self.stream(as_array(frame) for frame in frames):
            yield answer.matte

    def stream(self, frames: Iterable[UInt8]) -> Iterator[Prediction]:
        """As `frames`, with the boundary."""
        if self.forward.recurrent:
            yield from self._remembering(frames)
            return
        waiting: list[UInt8] = []
        for frame in frames:
            if waiting and (frame.shape != waiting[0].shape or len(waiting) == self.batch):
                yield from self.alike(waiting, ["a frame"] * len(waiting))
                waiting = []
            waiting.append(frame)
            if len(waiting) == self.batch:
                yield from self.alike(waiting, ["a frame"] * len(waiting))
                waiting = []
        if waiting:
            yield from self.alike(waiting, ["a frame"] * len(waiting))

    def digest(self) -> str:
        """A hash of the model: its card and weights."""
        found = hashlib.sha256(json.dumps(asdict(self.card), sort_keys=True).encode())
        for name, tensor in self.forward.model.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    def alike(self, images: Sequence[UInt8], names: Sequence[str]) -> list[Prediction]:
        """Matte and boundary of pictures (H,W,3) that the protocol brings to one size; `names` are for messages.

        Raises UserError where memory does not suffice, and for a model that answers with NaN.
        """
        return self._seen(images, names, None)[0]

    def _remembering(self, frames: Iterable[UInt8]) -> Iterator[Prediction]:
        passes: list[States] = []
        shape: tuple[int, ...] = ()
        for frame in frames:
            if frame.shape != shape:
                shape, passes = frame.shape, []
            answers, passes = self._seen([frame], ["a frame"], passes)
            yield answers[0]

    def _seen(
        self, images: Sequence[UInt8], names: Sequence[str], states: list[States] | None
    ) -> tuple[list[Prediction], list[States]]:
        passes, after = [], []
        for index, size in enumerate(self.protocol.sizes(*images[0].shape[:2])):
            inputs = [inputs_at(image, size, self.forward.stride) for image in images]
            state = None if states is None else states[index] if index < len(states) else {}
            try:
                maps, new = self._in_pieces(inputs, state)
            except RuntimeError as error:  # torch's own class for it on a GPU only
                if "memory" not in str(error):
                    raise
                height, width = images[0].shape[:2]
                raise ModelFailed(
                    f"{names[0]} ({width} x {height}) at {self.protocol} does not fit into the memory of "
                    f"{self.forward.device}; use a smaller --protocol, for example short512, or --tile 512"
                ) from error
            after.append(new)
            for name, both in zip(names, maps, strict=True):
                if not np.isfinite(both[0]).all():
                    raise ModelFailed(
                        f"the model answers with NaN for {name}, so its weights are of no use; give another model, or "
                        "train it again"
                    )
            passes.append([restored(both, size, image.shape[:2]) for both, image in zip(maps, images, strict=True)])
        return [self.protocol.merged(answers) for answers in zip(*passes, strict=True)], after

    def _in_pieces(self, inputs: Sequence[UInt8], states: States | None) -> tuple[Float32, States]:
        """One pass, in tiles where a limit or memory asks for them."""
        rows, columns = inputs[0].shape[:2]
        tile = self.tile or self.memory.tile_for(rows, columns, len(inputs))
        return in_tiles(self.forward, inputs, tile or max(rows, columns), states)


def load(
    model: str | os.PathLike,
    *,
    device: str = "auto",
    protocol: Protocol | str | None = None,
    precision: str = "fp32",
    engine: str = "eager",
    tile: int | None = None,
    batch: int = 1,
) -> Matter:
    """A trained model, ready to matte pictures: `matte = wsshm.load(MODEL)(image)`.

    `model` is a model's folder or URI, OUT of `wsshm train`, or a sweep's OUT (its best on validation). The options are
    those of `Matter`. Raises UserError for what is no model, or is damaged.
    """
    folder = model_folder(model)
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        network, card = load_model(folder.fetched(Path(scratch)))
    return Matter(
        network, card, device=device, protocol=protocol, precision=precision, engine=engine, tile=tile, batch=batch
    )


def as_array(image: Picture) -> UInt8:
    """A picture as H x W x 3 uint8 RGB, turned upright where it says how; UserError for an array of another kind."""
    if isinstance(image, str | os.PathLike):
        return read_photo(Path(image))
    if isinstance(image, Image.Image):
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise UserError(f"{image!r} is no picture; give H x W x 3 RGB of uint8, a PIL image or a path")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise UserError(
            f"an array of shape {image.shape} and type {image.dtype} is no picture; give H x W x 3 RGB of uint8"
        )
    return image
