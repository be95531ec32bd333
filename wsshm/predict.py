"""Matting pictures with a trained model, at a stated input rule."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wsshm.commandline import track
from wsshm.data.pictures import find_pictures, read_image, write_png
from wsshm.errors import UserError

STRIDE = 32  # the coarsest map of a pyramidal backbone
SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Protocol:
    """How a picture becomes a network's input; its name is stored with every score.

    `native` (`short_side` None) keeps the picture's own size; `shortN` resizes its shorter side to N px, aspect kept.
    """

    short_side: int | None = None

    def __str__(self) -> str:
        return "native" if self.short_side is None else f"short{self.short_side}"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in px of the network's input before padding."""
        if self.short_side is None:
            return height, width
        scale = self.short_side / min(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))


def parse_protocol(name: str) -> Protocol:
    """`native` or `shortN`, for example `short512`; UserError for anything else."""
    if name == "native":
        return Protocol()
    match = re.fullmatch(r"short(\d+)", name)
    if not match or int(match[1]) < SMALLEST_SIDE:
        raise UserError(
            f"there is no protocol {name!r}; write native, or shortN with N the shorter side in px from "
            f"{SMALLEST_SIDE} on, for example short512"
        )
    return Protocol(int(match[1]))


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


class Prediction(NamedTuple):
    """What a model says about one picture: matte and boundary, both H x W float32 in [0, 1]."""

    matte: NDArray[np.float32]
    boundary: NDArray[np.float32]


@torch.inference_mode()
def predict_matte(
    model: nn.Module, image: NDArray[np.uint8], *, short_side: int | None, device: torch.device | str
) -> Prediction:
    """Matte and boundary of an H x W x 3 uint8 RGB picture, at the picture's own size.

    `model` is on `device` and in eval mode. The input is shrunk by area averaging (enlarged bilinearly) as
    `Protocol(short_side)` says and padded by reflection to multiples of 32; the outputs return bilinearly.
    """
    height, width = image.shape[:2]
    rows, columns = Protocol(short_side).size(height, width)
    inputs = _resize(image, rows, columns)
    inputs = cv2.copyMakeBorder(inputs, 0, -rows % STRIDE, 0, -columns % STRIDE, cv2.BORDER_REFLECT_101)
    batch = torch.from_numpy(np.ascontiguousarray(inputs)).to(device).permute(2, 0, 1)[None].float() / 255
    output = model(batch)

    def restored(values: Tensor) -> NDArray[np.float32]:
        array = values[0, 0, :rows, :columns].float().cpu().numpy()
        if (rows, columns) != (height, width):
            array = cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(array, 0, 1).astype(np.float32)

    return Prediction(restored(output.matte), restored(output.boundary))


def find_inputs(inputs: Iterable[Path]) -> list[Path]:
    """The pictures named, folders opened, each once; UserError for what does not exist or holds none."""
    pictures: dict[Path, Path] = {}
    for path in inputs:
        if not path.exists():
            raise UserError(f"there is no picture or folder at {path}; check the path")
        found = find_pictures(path) if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path} holds no pictures (jpg, png, webp, bmp, tif); give a folder that does")
        pictures.update({p.resolve(): p for p in found})
    return list(pictures.values())


def plan_outputs(pictures: list[Path], out: Path) -> dict[Path, tuple[Path, Path]]:
    """{picture: (alpha, cut-out) path}; UserError where two pictures, or a picture and an output, would collide."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out must name a folder")
    outputs: dict[Path, tuple[Path, Path]] = {}
    first: dict[str, Path] = {}
    for picture in pictures:
        twin = first.setdefault(picture.stem, picture)
        if twin is not picture:
            raise UserError(f"{twin} and {picture} would both write {picture.stem}_alpha.png; matte them separately")
        outputs[picture] = (out / f"{picture.stem}_alpha.png", out / f"{picture.stem}_cutout.png")
    given = {picture.resolve() for picture in pictures}
    for target in (target for pair in outputs.values() for target in pair):
        if target.resolve() in given:
            raise UserError(f"{target} is an input and would be overwritten; give another folder by --out")
    return outputs


def predict_files(
    model: nn.Module, pictures: list[Path], out: Path, *, protocol: Protocol, device: torch.device | str
) -> list[str]:
    """Write STEM_alpha.png (8-bit grey) and STEM_cutout.png (RGBA) for every picture; model is on `device`.

    The cut-out keeps the photo's own colours: where a pixel is partly transparent, the old background shows in them.
    Returns one sentence for each picture that could not be read, the others are done.
    """
    failures: list[str] = []
    for picture, (alpha_path, cutout_path) in track(plan_outputs(pictures, out).items(), len(pictures), "matting"):
        try:
            image = read_image(picture)
        except UserError as error:
            failures.append(str(error))
            continue
        try:
            matte = predict_matte(model, image, short_side=protocol.short_side, device=device).matte
        except RuntimeError as error:  # torch's own class for it on a GPU only
            if "memory" not in str(error):
                raise
            raise UserError(
                f"{picture} ({image.shape[1]} x {image.shape[0]}) at {protocol} does not fit into the memory of "
                f"{device}; use a smaller --protocol, for example short512"
            ) from error
        alpha = np.rint(matte * 255).astype(np.uint8)
        write_png(alpha_path, alpha)
        write_png(cutout_path, np.dstack([image, alpha]))
    return failures


def _resize(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray:
    if (rows, columns) == image.shape[:2]:
        return image
    shrinks = rows < image.shape[0]
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
