"""PyTorch's own graph: an exported program, to be run, compiled or quantised without this suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.exporting import Format, Runner, register

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def write(program: ExportedProgram, file: Path, notes: dict[str, str]) -> None:
    """Write the program, the notes in a file of its archive."""
    import json

    import torch

    torch.export.save(program, file, extra_files={"notes.json": json.dumps(notes, indent=1)})


def open_(file: Path) -> Runner:
    """The program as a module."""
    import torch

    module = torch.export.load(file).module()

    def run(images: Any) -> Any:
        with torch.no_grad():
            return tuple(output.numpy() for output in module(torch.from_numpy(images)))

    return run


register(Format("torch", "a program of torch.export", "model.pt2", write, open_))
