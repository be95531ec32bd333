"""What executes a network: one file an engine.

To add an engine, register it in a file that `WSSHM_PLUGINS` names (see `wsshm.plugins`), or put that file into this
folder under the engine's name; no other file changes:

    import torch
    from bench.engines import Engine, register

    def prepare(network, images, setting):
        return torch.jit.trace(network, images)

    register(Engine("traced", "TorchScript", prepare, compiles=True))

`wsshm bench speed --engines traced` and a plan's `speed.engines` then take it. This side needs no torch: import it
in functions, or in a file that only the process that times loads.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.errors import first_line
from wsshm.registry import Registry

if TYPE_CHECKING:
    import torch

INSTALL = "pip install '.[engines]'"
CAST = ("fp32", "bf16", "fp16")
"""Precisions that a network in PyTorch can be cast to."""


@dataclass(frozen=True)
class Setting:
    """Under which conditions an engine is prepared.

    `folder` is kept for the next process that prepares the same network in the same setting: what is left there (a
    graph, a compiler's cache) spares that process the work. `pictures()` are K x 3 x H x W float32 photos in [0, 1] on
    the CPU, of the size of the network's input, to calibrate int8 on. `any_size`: images of other sizes, one at a time,
    follow those that the engine is prepared with; engines that are not of `any_size` are prepared for each.
    """

    device: str
    precision: str
    threads: int
    folder: Path
    pictures: Callable[[], torch.Tensor]
    any_size: bool = False


def _anywhere(device: str, precision: str) -> str | None:
    return None


@dataclass(frozen=True)
class Engine:
    """A way to execute a network.

    `prepare(network, images, setting)` takes a module in evaluation mode, N x 3 x H x W images in and N x 1 x H x W mattes
    out, and images as it will be called with, both on their device and in their memory layout, and returns what is timed
    in its place. Both are in the precision asked for, unless the engine `lowers` precision itself: then they are float32.

    `compiles`: preparing and the first call are the store's `compile_s`. `unavailable(device, precision)` says in a
    phrase why it cannot run here, or None. `layout` is the memory layout of its images if it takes only one. `packages`
    are the modules that it needs beside torch, and `install` says how they are had. `any_size`: what it prepares can be
    called with images of any size that the network takes, if the setting asks for it. `on_cpu`: it runs there alone,
    by threads of its own, as many as the setting says.
    """

    name: str
    about: str
    prepare: Callable[[torch.nn.Module, torch.Tensor, Setting], Callable[[torch.Tensor], Any]]
    compiles: bool = False
    unavailable: Callable[[str, str], str | None] = _anywhere
    lowers: bool = False
    layout: str | None = None
    packages: tuple[str, ...] = ()
    install: str = INSTALL
    any_size: bool = False
    on_cpu: bool = False

    def refusal(self, device: str, precision: str) -> str | None:
        """Why it cannot run on a device in a precision, in a phrase; None if it can."""
        missing = [module for module in self.packages if importlib.util.find_spec(module) is None]
        if missing:
            return f"{self.name} needs {' and '.join(missing)}, not installed here: {self.install}"
        if not self.lowers and precision not in CAST:
            return f"{self.name} runs networks in {', '.join(CAST)}, not in {precision} (openvino and onnxruntime have int8)"
        try:
            return self.unavailable(device, precision)
        except ImportError as error:  # installed, but not for this machine
            return f"{self.name} cannot be loaded here ({first_line(error)})"

    def versions(self) -> dict[str, str]:
        """The versions of its packages that are installed."""
        found = {}
        for module in self.packages:
            for name in importlib.metadata.packages_distributions().get(module, [])[:1]:
                found[name] = importlib.metadata.version(name)
        return found


ENGINES: Registry[Engine] = Registry("engine", "bench.engines", helpers=("graphs", "quantising"))
register = ENGINES.register
