"""How fast a model is: each setting timed in a fresh process, as rows of the store's table `speed`.

Two scopes, never mixed: `model` is a tensor on the device in, a matte on the device out; `end_to_end` is 8-bit pictures
in memory in, mattes as numpy arrays at the pictures' size out. Random weights and pictures: speed depends on neither.
This side needs no torch; `bench.timing` is the side that does.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bench import provenance
from bench.engines import ENGINES
from bench.peers.speed import PeerSpec
from bench.store import Store
from wsshm.config import ModelConfig, parse
from wsshm.console import own_process, track
from wsshm.errors import UserError, nearest
from wsshm.models import text_of

log = logging.getLogger(__name__)

PRECISIONS = ("fp32", "bf16", "fp16")
SCOPES = ("model", "end_to_end")
DEVICES = ("cpu", "cuda")
LAYOUTS = ("channels_last", "nchw")
VIDEO_SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "1440p": (1440, 2560), "2160p": (2160, 3840)}


@dataclass(frozen=True)
class SpeedSpec:
    """One setting to be timed. The model sees `height` x `width` padded to multiples of its stride.

    `precision` is that of weights and activations throughout; `fp32` is without TF32.
    """

    backbone: str
    architecture: str = "unet"
    backbone_kwargs: dict[str, Any] = field(default_factory=dict)
    height: int = 512
    width: int = 512
    batch: int = 1
    precision: str = "fp32"
    engine: str = "eager"
    scope: str = "model"
    device: str = "cpu"
    layout: str = "channels_last"

    def __post_init__(self) -> None:
        if self.architecture.startswith("{"):  # with options: as a run's row has it
            chosen = parse({"architecture": self.architecture}, ModelConfig, "the model to be timed").architecture
            object.__setattr__(self, "architecture", text_of(chosen))
        ENGINES.get(self.engine)
        checks = {"precision": PRECISIONS, "scope": SCOPES, "device": DEVICES, "layout": LAYOUTS}
        for name, choices in checks.items():
            value = getattr(self, name)
            if value not in choices:
                raise UserError(f"the {name} {value!r} cannot be timed; {nearest(str(value), choices)}")
        for name in ("height", "width", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"the {name} to be timed is {getattr(self, name)}; give at least 1")

    @property
    def request(self) -> dict[str, Any]:
        """What the process that times is asked."""
        return {"spec": asdict(self)}

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of its row that are known before it is timed."""
        columns = asdict(self)
        del columns["backbone_kwargs"]
        return columns | {"model": self.model, "run_id": None}

    @property
    def model(self) -> str:
        """The name under which reports list what was timed."""
        options = json.dumps(self.backbone_kwargs, sort_keys=True) if self.backbone_kwargs else ""
        return f"{self.architecture}/{self.backbone}{options}"


@dataclass(frozen=True)
class Protocol:
    """Warm-up and timing go on until both the calls and the seconds are reached, each for `max_seconds` at most."""

    warmup_calls: int
    warmup_seconds: float
    calls: int
    seconds: float
    max_seconds: float


CPU_PROTOCOL = Protocol(warmup_calls=3, warmup_seconds=1, calls=20, seconds=5, max_seconds=30)
GPU_PROTOCOL = Protocol(warmup_calls=25, warmup_seconds=3, calls=200, seconds=10, max_seconds=120)
GPU_SINGLE_IMAGE = replace(GPU_PROTOCOL, calls=1000)  # so that p99 has ten calls above it


def protocol_for(spec: SpeedSpec | PeerSpec) -> Protocol:
    """The protocol a setting is timed by unless another is given."""
    if spec.device == "cpu":
        return CPU_PROTOCOL
    return GPU_SINGLE_IMAGE if spec.batch == 1 else GPU_PROTOCOL


def parse_size(text: str | int) -> tuple[int, int]:
    """(height, width) from `512` (square), `1080p` (a video size) or `1920x1080` (width x height).

    >>> parse_size("1080p"), parse_size("640x480"), parse_size(512)
    ((1080, 1920), (480, 640), (512, 512))
    """
    text = str(text).strip().lower()
    if text in VIDEO_SIZES:
        return VIDEO_SIZES[text]
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if found is None or 0 in (int(side) for side in found.groups() if side):
        raise UserError(
            f"{text!r} is not a size; give 512, 1920x1080 (width x height) or one of {', '.join(VIDEO_SIZES)}"
        )
    width, height = int(found[1]), int(found[2] or found[1])
    return height, width


