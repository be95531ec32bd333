"""TensorRT on NVIDIA GPUs, from the ONNX graph in the precision asked for ("strongly typed": nothing is lowered)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.engines import Engine, Setting, graphs, register

if TYPE_CHECKING:
    import torch


def prepare(network: torch.nn.Module, images: torch.Tensor, setting: Setting) -> Callable[[torch.Tensor], Any]:
    """The built plan with its inputs and outputs bound to torch's memory, run on torch's current stream."""
    import tensorrt
    import torch

    graph = graphs.exported(network, images, setting)
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    plan = graphs.kept(graph.with_name("tensorrt.plan"), lambda file: _build(graph, file, logger))
    engine = tensorrt.Runtime(logger).deserialize_cuda_engine(plan.read_bytes())
    context = engine.create_execution_context()
    first, second = (engine.get_tensor_name(place) for place in range(engine.num_io_tensors))
    takes = engine.get_tensor_mode(first) == tensorrt.TensorIOMode.INPUT
    into, out = (first, second) if takes else (second, first)
    mattes = torch.empty(tuple(engine.get_tensor_shape(out)), device=images.device)  # float32 in any precision
    context.set_tensor_address(out, mattes.data_ptr())

    def run(images: torch.Tensor) -> torch.Tensor:
        context.set_tensor_address(into, images.data_ptr())
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT refused to run its plan")
        return mattes

    return run


def _build(graph: Path, plan: Path, logger: Any) -> None:
    import tensorrt

    builder = tensorrt.Builder(logger)
    definition = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(definition, logger)
    if not parser.parse_from_file(str(graph)):
        raise NotImplementedError(f"TensorRT cannot read the graph ({parser.get_error(0)})")
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)  # as everywhere here, fp32 means fp32
    made = builder.build_serialized_network(definition, config)
    if made is None:
        raise NotImplementedError("TensorRT cannot build this network; its log above says why")
    plan.write_bytes(made)


def unavailable(device: str, precision: str) -> str | None:
    """TensorRT is of NVIDIA's GPUs."""
    return None if device == "cuda" else "TensorRT needs an NVIDIA GPU and --device cuda"


register(
    Engine(
        "tensorrt",
        "TensorRT",
        prepare,
        compiles=True,
        unavailable=unavailable,
        layout="nchw",
        packages=("tensorrt", *graphs.MODULES),
        install="pip install tensorrt '.[engines]'",
    )
)
