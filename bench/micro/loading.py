"""What a training sample costs before a device has it: by step, by loader processes, and how many cores feed a device."""

from __future__ import annotations

import contextlib
import functools
import math
import pickle
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from PIL import ImageFile

from bench.micro import float_loading, photographs
from bench.micro.training import table
from bench.provenance import device_name
from wsshm.config import RunConfig, parse
from wsshm.console import track
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.terminal import print_whole
from wsshm.training import batches
from wsshm.training.batches import StepDataset, loader

METHODS = {"photo": "seg_only", "composite": "matte_only"}
PROCESSES = (1, 2, 4)
BATCH = 8
TIMED_S = 3.0
FED = (500, 1000, 2000)
"""Pictures a second that a device trains, whose cores are computed."""
GOAL_SIZE, GOAL_MS, GOAL_SHARE = 512, 8.0, 0.7


@dataclass(frozen=True)
class Cost:
    """Milliseconds a sample: CPU time of a loader process by step, and the device's arithmetic."""

    decode: float
    read: float
    cut: float
    hand_over: float
    device: float

    @property
    def beside_decoding(self) -> float:
        """What a loader process spends beside decoding."""
        return self.read + self.cut + self.hand_over

    @property
    def loader(self) -> float:
        """What a loader process spends."""
        return self.decode + self.beside_decoding


def run(sizes: list[int], megapixels: list[float], samples: int, device: str) -> None:
    """Print the tables and whether the goal is met."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    left = ("decode", "read", "cut", "hand over", device)
    steps = table("px", "megapixels", "sample", *left, "float order", "times", left=0)
    heads = [f"{count} proc." for count in PROCESSES], [f"cores for {rate:,}/s" for rate in FED]
    speed = table("px", "megapixels", *heads[0], "CPU ms", *heads[1], "float order", "times", left=0)
    costs: dict[tuple[int, float], list[Cost]] = {}
    bits = []
    with TemporaryDirectory(prefix="wsshm-") as name:
        cases = [(size, each) for each in megapixels for size in sizes]
        for size, each in track(cases, len(cases), "timing"):
            folder = Path(name) / f"{each:g}"
            if not folder.is_dir():
                folder.mkdir()
                pictures = photographs.write(folder, each)
                bits.append(pictures.bits)
            plain = []
            for kind, method in METHODS.items():
                cost = _cost(_config(pictures.data, method, size), samples, torch.device(device))
                baseline = _float_ms(folder, kind, size, samples)
                costs.setdefault((size, each), []).append(cost)
                plain.append(baseline)
                parts = (cost.decode, cost.read, cost.cut, cost.hand_over, cost.device, baseline)
                cells = [f"{value:.1f}" for value in parts]
                steps.add_row(str(size), f"{each:g}", kind, *cells, f"{baseline / cost.loader:.1f} x")
            ours, theirs = statistics.fmean(cost.loader for cost in costs[size, each]), statistics.fmean(plain)
            rates = [_pictures_a_second(_config(pictures.data, "joint", size, count)) for count in PROCESSES]
            cells = [f"{rate:.0f}" for rate in rates] + [f"{ours:.1f}"]
            cells += [str(math.ceil(rate * ours / 1000)) for rate in FED] + [str(math.ceil(FED[1] * theirs / 1000))]
            speed.add_row(str(size), f"{each:g}", *cells, f"{theirs / ours:.1f} x")
    print(
        f"{device_name(threads=1)}; made-up JPEGs of {min(bits):.1f} to {max(bits):.1f} bits a pixel, each decoded anew"
    )
    print(
        "CPU ms a sample of a loader process: decoding, by the libraries; reading the files, checking, turning and shrinking;"
        f" cutting; handing over. {device}: the arithmetic, there. Float order: whole pictures to float, then crop, resize,"
        " recolour, all by the loader; the last column is it / a loader process of ours."
    )
    print_whole(steps)
    print(
        f"Pictures a second that arrive from 1, 2 and 4 loader processes, half photos, half composites, {BATCH} a step, on"
        f" this machine of {device_name().rpartition(', ')[2]}; and, computed from the CPU time, how many cores feed a device"
        f" that trains so many a second (float order: cores for {FED[1]:,}/s)."
    )
    print_whole(speed)
    for line in goal(costs):
        print(line)


def goal(costs: dict[tuple[int, float], list[Cost]]) -> Iterator[str]:
    """A sentence for each number of megapixels at the goal's size; none where that size was not timed."""
    for (size, megapixels), kinds in costs.items():
        if size == GOAL_SIZE:
            beside = statistics.fmean(cost.beside_decoding for cost in kinds)
            share = statistics.fmean(cost.decode for cost in kinds) / statistics.fmean(cost.loader for cost in kinds)
            yield (
                f"{size} px, {megapixels:g} megapixels: {beside:.1f} ms beside decoding (goal: at most {GOAL_MS:g}:"
                f" {_met(beside <= GOAL_MS)}), decoding is {share:.0%} (goal: at least {GOAL_SHARE:.0%}:"
                f" {_met(share >= GOAL_SHARE)})"
            )


