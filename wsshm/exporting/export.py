"""Write a trained model for other runtimes, and check every file against the network that was trained."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsshm.data.pictures import read_image
from wsshm.data.procedural.pictures import draw_photo, plan_photo
from wsshm.errors import UserError
from wsshm.exporting import EXTRA, FORMATS, Format
from wsshm.exporting.tracing import BOUNDARY, IMAGE, MATTE, Traced, example, trace
from wsshm.files.whole import whole_file, write_whole
from wsshm.models.card import PAGE, Provenance, page
from wsshm.models.checkpoint import WEIGHTS, ModelCard, card_file
from wsshm.models.folder import CARD, PUBLISHED
from wsshm.models.network import MattingModel

EXPORTS = "## Exports"
FARTHEST = 1e-3
"""How far a value of a matte or boundary may be from the network's; beyond it nothing is written."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """An exported file, what it consists of, its size in bytes, and the largest absolute differences from the network."""

    format: str
    file: Path
    files: tuple[str, ...]
    size: int
    random: float
    pictures: float


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) in px of `512` or `1920x1080` (width x height). UserError for anything else."""
    match = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    if not match or not int(match[1]):
        raise UserError(f"--size is {text!r}; give pixels such as 512, or width x height such as 1920x1080")
    return int(match[2] or match[1]), int(match[1])


def check_formats(names: Sequence[str]) -> list[Format]:
    """The formats of these names. UserError for one that is unknown or needs a package that is not installed."""
    formats = [FORMATS.get(name) for name in names]
    for wanted in formats:
        missing = [module for module in wanted.needs if importlib.util.find_spec(module) is None]
        if missing:
            raise UserError(
                f"--to {wanted.name} needs {', '.join(missing)}; install what exports need: pip install '.[{EXTRA}]'"
            )
    return formats


def export(
    model: MattingModel,
    card: ModelCard,
    formats: Sequence[Format],
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    uint8: bool = False,
    pictures: Sequence[Path] = (),
) -> tuple[Traced, list[Written]]:
    """Write a model, in eval mode on the CPU, into the folder `out`, one file a format, each whole or not at all.

    `size` (height, width) in px makes exports of one size; otherwise they take any, as far as the network does. `pictures`
    are checked on beside random images and two pictures of the embedded set. Raises UserError for a size that does not
    fit, a picture that cannot be read, and a file that differs from the network by more than `FARTHEST`.
    """
    photos = [read_image(picture) for picture in pictures] + [_drawn(number) for number in range(2)]
    log.info("tracing the network")
    with quiet():
        traced = trace(model, size=size, trained=card.size, uint8=uint8)
    notes = {
        "architecture": str(card.architecture),
        "backbone": card.backbone,
        "trained_at_px": str(card.size),
        "takes": traced.takes,
    }
    written = []
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        for wanted in formats:
            log.info("writing and checking %s", wanted.file)
            made = Path(scratch) / wanted.name
            made.mkdir()
            with quiet():
                wanted.write(traced.program, made / wanted.file, notes)
                run = wanted.open(made / wanted.file)
            random, seen = _differences(model, run, traced, photos)
            if not max(random, seen) <= FARTHEST:
                raise UserError(
                    f"{wanted.file} differs from the network by up to {max(random, seen):.1e}, more than {FARTHEST:g}, and"
                    " is not written; give another --to, or a --size of your pictures"
                )
            files = sorted(made.iterdir(), key=lambda file: file.name != wanted.file)
            for file in reversed(files):  # the main file last
                with whole_file(out / file.name) as target:
                    shutil.copyfile(file, target)
            size_in_bytes = sum(file.stat().st_size for file in files)
            written.append(
                Written(wanted.name, out / wanted.file, tuple(file.name for file in files), size_in_bytes, random, seen)
            )
    return traced, written


def write_folder(folder: Path, card: ModelCard, out: Path, traced: Traced, written: Sequence[Written]) -> None:
    """Complete `out` to a model's folder: the weights and card of the model in `folder`, and its README with the exports."""
    weights = out / WEIGHTS
    if not (weights.exists() and weights.samefile(folder / WEIGHTS)):
        with whole_file(weights) as target:
            shutil.copyfile(folder / WEIGHTS, target)
    if not (out / CARD).is_file():  # else it is a model's folder already
        write_whole(out / PUBLISHED, card_file(folder).read_bytes())
    own = folder / PAGE
    text = own.read_text() if own.is_file() else page(card, Provenance())
    write_whole(out / PAGE, f"{text.partition(EXPORTS)[0].rstrip()}\n\n{_exports(traced, written)}")


