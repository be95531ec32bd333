"""What can be timed, and how long: a network, its size, batch, precision, engine, scope, device and layout."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.engines import ENGINES
from wsshm.config import ModelConfig, parse
from wsshm.errors import UserError, nearest
from wsshm.files.location import Location
from wsshm.models import ARCHITECTURES, text_of
from wsshm.models.folder import model_folder

if TYPE_CHECKING:
    from bench.peers.speed import PeerSpec

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
SCOPES = ("model", "end_to_end")
DEVICES = ("cpu", "cuda")
LAYOUTS = ("channels_last", "nchw")
VIDEO_SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "1440p": (1440, 2560), "2160p": (2160, 3840)}


@dataclass(frozen=True)
class SpeedSpec:
    """One setting to be timed. The model sees `height` x `width` padded to multiples of its stride.

    `precision` is that of weights and activations throughout; `fp32` is without TF32, `int8` has quantised convolutions.
    `folder` is that of a trained model, whose weights are taken. An engine of one memory layout has it as `layout`.
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
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.architecture.startswith("{"):  # with options: as a run's row has it
            chosen = parse({"architecture": self.architecture}, ModelConfig, "the model to be timed").architecture
            object.__setattr__(self, "architecture", text_of(chosen))
        engine = ENGINES.get(self.engine)
        if engine.layout:
            object.__setattr__(self, "layout", engine.layout)
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
    def cell(self) -> str:
        """What is timed in one process: all scopes of a setting have the same."""
        return json.dumps(asdict(replace(self, scope=SCOPES[0])))

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of its row that are known before it is timed."""
        columns = asdict(self)
        for name in ("backbone_kwargs", "folder"):
            del columns[name]
        return columns | {"model": self.model, "run_id": Path(self.folder).name if self.folder else None}

    @property
    def model(self) -> str:
        """The name under which reports list what was timed."""
        options = json.dumps(self.backbone_kwargs, sort_keys=True) if self.backbone_kwargs else ""
        return f"{self.architecture}/{self.backbone}{options}"


@dataclass(frozen=True)
class Protocol:
    """In each process warm-up and timing go on until both the calls and the seconds are reached, each for `max_seconds` at
    most.
    """

    warmup_calls: int
    warmup_seconds: float
    calls: int
    seconds: float
    max_seconds: float


CPU_PROTOCOL = Protocol(warmup_calls=3, warmup_seconds=1, calls=10, seconds=2, max_seconds=30)
GPU_PROTOCOL = Protocol(warmup_calls=25, warmup_seconds=3, calls=100, seconds=4, max_seconds=60)
GPU_SINGLE_IMAGE = replace(GPU_PROTOCOL, calls=400)  # so that p99 of three processes has ten calls above it


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


class Network(NamedTuple):
    """What is timed: an architecture with its backbone at random weights, or a trained model's folder."""

    architecture: str
    backbone: str
    backbone_kwargs: dict[str, Any] = {}  # noqa: RUF012
    folder: str | None = None


def named(text: str, architecture: str = "unet") -> Network:
    """What a word of `--models` means: a trained model's folder (or a sweep's: its best), ARCHITECTURE/BACKBONE, or a
    backbone under `architecture`.

    UserError for a folder without a model.
    """
    if "/" in text and Path(text).is_dir():
        from wsshm.models.checkpoint import check_model  # imports torch

        folder = model_folder(Location.of(text)).local or Path(text)
        card = check_model(folder)
        return Network(text_of(card.architecture), card.backbone, card.backbone_kwargs, str(folder.resolve()))
    first, slash, rest = text.partition("/")
    return Network(first, rest) if slash and ARCHITECTURES.knows(first) else Network(architecture, text)


def expand(
    models: Iterable[str | Network],
    sizes: Iterable[str | int] = (512,),
    batches: Iterable[int] = (1,),
    precisions: Iterable[str] = ("fp32",),
    engines: Iterable[str] = ("eager",),
    scopes: Iterable[str] = SCOPES,
    architectures: Iterable[str] = ("unet",),
    **fixed: Any,
) -> list[SpeedSpec]:
    """All combinations, the models innermost; a backbone's name stands for a network of each of `architectures`."""
    networks = [
        network if isinstance(network, Network) else Network(architecture, network)
        for architecture, network in itertools.product(architectures, models)
    ]
    grid = itertools.product(map(parse_size, sizes), batches, precisions, engines, scopes, networks)
    return [
        SpeedSpec(
            **network._asdict(),
            height=height,
            width=width,
            batch=batch,
            precision=precision,
            engine=engine,
            scope=scope,
            **fixed,
        )
        for (height, width), batch, precision, engine, scope, network in grid
    ]
