"""How far a sweep is, from files alone: not begun, going on, dead, with failures, over."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.store import Store
from sweeps.cli import app
from sweeps.place import Place
from sweeps.plan import configurations
from sweeps.status import Status, headline, print_status, read_status
from tests.sweeps import made_up
from wsshm.errors import UserError
from wsshm.files.claims import Claim
from wsshm.files.location import Location

ROOT = Path(__file__).resolve().parents[2]
OPTUNA = {
    "space": {"method.blend.band": {"uniform": [0.01, 0.1]}},
    "search": {"algorithm": "optuna", "num_runs": 5},
    "seeds": [0],
}


def progress(
    out: Path, run_id: str, share: float, began_s_ago: float, written_s_ago: float = 0.0, found: float = 0.0
) -> None:
    file = out / "progress" / f"{run_id}.json"
    file.parent.mkdir(exist_ok=True)
    told = {"stage": "student", "done": 100 * share, "total": 100, "over": share == 1, "label": f"label of {run_id}"}
    told |= {"found": 100 * found} if found else {}
    file.write_text(json.dumps(told | {"started": time.time() - began_s_ago}))
    then = time.time() - written_s_ago
    os.utime(file, (then, then))


def alive(out: Path) -> None:
    """As a sweep that goes on in this process."""
    assert Claim(Place(Location.of(out)).claim).try_take()


def read(out: Path) -> Status:
    return read_status(Location.of(out))


def said(out: Path) -> str:
    return str(headline(read(out), Location.of(out)))


def test_not_yet_begun_and_no_sweep_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no sweep \(no plan.yaml\); give the folder"):
        read(tmp_path)
    out = made_up.record(tmp_path / "out", made_up.plan_of())
    status = read(out)
    assert (status.total, status.waiting, status.over) == (4, 4, False)
    assert "0 of 4 finished, 4 waiting; not running; rerun the command" in said(out)
    alive(out)
    assert "the sweep is starting" in said(out)


def test_a_sweep_that_is_drawing_its_data(tmp_path: Path) -> None:
    out = tmp_path / "drawing"
    alive(out)
    assert said(out) == f"drawing in {out}: starting: opening or drawing its data"
    made_up.record(out, made_up.plan_of())
    (out / "runs.json").unlink()
    assert said(out) == f"made-up in {out}: starting: opening or drawing its data"
    assert not read(out).over
    Place(Location.of(out)).claim.delete()
    assert "never started its runs; rerun the command (wsshm sweep run PLAN --out" in said(out)
    assert print_status(Location.of(out)) == 0


def test_runs_are_those_that_the_sweep_wrote_down(tmp_path: Path) -> None:
    """All the masks there are, said in two ways, is one run."""
    plan = made_up.plan_of(space={}, budgets=[{}, {"masks": 1000}], seeds=[0])
    first = configurations(plan)[0]
    out = made_up.record(tmp_path, plan, {"run0": made_up.known("run0", first)})
    assert read(out).total == 1
    made_up.finish(out, plan, 1)
    assert (read(out).waiting, read(out).over) == (0, True)
    made_up.finish(out, plan, 2)  # of an earlier asking for more
    assert (read(out).total, read(out).waiting) == (2, 0)


def test_a_sweep_that_goes_on(tmp_path: Path) -> None:
    plan = made_up.plan_of()
    out = made_up.record(tmp_path, plan)
    made_up.finish(out, plan, 1)  # mlb of seed 0, 0.5 s a step
    progress(out, "run0", 1.0, 60)
    progress(out, "run1", 0.5, began_s_ago=20, written_s_ago=40)  # one that scores tells nothing for a while
    progress(out, "run2", 0.01, began_s_ago=2)
    alive(out)
    status = read(out)
    assert (status.counts["finished"], len(status.running), status.waiting, status.silent_s) == (1, 2, 1, None)
    going, begun = status.running
    assert (going.run_id, going.label, going.share, going.stage) == ("run1", "label of run1", 0.5, "student")
    assert going.left_s == pytest.approx(20, abs=2)
    assert begun.left_s is None
    # run1 is over in 20 s and frees its place for run3, joint of seed 1: 40 steps at 0.5 s, and 30 s beside them. run2
    # takes what is usual, which is the longer of the 53 s that run0 took and the 40 s that run1 promises.
    assert status.left_s == pytest.approx(20 + 40 * 0.5 + 30, abs=3)
    assert "1 of 4 finished, 2 running, 1 waiting; about 1 min" in said(out)


def test_what_a_run_found_is_no_sign_of_its_speed(tmp_path: Path) -> None:
    plan = made_up.plan_of(space={"method.blend.band": [0.02, 0.03, 0.04]}, seeds=[0])
    runs = {
        f"run{i}": made_up.known(f"run{i}", config, teacher="shared") for i, config in enumerate(configurations(plan))
    }
    out = made_up.record(tmp_path, plan, runs)
    alive(out)
    progress(out, "run0", 0.51, began_s_ago=10, found=0.5)
    assert read(out).left_s is None  # an hundredth of the work tells nothing
    progress(out, "run0", 0.6, began_s_ago=25, found=0.5)
    status = read(out)
    assert status.running[0].left_s == pytest.approx(25 * 0.4 / 0.1, rel=0.05)
    # The others will find the teacher too: they take as long as this one does, from its start to its end.
    assert status.left_s == pytest.approx(100 + 2 * 125, rel=0.05)


def test_a_stage_that_a_running_run_makes_is_not_made_again(tmp_path: Path) -> None:
    plan = made_up.plan_of(space={"method.blend.band": [0.02, 0.03]}, seeds=[0])
    first, second = configurations(plan)
    out = made_up.record(
        tmp_path, plan, {n: made_up.known(n, c, teacher="shared") for n, c in (("run0", first), ("run1", second))}
    )
    alive(out)
    Store(out / "store").write("runs", [made_up.run_row("earlier", second, rate=3.0, beside_s=30)])
    progress(out, "run0", 0.5, began_s_ago=100)
    # A student of 20 steps, 3 s each and a third more for its teacher's pass, and 30 s beside it.
    assert read(out).left_s == pytest.approx(100 + 20 * 3 * 4 / 3 + 30, rel=0.05)


def test_a_killed_sweep_says_since_when_and_what_to_do(tmp_path: Path) -> None:
    out = made_up.record(tmp_path, made_up.plan_of())
    progress(out, "run0", 0.5, began_s_ago=900, written_s_ago=600)
    progress(out, "run1", 0.4, began_s_ago=900, written_s_ago=302)
    claim = out / "sweep.json"
    claim.write_text(json.dumps({"host": "a-node-that-is-gone", "pid": 1}))
    assert read(out).silent_s is None
    os.utime(claim, (time.time() - 90, time.time() - 90))
    assert read(out).left_s is None
    assert re.search(r"no sign of life for 5 min 0\d s; rerun the command", said(out))


def test_failures_end_in_exit_status_1_and_a_retry_is_no_failure(tmp_path: Path) -> None:
    plan = made_up.plan_of()
    out = made_up.record(tmp_path, plan)
    made_up.finish(out, plan, 3)
    row = made_up.run_row("run3", configurations(plan)[3], status="failed", error="it broke\nbadly", stages=None)
    Store(out / "store").write("runs", [row])
    status = read(out)
    assert status.failed == {"run3": ("joint (100 mattes, 1000 masks, seed 1)", "it broke badly")}
    assert status.over
    assert "done except for failed runs" in said(out)
    assert print_status(Location.of(out)) == 1
    assert CliRunner().invoke(app, ["status", str(out)]).exit_code == 1
    progress(out, "run3", 0.1, 5)  # rerun
    assert read(out).failed == {}
    assert read(out).waiting == 0


def test_the_best_are_by_the_last_stage_of_the_validation_set(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan = made_up.plan_of()
    out = made_up.record(tmp_path, plan)
    made_up.finish(out, plan, 4)
    store = Store(out / "store")
    # A teacher's error is no run's, however small it is.
    store.write("epochs", made_up.epoch_rows("run0", {"teacher": [0.001, 0.001], "student": [0.002, 7.0]}))
    status = read(out)
    assert [(row["run"], row["val_sad"]) for row in status.best] == [
        ("run3", 2.0), ("run2", 3.0), ("run1", 4.0), ("run0", 7.0),
    ]  # fmt: skip
    assert print_status(Location.of(out), watch=True) == 0  # over: nothing to watch
    printed = capsys.readouterr().out
    assert "4 of 4 finished; done" in printed
    assert "best by val_sad (validation) so far" in printed


def test_several_objectives_give_the_pareto_front(tmp_path: Path) -> None:
    backbones = ["resnet18", "resnet34", "resnet50"]
    plan = made_up.plan_of(
        space={"model.backbone": backbones},
        search={"objectives": ["val_sad", "latency_ms"]},
        seeds=[0],
        speed={"models": backbones, "sizes": [64]},
    )
    out = made_up.record(tmp_path, plan)
    made_up.finish(out, plan, 3)  # val_sad 5, 4, 3
    speed = {
        "architecture": "unet", "engine": "eager", "precision": "fp32", "layout": "channels_last", "batch": 1, "status": "ok",
    }  # fmt: skip
    for device, size, times in (("old", 64, (1, 1, 1)), ("here", 64, (10, 30, 20)), ("here", 128, (1, 1, 1))):
        for backbone, ms in zip(backbones, times, strict=True):
            for scope, factor in (("model", 1), ("end_to_end", 0.01)):
                row = speed | {"height": size, "width": size, "scope": scope, "device": device}
                row |= {"backbone": backbone, "model": f"unet/{backbone}", "p50_ms": ms * factor}
                Store(out / "store").write("speed", [row])
    for backbone, status, ms in (("resnet18", "unstable", 99.0), ("resnet50", "oom", None)):  # an ok time goes first
        row = speed | {"height": 64, "width": 64, "scope": "model", "device": "here", "run_id": "x"}
        row |= {"backbone": backbone, "model": f"unet/{backbone}", "status": status, "p50_ms": ms}
        Store(out / "store").write("speed", [row])
    assert [(row["run"], row["latency_ms"]) for row in read(out).best] == [("run2", 20.0), ("run0", 10.0)]


def test_a_search_counts_what_it_will_draw(tmp_path: Path) -> None:
    plan = made_up.plan_of(**OPTUNA, also=[{"method.name": "joint"}])
    out = made_up.record(tmp_path, plan, {"listed": made_up.known("listed", configurations(plan)[0])})
    assert read(out).total == 6
    drawn = made_up.plan_of(space={"method.blend.band": [0.02, 0.03, 0.04]}, seeds=[0])
    made_up.finish(out, drawn, 3)
    assert read(out).waiting == 3
    Store(out / "store").write("runs", [made_up.run_row("listed", configurations(plan)[0])])
    assert (read(out).total, read(out).waiting) == (6, 2)
    (out / "report").mkdir()
    (out / "report" / "index.html").write_text("")  # some draws were equal: it ended, with three
    status = read(out)
    assert (status.total, status.over) == (4, True)
    more = made_up.plan_of(**(OPTUNA | {"search": {"algorithm": "optuna", "num_runs": 9}}))
    made_up.record(out, more)  # rerun for more
    (out / "report" / "index.html").touch()
    os.utime(out / "report" / "index.html", (1, 1))
    assert read(out).waiting == 5


def test_status_is_light(tmp_path: Path) -> None:
    plan = made_up.plan_of()
    out = made_up.record(tmp_path, plan)
    made_up.finish(out, plan, 4)
    check = (
        f"import sys; from sweeps.status import *; print_status(Location.of({str(out)!r}));"
        " assert not {'torch', 'ray', 'timm', 'cv2', 'optuna'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
