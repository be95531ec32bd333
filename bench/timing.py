"""The other side of bench.speed: forks a process for each network and setting, which builds it and times it.

`python -m bench.timing` reads requests from stdin and answers each on stdout, JSON line by line. Forking spares every
setting the seconds that importing torch takes; nothing is computed before the fork, so no thread pool, memory pool or
CUDA context is inherited.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import cv2
import numpy as np
import torch
from timm.utils import reparameterize_model
from torch.utils.flop_counter import FlopCounterMode

from bench import photos, provenance
from bench.blocks import leave_threads_to_the_engine, timed
from bench.engines import ENGINES, Engine, Setting
from bench.executed import DTYPES, Mattes
from bench.peers.speed import PeerSpec
from bench.settings import Protocol, SpeedSpec
from bench.speed import LONGEST
from wsshm.config import ModelConfig, parse
from wsshm.errors import UserError
from wsshm.models import families
from wsshm.models.checkpoint import load_model
from wsshm.models.network import MattingModel, build_model
from wsshm.models.trial import failure, stride_of

LARGEST_STRIDE = 64  # of an encoder: training sizes are multiples of it
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
FARTHEST = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.2, "int8": 0.5}
"""Of mattes in each precision, how much of what eager's fp32 mattes vary may be unlike them: the root of the mean squared
difference over their standard deviation. 0 is equal, 1 what a constant would have. Beyond it an engine is wrong."""


def serve() -> None:
    """Answer requests until stdin ends or nobody reads the answers; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        for line in sys.stdin:
            _serve(json.loads(line), answers)
    except BrokenPipeError:  # the command was ended; in the forked process too
        os._exit(1)


def _serve(request: dict[str, Any], answers: TextIO) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST)
        answers.write(json.dumps(_answer(request)) + "\n")
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        killed = {"status": "oom", "reason": "the process was killed, most likely for lack of memory"}
        answers.write(json.dumps(killed) + "\n")
    elif status == -signal.SIGALRM:
        late = {"status": "unavailable", "reason": f"it was not prepared and timed within {LONGEST // 60} minutes"}
        answers.write(json.dumps(late) + "\n")
    elif status:
        answers.write(json.dumps({"failure": f"its process ended with status {status}"}) + "\n")


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        if "peer" in request:  # another process than those of our models, which loads an engine
            from bench.peers.timing import check_peer, time_peer

            peer = PeerSpec(**request["peer"])
            if "protocol" not in request:
                return check_peer(peer)
            return time_peer(peer, Protocol(**request["protocol"]), request["threads"])
        if "check" in request:
            return check([SpeedSpec(**spec) for spec in request["check"]])
        return time_model(
            SpeedSpec(**request["spec"]),
            request["scopes"],
            Protocol(**request["protocol"]),
            request["threads"],
            Path(request["folder"]),
            request["calibration"],
        )
    except UserError as error:
        return {"user_error": str(error)}
    except Exception as error:  # told to the process that asked
        traceback.print_exc()
        return {"failure": _first_line(error)}


def check(specs: list[SpeedSpec]) -> dict[str, Any]:
    """Build every model without memory for its weights; raise UserError for what cannot be timed."""
    for device in {spec.device for spec in specs}:
        if device == "cuda" and not torch.cuda.is_available():
            raise UserError("there is no CUDA device that torch can use here; time on --device cpu")
    with torch.device("meta"):
        for spec in {(spec.model, spec.folder): spec for spec in specs}.values():
            build_model(_config(spec))
    return {}


def time_model(
    spec: SpeedSpec,
    scopes: list[str],
    protocol: Protocol,
    threads: int | None,
    folder: Path,
    calibration: str | None = None,
) -> dict[str, Any]:
    """What this process measured of one network: `blocks` by scope (see `bench.blocks.timed`), and columns of its rows.

    `settings` go into the rows' `versions`. `folder` is the engine's, `calibration` a manifest whose validation
    photos int8 is calibrated on, by default photos of the embedded set. Where it cannot be timed: `status` and `reason`.
    """
    check([spec])
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    # cuDNN may choose its fastest kernels, but fp32 must mean fp32
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    engine = ENGINES.get(spec.engine)
    settings = {
        "device": provenance.device_name(spec.device, torch.get_num_threads()),
        "threads": torch.get_num_threads(),
        "tf32": False,
        **engine.versions(),
    }
    if reason := engine.refusal(spec.device, spec.precision):
        return {"status": "unavailable", "reason": reason, "settings": settings}
    try:
        return {**_time(spec, scopes, protocol, engine, folder, calibration), "settings": settings}
    except UserError:
        raise
    except Exception as error:  # torch.OutOfMemoryError is a RuntimeError, and families refuse sizes in many ways
        reason = _first_line(error)
        if isinstance(error, MemoryError) or any(text in str(error).lower() for text in OUT_OF_MEMORY):
            return {"status": "oom", "reason": reason, "settings": settings}
        kwargs = _config(spec).backbone_kwargs
        stride = stride_of(spec.backbone, kwargs, spec.architecture)
        size = _fitting(spec.height, stride), _fitting(spec.width, stride)
        if refused := failure(spec.backbone, kwargs, [size], spec.architecture):
            return {"status": "unavailable", "reason": refused, "settings": settings}
        if isinstance(error, NotImplementedError) or "not implemented for" in reason or engine.compiles:
            why = f"{spec.engine} cannot run this network in {spec.precision} ({reason[:200]})"
            return {"status": "unavailable", "reason": why, "settings": settings}
        raise


