"""What times a training: the plain loop does what the suite does, and the rate is read right from a progress file."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bench.micro import training as benchmark
from bench.micro.training import draw, median_and_spread, timed
from tests.wsshm import tiny
from wsshm.config import RunConfig, parse
from wsshm.errors import UserError
from wsshm.training.planning import plan_run, resolved
from wsshm.training.run import train


def joint(root: Path, **train: object) -> RunConfig:
    return resolved(tiny.config(root, method="joint", **train))


@pytest.mark.parametrize("options", [{}, {"precision": "bf16", "batchnorm": "frozen"}])
def test_the_plain_loop_trains_as_the_suite_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    """Step by step the same losses: what is compared with Ray differs in nothing but Ray."""
    config = joint(tiny.make(tmp_path), epoch_steps=1, **options)
    monkeypatch.setattr(benchmark, "SEGMENT_S", 0.0)
    timing, losses = benchmark.bare(config)
    assert len(timing.step_s) == 2, "of four steps the first is the start, the second warms up"
    history = train(plan_run(config), tmp_path / "stages").stages[-1]["history"]
    assert losses == pytest.approx([row["value"] for row in history if row["key"] == "train_loss"], rel=1e-5)


def test_a_training_too_short_to_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="raise --steps"):
        benchmark.bare(joint(tiny.make(tmp_path)))


def test_the_rate_comes_from_the_progress_file_without_its_first_second(tmp_path: Path) -> None:
    """A training that is slow at first and does two steps each 0.3 s then."""
    config = joint(tiny.make(tmp_path / "data"))

    def fake(config: RunConfig, stages: Path, progress: Path) -> None:
        time.sleep(0.5)
        for done in (1, 2, 4, 6, 8):
            temporary = progress.with_name("new")
            temporary.write_text(json.dumps({"stage": "student", "done": done, "total": 8, "over": False}))
            temporary.replace(progress)
            time.sleep(0.3 if done > 1 else 0.6)
        (stages / "0" / "final").mkdir(parents=True)
        (stages / "0" / "final" / "stage.json").write_text('{"seconds": 1.5}')

    timing = timed(config, tmp_path / "run", fake)
    assert timing.start_s == pytest.approx(0.5, abs=0.1)
    assert timing.step_s == pytest.approx([0.15] * 3, rel=0.2)
    assert timing.seconds == 1.5


def test_cpu_time_is_of_the_steps_after_the_second_state(tmp_path: Path) -> None:
    """Process 7 trains and takes 3 s for 10 steps; beside it 1 takes 0.4 s, and 9, which began later, 0.1 s."""
    watch = benchmark._Watch(tmp_path / "progress.json")
    watch.points = [(0.0, 1), (1.0, 10), (2.0, 15), (3.0, 20)]
    states = ((5.0, 1.0), (8.0, 2.0), (9.0, 2.2), (11.0, 2.4))
    watch.cpu = [{(7, True): worker, (1, False): driver} for worker, driver in states]
    watch.cpu[-1][9, False] = 0.1
    assert watch.cpu_of_a_step() == pytest.approx((0.3, 0.05))


def test_without_a_worker_this_process_is_the_one_that_trains() -> None:
    before = sum(seconds for (_, trains), seconds in benchmark._cpu_by_process().items() if trains)
    began = time.process_time()
    while time.process_time() - began < 0.3:
        pass
    after = sum(seconds for (_, trains), seconds in benchmark._cpu_by_process().items() if trains)
    assert 0.2 < after - before < 0.6


def test_the_drawn_pictures_make_a_run(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", 64)
    config = resolved(
        parse(
            {
                "data": data,
                "model": {"backbone": "test_efficientnet", "weights": "none"},
                "method": {"name": "joint"},
                "train": {"steps": 2, "batch": 2, "workers": 0, "precision": "fp32"},
            }
        )
    )
    assert train(plan_run(config), tmp_path / "stages").trained_here == ["student"]


def test_spread_is_the_middle_half() -> None:
    assert median_and_spread([1, 2, 3, 4, 5], 10, 0) == ["30", "20 to 40"]
    assert median_and_spread([2.0]) == ["2.0", "2.0 to 2.0"]
