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
    """What torch.compile needs and does not find: a C++ compiler on a CPU, Triton and a C compiler on a GPU."""
    from wsshm.training.compiling import unmet_need

    unmet = unmet_need(device)
    return f"torch.compile needs {unmet.what}, not found here: {unmet.remedy}" if unmet else None


register(Engine("compile", "torch.compile", prepare, compiles=True, unavailable=unavailable, any_size=True))
