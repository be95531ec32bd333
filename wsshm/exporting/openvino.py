"""OpenVINO's format, made of the ONNX graph; opened by OpenVINO in float32."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from wsshm.exporting import FORMATS, Format, Runner, register

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def write(program: ExportedProgram, file: Path, notes: dict[str, str]) -> None:
    """Write model.xml and, beside it, the weights, in float32."""
    import openvino

    onnx = FORMATS.get("onnx")
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        graph = Path(scratch) / onnx.file
        onnx.write(program, graph, notes)
        model = openvino.convert_model(graph)
        for name, note in notes.items():
            model.set_rt_info(note, ["wsshm", name])
        openvino.save_model(model, file, compress_to_fp16=False)


def open_(file: Path) -> Runner:
    """The graph on the CPU. OpenVINO would take bfloat16 where the processor has it, so float32 is asked for."""
    import openvino

    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: Any) -> Any:
        result = compiled([images])
        return tuple(result[output] for output in compiled.outputs)

    return run


register(
    Format(
        "openvino",
        "OpenVINO, for Intel's processors and GPUs",
        "model.xml",
        write,
        open_,
        ("openvino", *FORMATS.get("onnx").needs),
    )
)
