"""What a sweep whose runs share a teacher reserves without using it: by its own order, and by the plain one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
import yaml

from bench.micro import waiting
from bench.micro.training import draw, own_cluster, table, workspace
from bench.provenance import device_name
from wsshm.config import parse
from wsshm.console import own_process, track
from wsshm.errors import UserError
from wsshm.terminal import print_whole
from wsshm.training.planning import plan_run, resolved
from wsshm.training.run_plan import RunPlan

WORKER = "ray::RayTrainWorker"
LOOK_EVERY_S = 2.0
AT_WORK = 0.03
"""The share of a core from which a worker's process is busy: one that waits takes a hundredth, one that trains all that
a crowded machine leaves it."""
ALONE = 4
PLAIN, OURS = "in the plan's order, waiting inside workers", "wsshm sweep run"


@dataclass
class Use:
    """Slot-seconds: `reserved` in Ray; `busy`, whose worker's process computes; `idle`, whose worker's process waits.

    For the rest there is no such process: it is being started, or has ended.
    """

    reserved: float = 0.0
    busy: float = 0.0
    idle: float = 0.0

    def add(self, seconds: float, reserved: float, before: dict[int, float], after: dict[int, float]) -> None:
        """Count the last `seconds`: the slots reserved, and what each worker had computed `before` and `after` them."""
        busy = sum(computed - before.get(pid, 0.0) >= AT_WORK * seconds for pid, computed in after.items())
        self.reserved += reserved * seconds
        self.busy += min(busy, reserved) * seconds
        self.idle += max(0.0, min(len(after), reserved) - busy) * seconds


class Watch:
    """Measures a cluster's `use` from outside, every `LOOK_EVERY_S`: what Ray has given away, and what its workers compute."""

    def __init__(self, slots: int) -> None:
        self.slots, self.use = slots, Use()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _look(self) -> None:
        before, known = time.monotonic(), dict(_workers())
        while not self.stop.wait(LOOK_EVERY_S):
            now, computed = time.monotonic(), dict(_workers())
            reserved = self.slots - ray.available_resources().get("CPU", 0.0)
            self.use.add(now - before, reserved, known, computed)
            before, known = now, computed


def _workers() -> Iterator[tuple[int, float]]:
    """The cluster's Ray Train workers: process numbers, and the seconds that each has computed so far."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(WORKER):
                times = process.cpu_times()
                yield process.pid, times.user + times.system


def run(base: dict[str, Any], slots: int, teacher_steps: int) -> None:
    """Train two students of one teacher and one run without a teacher at each of `ALONE` budgets, in both ways.

    `base` is a configuration without its pictures, whose steps are a run's; each run takes one of `slots` CPUs. Prints a
    line for each way. Raises UserError if a run fails.
    """
    os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.5"  # as in the cluster that a sweep starts
    with workspace() as folder:
        base = base | {"data": draw(folder / "data", base["data"]["size"])}
        base["train"] |= {"teacher_steps": teacher_steps, "workers": 1}
        document = plan(base)
        uses = {}
        for name, sweep in track({PLAIN: _plain, OURS: _ours}.items(), 2, "scheduling"):
            with own_cluster(folder, slots), Watch(slots) as watch:
                sweep(document, folder, slots)
            uses[name] = watch.use
        _print(base, slots, uses)


def plan(base: dict[str, Any]) -> dict[str, Any]:
    """Eight students of one teacher, and four runs that need none: what they are is the grid's own order."""
    budgets = {"masks": list(range(5, 5 + ALONE))}
    space = {"method.name": ["mlb", "seg_only"], "method.blend.threshold": [0.3, 0.6]}
    return {"name": "scheduling", "base": base, "space": space, "budgets": [budgets]}


def runs_of(document: dict[str, Any]) -> list[RunPlan]:
    """A plan's runs in its order, each identity once."""
    methods, thresholds = document["space"].values()
    found: dict[str, RunPlan] = {}
    for masks in document["budgets"][0]["masks"]:
        for name in methods:
            for threshold in thresholds:
                changed = {"method": {"name": name, "blend": {"threshold": threshold}}, "budget": {"masks": masks}}
                planned = plan_run(resolved(parse(document["base"] | changed)))
                found.setdefault(planned.run_id, planned)
    return list(found.values())


def _plain(document: dict[str, Any], folder: Path, slots: int) -> None:
    start = ray.remote(num_cpus=0)(waiting.drive)
    left, going = runs_of(document), list[Any]()
    while left or going:
        while left and len(going) < slots:
            going.append(start.remote(left.pop(0), str(folder / "plain"), str(folder / "plain-ray")))
        ended, going = ray.wait(going)
        try:
            ray.get(ended)
        except ray.exceptions.RayError as error:
            raise UserError(f"a run of this benchmark failed: {str(error).strip().splitlines()[-1]}") from error


def _ours(document: dict[str, Any], folder: Path, slots: int) -> None:
    file = folder / "scheduling.yaml"
    file.write_text(yaml.safe_dump(document))
    command, environment = own_process("sweeps", "run", file, "--out", folder / "out")
    environment["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise UserError(
            f"the sweep of this benchmark failed: {(done.stdout.strip().splitlines() or ['no reason'])[-1]}"
        )


def _print(base: dict[str, Any], slots: int, uses: dict[str, Use]) -> None:
    options = base["train"]
    print(
        f"{device_name(threads=1)}; {base['model']['backbone']} at {base['data']['size']} px, batch {options['batch']};"
        f" {slots} slots; 8 students of {options['steps'] - options['teacher_steps']} steps over one teacher of"
        f" {options['teacher_steps']}, and 4 runs of {options['steps']} steps without one"
    )
    print(
        "Slot-seconds: reserved in Ray; busy if the worker's process computes, idle if it waits; the rest has no worker"
        " yet, or none any more."
    )
    form = table("the runs begin", "reserved", "busy", "starting, ending", "idle", "of reserved", "idle, by ours")
    for name, use in uses.items():
        rest = use.reserved - use.busy - use.idle
        seconds = [f"{amount:.0f} s" for amount in (use.reserved, use.busy, rest, use.idle)]
        ratio = f"{use.idle / uses[OURS].idle:.1f} x" if uses[OURS].idle else "none in ours"
        form.add_row(name, *seconds, f"{use.idle / use.reserved:.1%}", ratio)
    print_whole(form)