def _exports(traced: Traced, written: Sequence[Written]) -> str:
    rows = []
    for made in written:
        files = " with ".join(f"`{name}`" for name in made.files)
        differences = f"{made.random:.1e} | {made.pictures:.1e}"
        rows.append(f"| {files} | {FORMATS.get(made.format).about} | {made.size / 1e6:.1f} | {differences} |")
    return "\n".join(
        [
            f"{EXPORTS}\n",
            f"Input `{IMAGE}`: {traced.takes}; normalisation is inside. Outputs `{MATTE}` and `{BOUNDARY}`: N x 1 x height x"
            " width, float32 in [0, 1].\n",
            "| file | for | MB | difference on random images | on pictures |\n|---|---|---:|---:|---:|",
            *rows,
            *_in_python(traced, written),
            "\nDifferences are the largest of any pixel from PyTorch's float32 network, on the machine that exported.\n",
        ]
    )


def _in_python(traced: Traced, written: Sequence[Written]) -> list[str]:
    """How the ONNX file, if there is one, is run."""
    if not any(w.format == "onnx" for w in written):
        return []
    values = "" if traced.uint8 else ".astype(np.float32) / 255"
    return [
        "\n```python\nimport numpy as np\nimport onnxruntime\n",
        'session = onnxruntime.InferenceSession("model.onnx")',
        f"batch = np.ascontiguousarray(photo.transpose(2, 0, 1)[None]){values}  # photo: H x W x 3 uint8, RGB",
        'matte, boundary = session.run(None, {"image": batch})\n```',
    ]


def _differences(
    model: MattingModel, run: Any, traced: Traced, photos: Sequence[NDArray[np.uint8]]
) -> tuple[float, float]:
    """The largest differences on random images (where sizes are free, of two sizes, one at a time and two) and photos."""
    stride = traced.stride
    sizes = [traced.size] if traced.size else [(2 * stride, 4 * stride), (5 * stride, 3 * stride)]
    random = [example(size, traced.uint8, batch) for size in sizes for batch in (1, 2)]
    seen = [_input(photo, traced) for photo in photos]
    return max(_difference(model, run, images) for images in random), max(
        _difference(model, run, images) for images in seen
    )


def _difference(model: MattingModel, run: Any, images: torch.Tensor) -> float:
    with torch.inference_mode():
        output = model(images.float() / 255 if images.dtype == torch.uint8 else images)
    found = run(images.numpy())
    expected = (output.matte.numpy(), output.boundary.numpy())
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))


def _input(photo: NDArray[np.uint8], traced: Traced) -> torch.Tensor:
    """A photo (H,W,3) as images (1,3,H,W) of a size that the graph takes."""
    height, width = traced.size or tuple(
        max(traced.stride, round(side / traced.stride) * traced.stride) for side in photo.shape[:2]
    )
    resized = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    images = torch.from_numpy(np.ascontiguousarray(resized)).permute(2, 0, 1)[None].contiguous()
    return images if traced.uint8 else images.float() / 255


def _drawn(seed: int) -> NDArray[np.uint8]:
    return draw_photo(plan_photo(np.random.default_rng(seed)), 192)[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What exporters print of their own work is not for users; errors are raised all the same."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
