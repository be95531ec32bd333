"""Tiny ONNX files that stand for other people's models: what they compute is known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import yaml
from onnx import TensorProto, helper

F = TensorProto.FLOAT


def save(file: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: tuple[Any, ...] = ()) -> Path:
    """Write a graph of these nodes; inputs and outputs are (name, shape)."""
    tensors = [[helper.make_tensor_value_info(name, F, shape) for name, shape in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "tiny", *tensors, initializer=list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return file


def first_channel(file: Path, side: int | None = None) -> Path:
    """NCHW `x` to its first channel, `y`: a matte that is the picture's red. 1 x 3 x `side` x `side`, or any size."""
    height, width = (side, side) if side else ("h", "w")
    weight = helper.make_tensor("weight", F, [1, 3, 1, 1], [1.0, 0.0, 0.0])
    nodes = [helper.make_node("Conv", ["x", "weight"], ["y"])]
    return save(file, nodes, [("x", [1, 3, height, width])], [("y", [1, 1, height, width])], (weight,))


def red_and_blue(file: Path) -> Path:
    """NHWC `x` of any size to its channels R and B, `y`: two logits."""
    weight = helper.make_tensor("weight", F, [3, 2], [1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    return save(file, nodes, [("x", [1, "h", "w", 3])], [("y", [1, "h", "w", 2])], (weight,))


def remembering(file: Path) -> Path:
    """`y` is the first channel of `x` times the factor `f`, plus a tenth of the state `s`; the next state `t` is 1."""
    weight = helper.make_tensor("weight", F, [1, 3, 1, 1], [1.0, 0.0, 0.0])
    tenth = helper.make_tensor("tenth", F, [], [0.1])
    one = helper.make_tensor("one", F, [], [1.0])
    nodes = [
        helper.make_node("Conv", ["x", "weight"], ["red"]),
        helper.make_node("Mul", ["red", "f"], ["scaled"]),
        helper.make_node("Mul", ["s", "tenth"], ["old"]),
        helper.make_node("Add", ["scaled", "old"], ["y"]),
        helper.make_node("Max", ["s", "one"], ["t"]),
    ]
    inputs = [("x", [1, 3, "h", "w"]), ("f", [1]), ("s", [1, 1, 1, 1])]
    return save(file, nodes, inputs, [("y", [1, 1, "h", "w"]), ("t", [1, 1, 1, 1])], (weight, tenth, one))


def document(**changes: Any) -> dict[str, Any]:
    """A description of `first_channel`, with other keys at its top."""
    return {
        "title": "Red",
        "kind": "matting",
        "paper": "none",
        "source": "made by a test",
        "licence": {"code": "MIT", "weights": "CC BY-NC 4.0", "commercial": False},
        "file": "red.onnx",
        "format": "onnx",
        "input": {"layout": "NCHW"},
        "output": {"layout": "NCHW", "meaning": "alpha"},
    } | changes


def describe(path: Path, **changes: Any) -> Path:
    """Write such a description."""
    path.write_text(yaml.safe_dump(document(**changes)))
    return path