def expand(
    backbones: Iterable[str],
    sizes: Iterable[str | int] = (512,),
    batches: Iterable[int] = (1,),
    precisions: Iterable[str] = ("fp32",),
    engines: Iterable[str] = ("eager",),
    scopes: Iterable[str] = SCOPES,
    architectures: Iterable[str] = ("unet",),
    **fixed: Any,
) -> list[SpeedSpec]:
    """All combinations, the models innermost: what is compared is timed side by side, so that drift favours none."""
    grid = itertools.product(map(parse_size, sizes), batches, precisions, engines, scopes, architectures, backbones)
    return [
        SpeedSpec(
            backbone,
            architecture=architecture,
            height=height,
            width=width,
            batch=batch,
            precision=precision,
            engine=engine,
            scope=scope,
            **fixed,
        )
        for (height, width), batch, precision, engine, scope, architecture, backbone in grid
    ]


def speed_table(
    specs: Sequence[SpeedSpec | PeerSpec],
    threads: int | None = None,
    protocol: Protocol | None = None,
    store: Store | None = None,
) -> list[dict[str, Any]]:
    """Time all settings one after another; each row, see `measure`, is written to `store` as soon as it is known.

    All models are built once before anything is timed, so that a wrong name is told at once.
    """
    rows = []
    with _Timer(threads) as timer:
        timer.check(specs)
        for spec in track(specs, len(specs), "timing models"):
            row = timer.row(spec, protocol or protocol_for(spec))
            if row["status"] != "ok":
                log.warning("%s at %d x %d: %s (%s)", spec.model, spec.width, spec.height, row["status"], row["reason"])
            if store is not None:
                store.write("speed", [row])
            rows.append(row)
    return rows


def measure(spec: SpeedSpec | PeerSpec, threads: int | None = None, protocol: Protocol | None = None) -> dict[str, Any]:
    """Time one setting in a fresh process; a row of the table `speed`.

    Lack of memory gives the status `oom`, a precision the device cannot run `unavailable`, too few calls for an
    interval of the median, or a busy machine (see `bench.busy`), `unstable`, each with its reason. Raises UserError for
    what the user gave wrong, such as an unknown backbone or an absent GPU. `threads` is the number of CPU threads, by
    default torch's own choice.
    """
    with _Timer(threads) as timer:
        return timer.row(spec, protocol or protocol_for(spec))


class _Timer:
    """The process `python -m bench.timing`, which has only imported torch and forks a fresh one for each setting."""

    def __init__(self, threads: int | None) -> None:
        if threads is not None and threads < 1:
            raise UserError(f"--threads is {threads}; give at least 1")
        self.threads = threads
        command, environment = own_process("bench.timing")
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # so that an interrupt reaches this process alone, which then ends the group
        )

    def __enter__(self) -> _Timer:
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def check(self, specs: Sequence[SpeedSpec | PeerSpec]) -> None:
        """Raise UserError for the first model that cannot be built, file that cannot be run, or device that is not there."""
        self._ask({"check": [asdict(spec) for spec in specs if isinstance(spec, SpeedSpec)]})
        for spec in {spec.model: spec for spec in specs if isinstance(spec, PeerSpec)}.values():
            self._ask(spec.request)

    def row(self, spec: SpeedSpec | PeerSpec, protocol: Protocol) -> dict[str, Any]:
        """Time one setting in a fresh process; its row of the table `speed`."""
        started = provenance.now()
        answer = self._ask({**spec.request, "protocol": asdict(protocol), "threads": self.threads})
        settings = answer.pop("settings", {})
        commit, dirty = provenance.git_state()
        return {
            **spec.columns,
            "device": settings.get("device") or provenance.device_name(threads=self.threads),
            "reason": None,
            "versions": json.dumps({**provenance.versions(), **settings, "git_commit": commit, "git_dirty": dirty}),
            "started": started,
            **answer,
        }

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        answer: dict[str, Any] = (
            json.loads(line) if line else {"failure": f"its process ended with status {self.process.wait()}"}
        )
        if "user_error" in answer:
            raise UserError(answer["user_error"])
        if "failure" in answer:
            raise RuntimeError(f"timing a model failed: {answer['failure']}")
        return answer
