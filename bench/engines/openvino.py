"""OpenVINO on the CPU, in exactly the precision asked for.

Left alone it takes bfloat16 where the processor has it, whatever the graph is in: mattes then differ from PyTorch's by
1e-4 to 1e-2 instead of 1e-7.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.engines import Engine, Setting, graphs, quantising, register

if TYPE_CHECKING:
    import torch

CAPABILITIES = {"bf16": "BF16", "fp16": "FP16", "int8": "INT8"}


def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Callable[[torch.Tensor], Any]:
    """The compiled graph."""
    file = graphs.exported(network, images, setting)
    if setting.precision == "int8":
        file = quantising.openvino_file(file, setting)
    return graphs.opened(file, "openvino", setting)


def unavailable(device: str, precision: str) -> str | None:
    """What the processor has no instructions for, OpenVINO would run in another precision."""
    if device != "cpu":
        return "openvino is timed on the CPU; on a GPU time compile, cudagraph or tensorrt"
    if precision == "int8" and importlib.util.find_spec(quantising.MODULE) is None:
        return f"int8 needs {quantising.MODULE}, not installed here: pip install '.[engines]'"
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if CAPABILITIES.get(precision, "FP32") not in able:
        return f"this processor has no instructions for {precision} (OpenVINO names {', '.join(sorted(able))})"
    return None


register(
    Engine(
        "openvino",
        "OpenVINO",
        prepare,
        compiles=True,
        unavailable=unavailable,
        lowers=True,
        layout="nchw",
        any_size=True,
        on_cpu=True,
        packages=("openvino", *graphs.MODULES),
    )
)
