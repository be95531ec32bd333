"""Where a training step's time goes, part by part, in every way to execute it: engine, memory layout, precision.

The steps are the suite's own (`wsshm.training.steps`), of one stage on both kinds of labels. Its trainings use channels
last always; NCHW stands beside it to show what that is worth.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import torch

from bench.micro.training import draw, median_and_spread, table, workspace
from bench.provenance import device_name
from wsshm.config import RunConfig, override, parse
from wsshm.console import track
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.models.network import MattingOutput, build_model
from wsshm.terminal import print_whole
from wsshm.training import compiling
from wsshm.training.batches import Batch, CutBatch, StepDataset, loader
from wsshm.training.clock import Clock
from wsshm.training.distributed import World
from wsshm.training.planning import resolved
from wsshm.training.steps import Steps, optimiser_of, placed
from wsshm.training.worker import set_up_torch

ENGINES, LAYOUTS, PRECISIONS = ("eager", "compiled"), ("nchw", "channels_last"), ("fp32", "bf16", "fp16")
PARTS = ("data", "render", "forward", "loss", "backward", "optimiser")
WARM_UP = 2  # steps after the first
T = TypeVar("T")


@dataclass(frozen=True)
class Way:
    """How a step is executed."""

    engine: str
    layout: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.layout} {self.precision}"


@dataclass
class Measured:
    """Seconds of a way's first step, and of every timed step: in all and by part. `lacks` says why there are none."""

    first_s: float = 0.0
    whole: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})
    lacks: str = ""

    @property
    def rest(self) -> list[float]:
        """What each step took beside its parts: learning rate, gradients set to none, the loss before asked for."""
        return [whole - sum(parts) for whole, *parts in zip(self.whole, *self.parts.values(), strict=True)]


class TimedSteps(Steps):
    """The suite's steps with a clock on each part."""

    def __init__(self, layout: str, *given: Any) -> None:
        super().__init__(*given)
        self.layout = layout
        self.clocks = {part: Clock(self.world.device) for part in PARTS}

    def _timed(self, part: str, call: Callable[..., T], *given: Any) -> T:
        with self.clocks[part]:
            return call(*given)

    def render(self, cut: CutBatch) -> Batch:
        batch = self._timed("render", super().render, cut)
        return batch._replace(images=batch.images.contiguous()) if self.layout == "nchw" else batch

    def predict(self, batch: Batch) -> tuple[MattingOutput, MattingOutput | None]:
        return self._timed("forward", super().predict, batch)

    def losses(self, batch: Batch, output: MattingOutput, taught: MattingOutput | None, step: int) -> torch.Tensor:
        return self._timed("loss", super().losses, batch, output, taught, step)

    def backward(self, loss: torch.Tensor) -> None:
        self._timed("backward", super().backward, loss)

    def update(self) -> None:
        self._timed("optimiser", super().update)


class Training:
    """A training in one way, which goes on for so many steps whenever it is asked to."""

    def __init__(self, config: RunConfig, way: Way, device: torch.device) -> None:
        world, stage = World(0, 1, device), stages_of(config)[0]
        torch.manual_seed(config.train.seed)
        model = placed(build_model(config.model), config, world)
        if way.layout == "nchw":
            model = model.to(memory_format=torch.contiguous_format)
        optimiser = optimiser_of(model, config.train)
        self.steps = TimedSteps(way.layout, model, None, optimiser, stage, config, world)
        self.batches = loader(StepDataset(open_sources(config.data), stage, config), config, 0, 1, 0)
        self.whole = Clock(device)
        self.done = 0

    def go(self, number: int) -> tuple[list[float], dict[str, list[float]]]:
        """Do `number` steps: the seconds of each, in all and by part."""
        for _ in range(number):
            with self.whole:
                with self.steps.clocks["data"]:
                    batches = next(self.batches)
                self.steps(batches, self.done)
            self.done += 1
        whole = self.whole.each()
        return whole, {part: _by_step(clock.each(), number) for part, clock in self.steps.clocks.items()}


def _by_step(seconds: list[float], steps: int) -> list[float]:
    """The sums over the micro-batches of each step."""
    micro = len(seconds) // steps
    return [sum(seconds[step * micro : (step + 1) * micro]) for step in range(steps)]


