"""What executes a network: one file an engine.

To add an engine, register it in a file that `WSSHM_PLUGINS` names (see `wsshm.plugins`), or put that file into this
folder under the engine's name; no other file changes:

    import torch
    from bench.engines import Engine, register

    def prepare(network, images):
        return torch.jit.trace(network, images)

    register(Engine("traced", "TorchScript", prepare, compiles=True))

`wsshm bench speed --engines traced` and a plan's `speed.engines` then take it. This side needs no torch: import it
in functions, or in a file that only the process that times loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsshm.registry import Registry

if TYPE_CHECKING:
    import torch


def _anywhere(device: str, precision: str) -> str | None:
    return None


@dataclass(frozen=True)
class Engine:
    """A way to execute a network.

    `prepare(network, images)` takes a module in evaluation mode, N x 3 x H x W images in and N x 1 x H x W mattes out, and
    images as it will be called with (both on their device, in their precision and memory layout), and returns what is
    timed in its place. `compiles`: preparing and the first call are the store's `compile_s`. `unavailable(device,
    precision)` says in a phrase why it cannot run here, or None.
    """

    name: str
    about: str
    prepare: Callable[[torch.nn.Module, torch.Tensor], Callable[[torch.Tensor], Any]]
    compiles: bool = False
    unavailable: Callable[[str, str], str | None] = _anywhere


ENGINES: Registry[Engine] = Registry("engine", "bench.engines")
register = ENGINES.register
