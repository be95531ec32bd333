"""Matting pictures with a trained model, at a stated input rule."""

from __future__ import annotations

import contextlib
import errno
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsshm.console import track
from wsshm.data.pictures import UNREAD, find_pictures, pairing_name, read_image, read_size, write_png
from wsshm.errors import UserError, printable
from wsshm.models.network import MattingModel

SMALLEST_SIDE = 32
MOST_ENLARGED = 1 << 22  # pixels that a small picture is enlarged to at most, or four squares of the protocol's side
NAMED = 5


@dataclass(frozen=True)
class Protocol:
    """How a picture becomes a network's input; its name is stored with every score.

    `native` (`short_side` None) keeps the picture's own size; `shortN` resizes its shorter side to N px, aspect kept.
    """

    short_side: int | None = None

    def __str__(self) -> str:
        return "native" if self.short_side is None else f"short{self.short_side}"

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in px of the network's input before padding; UserError for a strip that would grow huge."""
        if self.short_side is None:
            return height, width
        scale = self.short_side / min(height, width)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        if scale > 1 and rows * columns > max(MOST_ENLARGED, 4 * self.short_side**2):
            raise UserError(
                f"a picture of {width} x {height} px would be enlarged to {columns} x {rows} at {self}; crop it, or give "
                "--protocol native"
            )
        return rows, columns

    def shorter_sides(self, pictures: Iterable[Path]) -> list[int]:
        """The shorter sides in px of the inputs: one for all, or of `native` each readable picture's."""
        if self.short_side is not None:
            return [self.short_side]
        sides = []
        for picture in pictures:
            with contextlib.suppress(UserError):
                sides.append(min(read_size(picture)))
        return sides


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
    model: MattingModel, image: NDArray[np.uint8], *, short_side: int | None, device: torch.device | str
) -> Prediction:
    """Matte and boundary of an H x W x 3 uint8 RGB picture, at the picture's own size.

    `model` is on `device` and in eval mode. The input is shrunk by area averaging (enlarged bilinearly) as
    `Protocol(short_side)` says and padded by reflection to multiples of the model's stride; the outputs return bilinearly.
    """
    height, width = image.shape[:2]
    rows, columns = Protocol(short_side).size(height, width)
    inputs = _resize(image, rows, columns)
    inputs = cv2.copyMakeBorder(inputs, 0, -rows % model.stride, 0, -columns % model.stride, cv2.BORDER_REFLECT_101)
    batch = torch.from_numpy(np.ascontiguousarray(inputs)).to(device).permute(2, 0, 1)[None].float() / 255
    output = model(batch)

    def restored(values: Tensor) -> NDArray[np.float32]:
        array = values[0, 0, :rows, :columns].float().cpu().numpy()
        if (rows, columns) != (height, width):
            array = cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(array, 0, 1).astype(np.float32)

    return Prediction(restored(output.matte), restored(output.boundary))


class Inputs(NamedTuple):
    """Pictures to matte, and what else lies in the folders that were given: folders and files that are not read."""

    pictures: list[Path]
    left_out: list[Path]

    def left_out_line(self) -> str:
        """How many things are left out of the folders, of which kind, and their names; empty for none."""
        kinds: dict[str, list[Path]] = {"folder": [], "file of a format that is not read": [], "other file": []}
        for path in self.left_out:
            unread = "file of a format that is not read" if path.suffix.lower() in UNREAD else "other file"
            kinds["folder" if path.is_dir() else unread].append(path)
        parts = []
        for kind, paths in kinds.items():
            if paths:
                names = ", ".join(path.name for path in paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")
                plural = kind if len(paths) == 1 else kind.replace("folder", "folders").replace("file", "files", 1)
                parts.append(f"{len(paths)} {plural} ({names})")
        return printable(f"left out: {', '.join(parts)}") if parts else ""


def find_inputs(inputs: Iterable[Path]) -> Inputs:
    """The pictures named, folders opened, each once; UserError for what does not exist or holds none."""
    pictures: dict[Path, Path] = {}
    left_out: dict[Path, Path] = {}
    for path in inputs:
        if not path.exists() and not path.is_symlink():
            raise UserError(f"there is no picture or folder at {path}; check the path")
        found = find_pictures(path) if path.is_dir() else [path]
        if not found:
            raise UserError(f"{path} holds no pictures (jpg, png, webp, bmp, tif); give a folder that does")
        pictures.update({_place(p): p for p in found})
        if path.is_dir():
            left_out.update({_place(p): p for p in sorted(path.iterdir()) if p not in found and p.name[:1] != "."})
    return Inputs(list(pictures.values()), [p for place, p in left_out.items() if place not in pictures])


def plan_outputs(pictures: list[Path], out: Path) -> dict[Path, tuple[Path, Path]]:
    """{picture: (alpha, cut-out) path}: STEM_alpha.png, or NAME.ENDING_alpha.png for pictures that share a stem.

    Raises UserError where two pictures, or a picture and an output, would still collide.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out must name a folder")
    outputs: dict[Path, tuple[Path, Path]] = {}
    first: dict[str, Path] = {}
    sharing = Counter(map(pairing_name, pictures))
    for picture in pictures:
        name = picture.name if sharing[pairing_name(picture)] > 1 else picture.stem
        twin = first.setdefault(name, picture)
        if twin is not picture:
            raise UserError(f"{twin} and {picture} would both write {name}_alpha.png; matte them separately")
        outputs[picture] = (out / f"{name}_alpha.png", out / f"{name}_cutout.png")
    given = {_place(picture) for picture in pictures}
    for target in (target for pair in outputs.values() for target in pair):
        if _place(target) in given:
            raise UserError(f"{target} is an input and would be overwritten; give another folder by --out")
    return outputs


def predict_files(
    model: MattingModel, pictures: list[Path], out: Path, *, protocol: Protocol, device: torch.device | str
) -> list[str]:
    """Write an alpha (8-bit grey PNG) and a cut-out (RGBA PNG) for every picture, see `plan_outputs`.

    The cut-out keeps the photo's own colours: where a pixel is partly transparent, the old background shows in them.
    `model` is on `device`. Returns one sentence for each picture that could not be matted, the others are done. Raises
    UserError where memory does not suffice, and for a model that answers with NaN.
    """
    failures: list[str] = []
    for picture, (alpha_path, cutout_path) in track(plan_outputs(pictures, out).items(), len(pictures), "matting"):
        try:
            image = read_image(picture)
            protocol.size(*image.shape[:2])
        except UserError as error:
            failures.append(str(error) if str(picture) in str(error) else f"{picture}: {error}")
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
        if not np.isfinite(matte).all():
            raise UserError(
                f"the model answers with NaN for {picture}, so its weights are of no use; give another model, or train "
                "it again"
            )
        alpha = np.rint(matte * 255).astype(np.uint8)
        try:
            write_png(cutout_path, np.dstack([image, alpha]))  # first, as its name is the longer one
            write_png(alpha_path, alpha)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            failures.append(f"{cutout_path} is too long a name to be written; rename {picture}")
    return failures


def _place(path: Path) -> Path:
    """Where a path leads, or the path itself where links lead nowhere."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path.absolute()


def _resize(image: NDArray[np.uint8], rows: int, columns: int) -> NDArray:
    if (rows, columns) == image.shape[:2]:
        return image
    shrinks = rows < image.shape[0]
    return cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
