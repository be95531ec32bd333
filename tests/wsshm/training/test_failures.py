"""How a run failed, in one sentence: lack of memory says what to lower; and when it is tried again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch

from tests.wsshm import tiny
from wsshm.training import ray_metrics, run
from wsshm.training.planning import plan_run
from wsshm.training.ray_metrics import Rates
from wsshm.training.run import TrainingFailed, explained
from wsshm.training.stages import GivenUp, StageFolder


@pytest.mark.parametrize(
    ("error", "sentence", "final"),
    [
        (
            torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            "the GPU has too little memory",
            True,
        ),
        (
            ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory"),
            "the machine had",
            False,
        ),
        (MemoryError(), "the machine had too little memory for the run", False),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
            "the machine had too little memory",
            False,
        ),
        (
            RuntimeError(
                "Worker exit detail: (1) The process is killed by SIGKILL by OOM killer due to high memory usage."
            ),
            "a process of the run was killed, most likely for lack of memory",
            False,
        ),
    ],
)
def test_lack_of_memory_says_what_to_lower(error: Exception, sentence: str, final: bool) -> None:
    failure = explained(error)
    assert (failure.status, failure.final) == ("oom", final)
    assert str(failure).startswith(sentence)
    assert "lower train.batch or data.size (base.train.batch, base.data.size of a plan)" in str(failure)


def test_small_shared_memory_is_no_lack_of_memory_to_lower_the_batch_for() -> None:
    failure = explained(
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. insufficient shared memory")
    )
    assert str(failure).endswith("set train.loader_workers=0, or give the container more (--shm-size)")


def test_another_error_is_told_in_its_own_words() -> None:
    failure = explained(ValueError("first\nthe loss became nan"))
    assert (failure.status, str(failure)) == ("failed", "ValueError: the loss became nan")


def test_rates_go_to_rays_dashboard_and_nowhere_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, float] = {}

    class Gauge:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            self.name = name

        def set(self, value: float, tags: dict[str, str]) -> None:
            assert tags == {"run": "label", "stage": "student"}
            told[self.name] = value

    clock = iter([0.0, 10.0, 11.0, 12.0, 16.0])
    monkeypatch.setattr("ray.util.metrics.Gauge", Gauge)
    monkeypatch.setattr(ray_metrics.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    rates = Rates("label", 16)
    for _ in range(4):  # from the first step's end at 10 s the next three take 6 s
        rates.step("student")
    assert told["wsshm_step_seconds"] == pytest.approx(2.0)
    assert told["wsshm_pictures_per_second"] == pytest.approx(8.0)
    monkeypatch.undo()
    assert Rates("label", 16).gauges == {}


@pytest.mark.parametrize(
    ("checkpoints", "final", "fits"),
    [
        ([0, 10, 20, 20], False, 3),  # the third time it had come no further
        ([0, 0], False, 1),
        ([0, 10], True, 1),  # trying again would come to the same
        ([0, 10, 20, None], False, 3),  # done
    ],
)
def test_a_run_that_comes_further_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, checkpoints: list[int | None], final: bool, fits: int
) -> None:
    """Before and after each fit the run has such a checkpoint; every fit loses its workers until the run is done."""
    entry = SimpleNamespace(stage=SimpleNamespace(name="student"), address="a")
    folder = SimpleNamespace(done=False, state_progress=lambda: {"step": checkpoints[0]})
    calls = []

    def fit(self: Any, until: str) -> None:
        calls.append(until)
        checkpoints.pop(0)
        if checkpoints[0] is not None:
            raise TrainingFailed("a worker died", final=final)

    monkeypatch.setattr(run._Training, "_fit", fit)
    training = run._Training(None, None, {"student": folder}, None, [])  # type: ignore[arg-type, dict-item]
    ends = contextlib.nullcontext() if checkpoints[-1] is None else pytest.raises(TrainingFailed)
    with ends:
        training._fit_while_it_progresses([entry])  # type: ignore[list-item]
    assert calls == ["student"] * fits


def test_a_shared_stage_that_another_run_gave_up_is_not_tried_again(tmp_path: Path) -> None:
    planned = plan_run(tiny.config(tiny.make(tmp_path / "data"), "mlb"))
    teacher = planned.stages[0]
    folder = StageFolder(tmp_path / "stages", teacher.address)
    folder.give_up(GivenUp("now", "the loss became nan", "failed", False))
    with pytest.raises(TrainingFailed) as caught:
        run.train(planned, tmp_path / "stages", invocation="now")
    said = f"another run that shares its stage {teacher.stage.name!r} could not train it: the loss became nan"
    assert (str(caught.value), caught.value.final) == (said, True)
    assert folder.given_up("later") is None  # rerun, the sweep tries again
    folder.failed.write_text("{")  # half written
    assert folder.given_up("now") is None
