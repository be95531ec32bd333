"""The other side of bench.speed: forks a process for each setting, which builds the model and times it.

`python -m bench.timing` reads requests from stdin and answers each on stdout, JSON line by line. Forking spares every
setting the seconds that importing torch takes; nothing is computed before the fork, so no thread pool, memory pool or
CUDA context is inherited.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np
import torch
from scipy import special
from timm.utils import reparameterize_model
from torch.utils.flop_counter import FlopCounterMode

from bench import energy, provenance
from bench.busy import Moment, disturbance
from bench.engines import ENGINES
from bench.peers.speed import PeerSpec
from bench.speed import Protocol, SpeedSpec
from wsshm.config import ModelConfig, parse
from wsshm.errors import UserError
from wsshm.models import families
from wsshm.models.network import MattingModel, build_model
from wsshm.models.trial import failure, stride_of

LARGEST_STRIDE = 64  # of an encoder: training sizes are multiples of it
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")
CONFIDENCE = 0.95
TRIES = 2  # of a block during which the machine was busy


def serve() -> None:
    """Answer requests until stdin ends; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.write(json.dumps(_answer(json.loads(line))) + "\n")
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == -signal.SIGKILL:
            killed = {"status": "oom", "reason": "the process was killed, most likely for lack of memory"}
            answers.write(json.dumps(killed) + "\n")
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
        return time_model(SpeedSpec(**request["spec"]), Protocol(**request["protocol"]), request["threads"])
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
        for spec in {spec.model: spec for spec in specs}.values():
            build_model(_config(spec))
    return {}


def time_model(spec: SpeedSpec, protocol: Protocol, threads: int | None) -> dict[str, Any]:
    """The measured columns of a row of `speed`, with `settings` that belong into its `versions`."""
    check([spec])
    if threads is not None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    # cuDNN may choose its fastest kernels, but fp32 must mean fp32
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    settings = {
        "device": provenance.device_name(spec.device, torch.get_num_threads()),
        "threads": torch.get_num_threads(),
        "tf32": False,
    }
    try:
        return {**_time(spec, protocol), "settings": settings}
    except Exception as error:  # torch.OutOfMemoryError is a RuntimeError, and families refuse sizes in many ways
        reason = _first_line(error)
        if isinstance(error, MemoryError) or any(text in str(error).lower() for text in OUT_OF_MEMORY):
            return {"status": "oom", "reason": reason, "settings": settings}
        if isinstance(error, NotImplementedError) or "not implemented for" in reason:
            return {"status": "unavailable", "reason": reason, "settings": settings}
        kwargs = _config(spec).backbone_kwargs
        stride = stride_of(spec.backbone, kwargs, spec.architecture)
        size = _fitting(spec.height, stride), _fitting(spec.width, stride)
        if refused := failure(spec.backbone, kwargs, [size], spec.architecture):
            return {"status": "unavailable", "reason": refused, "settings": settings}
        raise


@torch.inference_mode()
def _time(spec: SpeedSpec, protocol: Protocol) -> dict[str, Any]:
    model = cast(MattingModel, reparameterize_model(build_model(_config(spec)).eval()))
    layout = torch.channels_last if spec.layout == "channels_last" else torch.contiguous_format
    model = model.to(spec.device, DTYPES[spec.precision]).to(memory_format=layout)
    engine = ENGINES.get(spec.engine)
    if reason := engine.unavailable(spec.device, spec.precision):
        return {"status": "unavailable", "reason": reason}
    images = _images(spec, model.stride, layout)
    with FlopCounterMode(display=False) as counter:
        model(images)
    begin = time.perf_counter()
    network = engine.prepare(_Mattes(model).eval(), images)
    network(images)
    compile_s = time.perf_counter() - begin if engine.compiles else None
    call = (lambda: network(images)) if spec.scope == "model" else _end_to_end_call(spec, network, model.stride, layout)
    events = spec.device == "cuda" and spec.scope == "model"
    return {
        **timed(call, protocol, spec.device, spec.batch, events),
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "gmacs": counter.get_total_flops() / 2 / spec.batch / 1e9,
        "compile_s": compile_s,
    }


