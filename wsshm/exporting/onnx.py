"""ONNX, by torch's exporter; opened by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.exporting import Format, Runner, register

if TYPE_CHECKING:
    from torch.export import ExportedProgram

OPSET = 18
"""The lowest that the exporter writes without conversion, so that older runtimes read the file."""


def write(program: ExportedProgram, file: Path, notes: dict[str, str]) -> None:
    """Write the graph with named inputs, outputs (the matte alone, or the boundary as well) and dimensions."""
    import onnx
    import torch

    from wsshm.exporting.tracing import BOUNDARY, IMAGE, MATTE

    written = torch.onnx.export(
        program,
        input_names=[IMAGE],
        output_names=[MATTE, BOUNDARY][: len(program.graph_signature.user_outputs)],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert written is not None  # only with a file of its own does the exporter return nothing
    model = written.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for name, dimension in zip(("batch", "", "height", "width"), value.type.tensor_type.shape.dim, strict=True):
            if dimension.dim_param:
                dimension.dim_param = name
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def open_(file: Path) -> Runner:
    """The graph in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of optimisations that it leaves out
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(images: Any) -> Any:
        return tuple(session.run(None, {name: images}))

    return run


register(
    Format(
        "onnx",
        "ONNX, for ONNX Runtime, TensorRT, CoreML and others",
        "model.onnx",
        write,
        open_,
        ("onnx", "onnxscript", "onnxruntime"),
    )
)
