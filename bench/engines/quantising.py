"""int8 for graphs: static quantisation by NNCF, calibrated on photos.

NNCF rather than ONNX Runtime's own tools: it corrects biases, is developed with OpenVINO, and its result for ONNX runs in
ONNX Runtime as well.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from bench.engines import Setting
from bench.engines.graphs import kept

MODULE = "nncf"


def onnx_file(graph: Path, setting: Setting) -> Path:
    """The graph with quantised convolutions (in ONNX's QuantizeLinear and DequantizeLinear), beside it."""

    def write(file: Path) -> None:
        import onnx
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

        # ONNX Runtime refuses depthwise convolutions whose input has a scale for every channel.
        whole = AdvancedQuantizationParameters(
            activations_quantization_params=QuantizationParameters(per_channel=False)
        )
        onnx.save(_quantised(onnx.load(graph), setting, advanced_parameters=whole), file)

    return kept(graph.with_name("int8.onnx"), write)


def openvino_file(graph: Path, setting: Setting) -> Path:
    """The same as OpenVINO's own format (.xml, and .bin beside it)."""

    def write(file: Path) -> None:
        import openvino

        openvino.save_model(_quantised(openvino.convert_model(graph), setting), file, compress_to_fp16=False)

    return kept(graph.with_name("int8.xml"), write)


def _quantised(model: Any, setting: Setting, **options: Any) -> Any:
    import nncf

    from wsshm.exporting.export import quiet
    from wsshm.exporting.tracing import IMAGE

    logging.getLogger("nncf").setLevel(logging.ERROR)
    pictures = setting.pictures()
    photos = nncf.Dataset(list(pictures), lambda photo: {IMAGE: photo[None].numpy()})
    with quiet():
        return nncf.quantize(
            model,
            photos,
            preset=nncf.QuantizationPreset.MIXED,  # activations below zero, as of h-swish, have a range of their own
            subset_size=len(pictures),
            **options,
        )
