"""ONNX Runtime on the CPU, by the graph that `wsshm export` writes, for images of one shape."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.engines import Engine, Setting, graphs, quantising, register

if TYPE_CHECKING:
    import torch


def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Callable[[torch.Tensor], Any]:
    """The graph's session."""
    file = graphs.exported(network, images, setting)
    if setting.precision == "int8":
        file = quantising.onnx_file(file, setting)
    return graphs.opened(file, "onnxruntime", setting)


def unavailable(device: str, precision: str) -> str | None:
    """Its CPU kernels are of float32 and int8."""
    if device != "cpu":
        return "onnxruntime is timed on the CPU; on a GPU time compile, cudagraph or tensorrt"
    if precision == "int8" and importlib.util.find_spec(quantising.MODULE) is None:
        return f"int8 needs {quantising.MODULE}, not installed here: pip install '.[engines]'"
    return (
        None if precision in ("fp32", "int8") else f"onnxruntime has no CPU kernels in {precision} for these networks"
    )


register(
    Engine(
        "onnxruntime",
        "ONNX Runtime",
        prepare,
        compiles=True,
        unavailable=unavailable,
        lowers=True,
        layout="nchw",
        any_size=True,
        on_cpu=True,
        packages=("onnxruntime", *graphs.MODULES),
    )
)
