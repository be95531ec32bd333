"""torch.compile: on a CPU with frozen weights, on a GPU in the mode `reduce-overhead` (CUDA graphs).

Frozen weights are folded into the convolutions and laid out for them, which needs a network that is not trained on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.engines import Engine, Setting, register

if TYPE_CHECKING:
    import torch


def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Callable[[torch.Tensor], Any]:
    """The network, compiled at its first call; what the compiler caches stays in the setting's folder."""
    import torch

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(setting.folder / "inductor")
    os.environ["TRITON_CACHE_DIR"] = str(setting.folder / "triton")
    if setting.device == "cuda":
        return torch.compile(network, dynamic=setting.any_size, mode="reduce-overhead")
    return torch.compile(network, dynamic=setting.any_size, options={"freezing": True})


def unavailable(device: str, precision: str) -> str | None:
    """Why torch.compile cannot be used: it needs a C++ compiler on a CPU, Triton on a GPU."""
    import importlib.util
    import shutil

    if device == "cuda":
        return None if importlib.util.find_spec("triton") else "torch.compile needs the package triton on a GPU"
    compilers = [os.environ.get("CXX", ""), "g++", "clang++"]
    return (
        None
        if any(name and shutil.which(name) for name in compilers)
        else "torch.compile needs a C++ compiler (g++) on a CPU"
    )


register(Engine("compile", "torch.compile", prepare, compiles=True, unavailable=unavailable, any_size=True))
