"""Trained models for other runtimes: one file a format.

To add a format, register it in a file that `WSSHM_PLUGINS` names (see `wsshm.plugins`), or put that file into this folder
under the format's name; no list changes. `wsshm export MODEL --to NAME` then takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsshm.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

EXTRA = "engines"
"""The extra of this project that brings what formats need."""

Runner = Callable[["NDArray[np.generic]"], "tuple[NDArray[np.float32], NDArray[np.float32]]"]
"""An exported file, opened: images (N,3,H,W) in, matte and boundary (N,1,H,W) out."""


@dataclass(frozen=True)
class Format:
    """How a traced network is written to a file and opened again.

    `file` is the main file's name in the export's folder; `write(program, file, notes)` writes it (and, beside it, files
    of the same stem) with `notes` as its metadata where the format has a place for them. `open(file)` runs it on the CPU in
    float32, which every export is checked by. `needs` are the modules that both import, from the extra `engines`.
    """

    name: str
    about: str
    file: str
    write: Callable[[ExportedProgram, Path, dict[str, str]], None]
    open: Callable[[Path], Runner]
    needs: tuple[str, ...] = ()


FORMATS: Registry[Format] = Registry("export format", "wsshm.exporting", helpers=("export", "tracing"))
register = FORMATS.register
