"""How busy a device is while it trains: pictures a second, with loader processes and without having to wait for any.

`python -m tests.gpu.busy --device cuda`: a line for each number of loader processes; with the variable OUT set, the same as
OUT/busy.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch

from bench.micro import photographs
from wsshm.config import RunConfig, parse
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.training import batches, loop
from wsshm.training.distributed import World
from wsshm.training.stages import StageFolder


def configured(data: dict[str, Any], quick: bool, device: str, loader_workers: int) -> RunConfig:
    """A run of one stage on both kinds of labels."""
    train = {
        **{"steps": 6 if quick else 400, "batch": 4 if quick else 32, "workers": 0, "loader_workers": loader_workers},
        **{"precision": "fp32" if device == "cpu" else "bf16", "gpus_per_worker": 0 if device == "cpu" else 1},
    }
    document = {
        "data": {**data, "size": 64 if quick else 512},
        "model": {"backbone": "test_efficientnet" if quick else "tf_efficientnet_lite0", "weights": "none"},
        "method": {"name": "joint"},
        "train": train | {"epoch_steps": train["steps"]},
    }
    config: RunConfig = parse(document)
    return config


def trained(config: RunConfig, device: torch.device, folder: Path) -> tuple[float, list[float]]:
    """Pictures a second of the second half of the steps, and NVML's shares of the time in which the GPU was busy."""
    done: list[float] = []
    stage = stages_of(config)[0]
    with _utilisation(device) as busy:
        loop.train_stage(
            stage,
            config,
            open_sources(config.data),
            StageFolder(folder, "stage"),
            {},
            World(0, 1, device),
            lambda step: done.append(time.perf_counter()),
            lambda row: None,
        )
    half = len(done) // 2
    since = done[half - 1]
    rate = config.train.batch * (len(done) - half) / (done[-1] - since)
    return rate, [share for when, share in busy if since <= when <= done[-1]]


def unhindered(config: RunConfig, device: torch.device, folder: Path) -> float:
    """Pictures a second where the same cut batches are handed over again and again."""
    few = max(2, config.train.steps // 40)

    def again(dataset: Any, config: RunConfig, *arguments: Any) -> Iterator[Any]:
        kept = [step for step, _ in zip(real(dataset, config, *arguments), range(few), strict=False)]
        for number in range(config.train.steps):
            yield kept[number % few]

    real = loop.loader
    with mock.patch.object(loop, "loader", again):
        return trained(config, device, folder)[0]


@contextlib.contextmanager
def _utilisation(device: torch.device) -> Iterator[list[tuple[float, float]]]:
    """NVML's utilisation of the GPU, five times a second; nothing on a CPU, or without NVML."""
    seen: list[tuple[float, float]] = []
    if device.type != "cuda":
        yield seen
        return
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    except Exception as error:
        print(f"NVML does not answer: {error}")
        yield seen
        return
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            with contextlib.suppress(pynvml.NVMLError):
                seen.append((time.perf_counter(), pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="a few steps on small pictures, to try out the script")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = True  # as in training
    rows = []
    # No decoded picture is kept: the few there are would all be found.
    with TemporaryDirectory(prefix="wsshm-") as name, mock.patch.object(batches, "CACHE_BYTES", 0):
        place = Path(name)
        (place / "data").mkdir()
        megapixels = 0.05 if options.quick else 1.5
        data = photographs.write(place / "data", megapixels, photos=4, cutouts=3, backgrounds=4).data
        config = configured(data, options.quick, options.device, 1 if options.quick else 8)
        most = unhindered(config, device, place / "most")
        print(
            f"{config.train.batch} samples of {config.data.size} px a step, of pictures of {megapixels:g} megapixels;"
            f" the same {most:.0f} a second where no step waits for its samples"
        )
        for count in (1, 2) if options.quick else (8, 16):
            config = configured(data, options.quick, options.device, count)
            rate, shares = trained(config, device, place / f"trained-{count}")
            rows.append({"loader_workers": count, "pictures_per_s": rate, "of_most": rate / most})
            said = f"{count:2} loader processes: {rate:.0f} pictures a second, {rate / most:.0%} of that"
            if shares:
                rows[-1]["nvml_busy"] = statistics.fmean(shares)
                said += f"; NVML: the GPU was busy {statistics.fmean(shares):.0%} of the time"
            print(said)
    if out := os.environ.get("OUT"):
        Path(out, "busy.json").write_text(json.dumps({"pictures_per_s_without_waiting": most, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
