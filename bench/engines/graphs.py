"""The ONNX graph of a network, for images of one shape or of any size, as several engines take it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.engines import Setting

if TYPE_CHECKING:
    import torch

MODULES = ("onnx", "onnxscript")
"""What writing a graph needs."""


def exported(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Path:
    """The graph's file in the setting's folder, written unless an earlier process left it there."""

    def write(file: Path) -> None:
        from wsshm.exporting import FORMATS
        from wsshm.exporting.export import quiet
        from wsshm.exporting.tracing import fixed, flexible

        with quiet():
            program = flexible(network, cast(int, network.stride)) if setting.any_size else fixed(network, images)
            FORMATS.get("onnx").write(program, file, {})

    return kept(setting.folder / "graph.onnx", write)


def kept(file: Path, write: Callable[[Path], None]) -> Path:
    """A file that is made once; another process finds it whole or not at all."""
    if not file.is_file():
        unfinished = file.with_name(f"unfinished-{file.name}")
        write(unfinished)
        for part in file.parent.glob(f"{unfinished.stem}.*"):  # the main file last, as formats of two files have it
            if part != unfinished:
                part.rename(file.with_suffix(part.suffix))
        unfinished.rename(file)
    return file


def opened(file: Path, engine: str, setting: Setting) -> Callable[[torch.Tensor], torch.Tensor]:
    """A graph of one input and one output as a function of images in memory, which are handed over without a copy."""
    import torch

    from bench.peers.files import open_file

    session = open_file(file, "onnx", setting.threads, engine=engine, precision=setting.precision)
    [into], [out] = session.inputs, session.outputs

    def run(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run([out], {into: images.numpy()})[0])

    return run