def timed(
    call: Callable[[], object], protocol: Protocol, device: str, batch: int, events: bool = False
) -> dict[str, Any]:
    """Warm up, then time a call as `protocol` says: the columns of times, peak memory and energy.

    With `events` on the GPU's own clock. A block during which the machine was busy is timed again, up to `TRIES` times.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    _repeat(call, protocol.warmup_calls, protocol.warmup_seconds, protocol.max_seconds)
    joules = energy.meter(device)
    for _ in range(TRIES):
        before, used_before = Moment.now(), joules() if joules else None
        if events:
            samples, block_s = _time_with_events(call, protocol)
        else:
            samples, block_s = _repeat(call, protocol.calls, protocol.seconds, protocol.max_seconds)
        used = joules() - used_before if joules and used_before is not None else None
        busy = disturbance(before, Moment.now(), on_cpu=device == "cpu")
        if not busy:
            break
    return {
        **summary(samples, batch, block_s, busy),
        "peak_mb": _peak_bytes(device) / 1e6,
        "energy_j": None if used is None else used / (len(samples) * batch),
    }


class _Mattes(torch.nn.Module):
    """A model's mattes alone, tensor in and tensor out, as engines take it."""

    def __init__(self, model: MattingModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images).matte


def _config(spec: SpeedSpec) -> ModelConfig:
    # A backbone of one square is timed as one that was trained at the pictures' shorter side.
    kwargs = families.fitted(
        spec.backbone, spec.backbone_kwargs, _fitting(min(spec.height, spec.width), LARGEST_STRIDE)
    )
    document = {"architecture": spec.architecture, "backbone": spec.backbone, "backbone_kwargs": kwargs}
    return parse({**document, "weights": "none"}, ModelConfig, "the model to be timed")


def _images(spec: SpeedSpec, stride: int, layout: torch.memory_format) -> torch.Tensor:
    """Images on the device already, padded to the model's stride."""
    size = (spec.batch, 3, _fitting(spec.height, stride), _fitting(spec.width, stride))
    return torch.rand(size).to(spec.device, DTYPES[spec.precision]).contiguous(memory_format=layout)


def _end_to_end_call(
    spec: SpeedSpec, network: Callable[[torch.Tensor], torch.Tensor], stride: int, layout: torch.memory_format
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
        images = (images.to(DTYPES[spec.precision]) / 255).contiguous(memory_format=layout)
        return network(images)[:, 0, :height, :width].cpu().numpy()

    return call


def _fitting(side: int, stride: int) -> int:
    """The smallest multiple of the model's stride that holds `side`."""
    return -(-side // stride) * stride


def _repeat(call: Callable[[], object], calls: int, seconds: float, max_seconds: float) -> tuple[list[float], float]:
    """Call until both limits are reached, or `max_seconds`: (ms of each call, seconds of the whole block)."""
    samples: list[float] = []
    begin = now = time.perf_counter()
    while now - begin < max_seconds and (len(samples) < calls or now - begin < seconds):
        before = now
        call()
        now = time.perf_counter()
        samples.append((now - before) * 1e3)
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return samples, time.perf_counter() - begin


def _time_with_events(call: Callable[[], object], protocol: Protocol) -> tuple[list[float], float]:
    """As `_repeat`, with each call timed on the GPU's own clock and one synchronisation at the end of the block."""
    marks: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def marked() -> None:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        marks.append((start, end))

    _, block_s = _repeat(marked, protocol.calls, protocol.seconds, protocol.max_seconds)
    return [start.elapsed_time(end) for start, end in marks], block_s


def summary(samples_ms: list[float], batch: int, block_s: float, busy: str | None = None) -> dict[str, Any]:
    """The columns that follow from the times of the calls; `fps` is 1000 / p50 of single images only.

    Unstable where they are too few, or where the machine was `busy`, which says how.
    """
    p50, p90, p95, p99 = (float(value) for value in np.percentile(samples_ms, (50, 90, 95, 99)))
    interval = median_interval(samples_ms)
    low, high = interval or (None, None)
    few = f"{len(samples_ms)} timed calls are too few for an interval of the median; use a smaller size or batch"
    unstable = busy or (None if interval else few)
    return {
        "status": "unstable" if unstable else "ok",
        "reason": unstable,
        "n": len(samples_ms),
        **{"p50_ms": p50, "p90_ms": p90, "p95_ms": p95, "p99_ms": p99, "median_low_ms": low, "median_high_ms": high},
        "fps": 1000 / p50 if batch == 1 else None,
        "images_per_s": batch * len(samples_ms) / block_s,
        "samples_ms": samples_ms,
    }


def median_interval(samples: list[float]) -> tuple[float, float] | None:
    """The narrowest symmetric pair of order statistics that holds the median in at least 95 % of cases.

    The number of samples below the median is Binomial(n, 1/2), whatever their distribution. None for fewer than six.
    """
    below = special.bdtr(np.arange(len(samples)), len(samples), 0.5)
    rank = int(np.searchsorted(below, (1 - CONFIDENCE) / 2))
    if rank == 0:
        return None
    ordered = sorted(samples)
    return ordered[rank - 1], ordered[-rank]


def _peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    serve()