def _time(
    spec: SpeedSpec, scopes: list[str], protocol: Protocol, engine: Engine, folder: Path, calibration: str | None
) -> dict[str, Any]:
    torch.manual_seed(0)  # the same network in every process: what one of them left in the folder is of these weights
    saved = load_model(spec.folder)[0] if spec.folder else build_model(_config(spec))
    model = cast(MattingModel, reparameterize_model(saved.eval())).requires_grad_(False)
    layout = torch.channels_last if spec.layout == "channels_last" else torch.contiguous_format
    model = model.to(spec.device).to(memory_format=layout)
    height, width = (_fitting(side, model.stride) for side in (spec.height, spec.width))
    shown = photos.drawn(1, height, width).expand(spec.batch, -1, -1, -1).to(spec.device)
    shown = shown.contiguous(memory_format=layout)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        expected = model(shown).matte.cpu()
    lowered = DTYPES["fp32" if engine.lowers else spec.precision]
    network, shown = Mattes(model.to(lowered)).eval(), shown.to(lowered)
    setting = Setting(
        spec.device,
        spec.precision,
        torch.get_num_threads(),
        folder,
        lambda: (
            photos.of_manifest(calibration, height, width)
            if calibration
            else photos.drawn(photos.CALIBRATION, height, width)
        ),
    )
    begin = time.perf_counter()
    run = engine.prepare(network, shown, setting)
    with torch.inference_mode():
        found = run(shown.clone()).float().cpu()  # a copy is a tensor of this mode, as those that follow are
        prepared_s = time.perf_counter() - begin if engine.compiles else None
        farthest, unlike = differences(found, expected)
        known = {
            "params": sum(parameter.numel() for parameter in model.parameters()),
            "gmacs": counter.get_total_flops() / 2 / spec.batch / 1e9,
            "prepared_s": prepared_s,
            "max_difference": farthest if math.isfinite(farthest) else None,
        }
        if not unlike <= FARTHEST[spec.precision]:
            return {**known, "status": "wrong", "reason": _wrong(spec, farthest, unlike)}
        if engine.on_cpu:
            leave_threads_to_the_engine()
        images = torch.rand(shown.shape).to(shown.device, lowered).contiguous(memory_format=layout)
        calls = {
            "model": lambda: run(images),
            "end_to_end": _end_to_end_call(spec, run, model.stride, layout, lowered),
        }
        blocks = {
            scope: timed(calls[scope], protocol, spec.device, spec.device == "cuda" and scope == "model")
            for scope in scopes
        }
    return {**known, "blocks": blocks}


def differences(found: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    """Of mattes from those expected: the largest difference, and the share of what these vary that is unlike (root mean
    square of the difference over the standard deviation; of constant mattes, over 1). Not finite if `found` is not.
    """
    difference = found.double() - expected.double()
    spread = float(expected.double().std(correction=0))
    return float(difference.abs().max()), float(difference.square().mean().sqrt()) / (spread or 1.0)


def _wrong(spec: SpeedSpec, farthest: float, unlike: float) -> str:
    if not math.isfinite(farthest):
        return "its mattes hold values that are no finite numbers"
    return (
        f"its mattes are not PyTorch's: they differ by up to {farthest:.2g}, by {unlike:.1%} of what mattes vary (root mean"
        f" square), where {spec.precision} may differ by {FARTHEST[spec.precision]:.1%}"
    )


def _config(spec: SpeedSpec) -> ModelConfig:
    # A backbone of one square is timed as one that was trained at the pictures' shorter side.
    kwargs = spec.backbone_kwargs
    if spec.folder is None:
        kwargs = families.fitted(spec.backbone, kwargs, _fitting(min(spec.height, spec.width), LARGEST_STRIDE))
    document = {"architecture": spec.architecture, "backbone": spec.backbone, "backbone_kwargs": kwargs}
    return parse({**document, "weights": "none"}, ModelConfig, "the model to be timed")


def _end_to_end_call(
    spec: SpeedSpec,
    run: Callable[[torch.Tensor], torch.Tensor],
    stride: int,
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> Callable[[], object]:
    """8-bit pictures in memory to mattes of their size in memory: pad, copy, scale, model, copy back, crop.

    The same steps as `wsshm.prediction` takes for a picture at its own size.
    """
    height, width = spec.height, spec.width
    below, right = (_fitting(side, stride) - side for side in (height, width))
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (spec.batch, height, width, 3), dtype=np.uint8)

    def call() -> np.ndarray:
        padded = [cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REFLECT_101) for picture in pictures]
        images = torch.from_numpy(np.stack(padded)).to(spec.device).permute(0, 3, 1, 2)
        images = (images.to(dtype) / 255).contiguous(memory_format=layout)
        return run(images)[:, 0, :height, :width].cpu().numpy()

    return call


def _fitting(side: int, stride: int) -> int:
    """The smallest multiple of the model's stride that holds `side`."""
    return -(-side // stride) * stride


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    serve()