def run(base: dict[str, Any], ways: Sequence[Way], device: str, rounds: int, steps: int) -> dict[Way, Measured]:
    """Train `steps` steps in each way, in turns, `rounds` times, and print a line for each way.

    `base` is a configuration without its pictures and without its number of steps.
    """
    measured = {way: Measured() for way in ways}
    place = torch.device(device)
    compiling.forget()
    with workspace() as folder:
        for _ in track(_work(base, folder, measured, place, rounds, steps), len(ways) * (rounds + 1), "training"):
            pass
    _print(base, measured, place, rounds, steps)
    return measured


def _work(
    base: dict[str, Any], folder: Path, measured: dict[Way, Measured], device: torch.device, rounds: int, steps: int
) -> Iterator[None]:
    in_all = 1 + WARM_UP + rounds * (1 + steps)
    whole_run = {"data": draw(folder / "data", base["data"]["size"])}
    trainings: dict[Way, Training] = {}
    for way, result in measured.items():
        asked = [f"train.compile={str(way.engine == 'compiled').lower()}", f"train.precision={way.precision}"]
        config = resolved(parse(override(base | whole_run, [*asked, f"train.steps={in_all}"])))
        set_up_torch(config, device)
        result.lacks = compiling.obstacle(device) if config.train.compile else ""
        if not result.lacks:
            try:
                training = Training(config, way, device)
                result.first_s = sum(training.go(1)[0])
                training.go(WARM_UP)
                trainings[way] = training
            except torch.OutOfMemoryError:
                result.lacks = "the GPU has too little memory; lower --batch or --size"
        yield
    for _ in range(rounds):
        for way, result in measured.items():
            if way in trainings:
                whole, parts = trainings[way].go(1 + steps)
                result.whole += whole[1:]  # the first finds the caches full of another way's
                for part, seconds in parts.items():
                    result.parts[part] += seconds[1:]
            yield


def _print(base: dict[str, Any], measured: dict[Way, Measured], device: torch.device, rounds: int, steps: int) -> None:
    train, model = base["train"], base["model"]
    where = device_name("cuda") if device.type == "cuda" else device_name(threads=train["cpus_per_worker"])
    print(
        f"{where}; {model['architecture']} over {model['backbone']} at {base['data']['size']} px, batch {train['batch']};"
        f" {rounds} rounds of {steps} steps in every way, in turns; medians of a step's ms by part (they need not add up)"
    )
    print(
        "data: waiting for samples; render: their arithmetic on the device; optimiser: clipping included; rest: between"
        " the parts; first: a step with whatever is compiled, in s, less where torch's cache has it"
    )
    if any(way.precision == "bf16" for way in measured) and (said := _without_bf16(device)):
        print(said)
    there = [way for way, result in measured.items() if result.whole]
    form = table("way", *PARTS, "rest", "step", "middle half", "first", "times")
    if there:
        slowest = statistics.median(measured[there[0]].whole)
        print(f"times: how much faster than {there[0]}")
    for way, result in measured.items():
        if result.lacks:
            form.add_row(f"{way}: unavailable", *[""] * 11)
            continue
        parts = [f"{1000 * statistics.median(seconds):.1f}" for seconds in (*result.parts.values(), result.rest)]
        ratio = f"{slowest / statistics.median(result.whole):.1f} x"
        form.add_row(str(way), *parts, *median_and_spread(result.whole, 1000), f"{result.first_s:.1f}", ratio)
    print_whole(form)
    for lacks in dict.fromkeys(result.lacks for result in measured.values() if result.lacks):
        print(f"unavailable: {lacks}")


def _without_bf16(device: torch.device) -> str:
    """That bf16 is emulated here, if it is; empty where the processor has it or nothing is known."""
    if device.type == "cuda":
        return (
            "" if torch.cuda.is_bf16_supported(including_emulation=False) else "This GPU has no bf16; it is emulated."
        )
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return ""
    has = {"avx512_bf16", "amx_bf16", "bf16"} & set(flags)
    return "" if has else f"This processor ({platform.machine()}) has no bf16 instructions: bf16 is emulated."


def ways_of(engines: Sequence[str], layouts: Sequence[str], precisions: Sequence[str]) -> list[Way]:
    """All combinations; the plainest is first."""
    return [Way(*each) for each in product(engines, layouts, precisions)]
