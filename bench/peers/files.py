"""Opening an ONNX or TFLite file and running it: names, shapes and arrays, whatever engine is behind."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError, first_line

Array = NDArray[Any]
TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
LACKING = "pip install '.[engines]'"
MAP = 4
"""Dimensions of a map: batch, channels and sides in one order or another."""
FLOATS = (1, 10, 16)  # of onnx.TensorProto.DataType: float, float16, bfloat16


@dataclass(frozen=True)
class Tensor:
    """An input or output: its shape (None for a side that may vary; None for one that is not said) and values' type."""

    shape: tuple[int | None, ...] | None
    dtype: type[np.generic]

    def __str__(self) -> str:
        if self.shape is None:
            return "a shape that it does not say"
        return "the shape " + " x ".join("any" if side is None else str(side) for side in self.shape)


class Session(Protocol):
    """A file that is ready to run. `engine` and `version` are what runs it."""

    engine: str
    version: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """The named outputs; whatever the engine raises."""


def open_file(
    file: Path, format: str, threads: int | None = None, *, engine: str | None = None, precision: str = "fp32"
) -> Session:
    """The file as something to run, on `threads` CPU threads (default: the engine's choice).

    `engine` is one of the format's (see `bench.peers.RUNS`), by default the first. `precision` is what OpenVINO computes
    in: fp32, bf16 or fp16; int8 is for graphs that are quantised, whose other layers are in fp32. UserError for a file
    that is missing, empty or of another format, and where the engine is not installed.
    """
    check_file(file)
    if engine == "openvino":
        return _OpenVino(file, threads, precision)
    return _Onnx(file, threads) if format == "onnx" else _TfLite(file, threads)


def check_file(file: Path) -> None:
    """UserError unless there is a file with something in it."""
    if not file.is_file():
        raise UserError(f"there is no file {file}; give the model's file after the =")
    if file.stat().st_size == 0:
        raise UserError(f"{file} is empty (0 bytes); fetch it again")


def digest(file: Path) -> str:
    """The file's sha256 in hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def parameters(file: Path, format: str) -> int | None:
    """How many numbers an ONNX file's weights hold; None for other formats, and where the package onnx is missing."""
    if format != "onnx":
        return None
    try:
        import onnx
    except ImportError:
        return None
    weights = onnx.load(file, load_external_data=False).graph.initializer
    return sum(math.prod(weight.dims) for weight in weights if weight.data_type in FLOATS)


class _Onnx:
    engine = "onnxruntime"

    def __init__(self, file: Path, threads: int | None) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError(f"{file} needs the package onnxruntime, which is not installed here: {LACKING}") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        if threads is not None:
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own types, one for each way in which a file may be wrong
            raise UserError(f"{file} is no ONNX file that ONNX Runtime can load ({first_line(error)})") from None
        self.version = onnxruntime.__version__
        self.inputs = {node.name: self._tensor(node) for node in self._session.get_inputs()}
        self.outputs = {node.name: self._tensor(node) for node in self._session.get_outputs()}

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        return self._session.run(list(outputs), dict(feeds))

    @staticmethod
    def _tensor(node: Any) -> Tensor:
        shape = tuple(side if isinstance(side, int) and side > 0 else None for side in node.shape)
        # A scalar and a shape that is not said look the same.
        return Tensor(shape or None, TYPES.get(node.type, np.float32))


class _OpenVino:
    engine = "openvino"
    hints: typing.ClassVar = {"bf16": "bf16", "fp16": "f16"}

    def __init__(self, file: Path, threads: int | None, precision: str) -> None:
        try:
            import openvino
        except ImportError:
            raise UserError(f"{file} needs the package openvino, which is not installed here: {LACKING}") from None
        # Left alone, OpenVINO takes bfloat16 where the processor has it.
        asked: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.hints.get(precision, "f32")}
        if threads is not None:
            asked["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            model = core.read_model(file)
            if unsaid := [port for port in model.inputs if port.partial_shape.rank.is_dynamic]:
                # Its CPU plug-in wants to know at least the rank; recurrent states, which are such inputs, are maps.
                model.reshape({port.any_name: openvino.PartialShape([-1] * MAP) for port in unsaid})
            compiled = core.compile_model(model, "CPU", asked)
        except RuntimeError as error:
            raise UserError(f"{file} is no file that OpenVINO can load ({_reason(error)})") from None
        self.version = importlib.metadata.version("openvino")
        self._request = compiled.create_infer_request()
        self.inputs = {port.any_name: self._tensor(port) for port in compiled.inputs}
        self.outputs = {port.any_name: self._tensor(port) for port in compiled.outputs}
        self._places = {port.any_name: place for place, port in enumerate(compiled.outputs)}

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        results = self._request.infer(dict(feeds), share_inputs=True, share_outputs=True)
        return [np.array(results[self._places[name]]) for name in outputs]  # the next call overwrites what it shares

    @staticmethod
    def _tensor(port: Any) -> Tensor:
        if port.partial_shape.rank.is_dynamic:
            return Tensor(None, port.element_type.to_dtype().type)
        shape = tuple(None if side.is_dynamic else side.get_length() for side in port.partial_shape)
        return Tensor(shape, port.element_type.to_dtype().type)


def _reason(error: Exception) -> str:
    """The last line of one of OpenVINO's errors: those before it name places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _TfLite:
    engine = "litert"

    def __init__(self, file: Path, threads: int | None) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise UserError(
                f"{file} needs the package ai-edge-litert, which is not installed here: {LACKING}"
            ) from None
        try:
            self._interpreter = Interpreter(model_path=str(file), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{file} is no TFLite file that LiteRT can load ({first_line(error)})") from None
        self.version = importlib.metadata.version("ai-edge-litert")
        into, out = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._places = {detail["name"]: detail["index"] for detail in [*into, *out]}
        self.inputs, self.outputs = ({detail["name"]: self._tensor(detail) for detail in side} for side in (into, out))

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        for name, values in feeds.items():
            self._interpreter.set_tensor(self._places[name], values)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._places[name]) for name in outputs]

    @staticmethod
    def _tensor(detail: dict[str, Any]) -> Tensor:
        return Tensor(tuple(int(side) for side in detail["shape"]), detail["dtype"])
