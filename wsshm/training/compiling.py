"""`train.compile`: the network as one kernel after another that torch.compile made for it, and what that needs."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
from typing import Any, NamedTuple

import torch
from torch import nn

from wsshm.training.distributed import World

OPTIONS: dict[str, Any] = {"fallback_random": True}
"""Dropout and stochastic depth draw the same as without compiling."""


class Need(NamedTuple):
    """Something that torch.compile needs, and how it is had."""

    what: str
    remedy: str


def compiled(network: nn.Module) -> nn.Module:
    """A module that computes what `network` does, whose weights it shares; the network itself is what is saved.

    Each size of input is compiled for itself, when it is first met. A stage meets four at most: half and full resolution
    (`train.half_resolution`), and micro-batches that differ by one sample (`train.accumulate`).
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of CUDA, which was not asked for
    module: nn.Module = torch.compile(network, dynamic=False, options=OPTIONS)  # type: ignore[assignment]
    return module


def forget() -> None:
    """Drop what was compiled: torch keeps eight results for one piece of code, and a stage may need them all."""
    torch.compiler.reset()


def obstacle(device: torch.device) -> str:
    """Why nothing can be compiled for `device` on this machine, and the remedy, in a sentence; empty where it can."""
    unmet = unmet_need(device.type)
    if unmet is None:
        return ""
    return f"train.compile needs {unmet.what}, and a machine that trains has none; {unmet.remedy}, or set train.compile: false"


def obstacle_anywhere(world: World) -> str:
    """The first obstacle on any worker, the same sentence on all of them."""
    return next((found for found in world.gather(obstacle(world.device)) if found), "")


def unmet_need(device: str) -> Need | None:
    """What torch.compile does not find on this machine: a C++ compiler for `cpu`; for `cuda` Triton, and a C compiler for
    what starts its kernels.
    """
    if device == "cpu":
        usual = "clang++" if sys.platform == "darwin" else "g++"
        return None if _found("CXX", usual) else _compiler(f"a C++ compiler ({usual})", "CXX")
    if not importlib.util.find_spec("triton"):
        return Need("Triton on a GPU", "pip install triton")
    return None if _found("CC", "cc", "gcc", "clang") else _compiler("a C compiler (gcc)", "CC")


def _found(variable: str, *usual: str) -> bool:
    named = os.environ.get(variable)
    return any(shutil.which(name.split()[0]) for name in ([named] if named and named.strip() else usual))


def _compiler(what: str, variable: str) -> Need:
    return Need(what, f"install one (apt install g++), name yours in {variable}")