def _met(is_met: bool) -> str:
    return "met" if is_met else "not met"


def _config(data: dict[str, Any], method: str, size: int, loader_workers: int = 0) -> RunConfig:
    train = {"steps": 100_000, "batch": BATCH, "workers": 0, "loader_workers": loader_workers}
    config: RunConfig = parse({"data": {**data, "size": size}, "method": {"name": method}, "train": train})
    return config


def _dataset(config: RunConfig) -> StepDataset:
    """The run's samples; no decoded picture is kept, as none is met twice where a set is larger than the memory."""
    with mock.patch.object(batches, "CACHE_BYTES", 0):
        return StepDataset(open_sources(config.data), stages_of(config)[0], config)


def _cost(config: RunConfig, samples: int, device: torch.device) -> Cost:
    dataset = _dataset(config)
    dataset.collate([dataset[0]]).render(device)  # what is imported or compiled at the first
    reading, cutting, handing, rendering, rounds = 0.0, 0.0, 0.0, 0.0, math.ceil(samples / BATCH)
    with _decoding() as decoded:
        for step in range(1, rounds + 1):
            cuts = []
            for index in range(step * BATCH, (step + 1) * BATCH):
                start = time.process_time()
                drawn = dataset.drawn(index)
                before = time.process_time()
                pixels = dataset.decoded(drawn)
                after = time.process_time()
                cuts.append(dataset.cut(drawn, pixels))
                reading += after - before
                cutting += time.process_time() - after + before - start
            start = time.process_time()
            batch = _handed_over(dataset.collate(cuts, shared=True))
            handing += time.process_time() - start
            rendering += _device_s(lambda batch=batch: batch.render(device), device)  # type: ignore[misc]
    count = rounds * BATCH / 1000
    spent = (decoded[0], reading - decoded[0], cutting, handing, rendering)
    return Cost(*(seconds / count for seconds in spent))


def _handed_over(batch: Any) -> Any:
    """A batch as it leaves a loader process, its tensors through shared memory, and arrives."""
    return pickle.loads(bytes(ForkingPickler.dumps(batch)))


def _device_s(call: Callable[[], Any], device: torch.device) -> float:
    """CPU seconds of a call, or seconds until a GPU has done it."""
    if device.type == "cpu":
        return _cpu_s(call)
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _float_ms(folder: Path, kind: str, size: int, samples: int) -> float:
    """CPU milliseconds a sample in the float order, handed over likewise."""
    rng = np.random.default_rng(0)

    def sample(number: int) -> Any:
        if kind == "photo":
            return float_loading.photo(folder / f"photo{number % 3}.jpg", folder / f"mask{number % 3}.png", size)
        cutout, background = folder / f"cutout{number % 2}.png", folder / f"background{number % 3}.jpg"
        return float_loading.composite(cutout, background, size, rng)

    def batch() -> None:
        images, labels = zip(*(sample(number) for number in range(BATCH)), strict=True)
        _handed_over((torch.stack(images), torch.stack(labels)))

    sample(0)
    rounds = math.ceil(samples / BATCH)
    return 1000 * sum(_cpu_s(batch) for _ in range(rounds)) / (rounds * BATCH)


def _cpu_s(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


@contextlib.contextmanager
def _decoding() -> Iterator[list[float]]:
    """The CPU seconds spent in the libraries' decoders, in a list of one."""
    spent = [0.0]

    def timed(decode: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(decode)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return decode(*arguments, **options)
            finally:
                spent[0] += time.process_time() - start

        return wrapper

    with contextlib.ExitStack() as patches:
        for owner, name in ((cv2, "imdecode"), (cv2, "imread"), (ImageFile.ImageFile, "load")):
            patches.enter_context(mock.patch.object(owner, name, timed(getattr(owner, name))))
        yield spent


def _pictures_a_second(config: RunConfig) -> float:
    """How many arrive, once each loader process has made its first batch."""
    arriving: Any = loader(_dataset(config), config, 0, 1, 0)
    processes = config.train.loader_workers
    with warnings.catch_warnings(), contextlib.closing(arriving):
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more processes than the machine has cores
        for _ in range(processes):
            next(arriving)
        began, count = time.perf_counter(), 0
        while count < processes or time.perf_counter() - began < TIMED_S:
            next(arriving)
            count += 1
        return count * BATCH / (time.perf_counter() - began)
