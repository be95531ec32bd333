"""Sweeps by the command line, as users ask for them, and what they left."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.store import Store
from wsshm.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def sweep(
    out: Path | str, *options: str, wait: bool = True, plan: str = "smoke", env: dict[str, str] | None = None
) -> subprocess.Popen:
    """`python -m sweeps run`; its output is in `.out` and `.err` once it was waited for."""
    command = [sys.executable, "-m", "sweeps", "run", plan, "--out", str(out), *options]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    if wait:
        process.out, process.err = process.communicate(timeout=600)  # type: ignore[attr-defined]
    return process


def sweep_here(out: Path | str, *options: str, plan: str = "smoke") -> tuple[object, str]:
    """`wsshm sweep run` in this process, which has imported torch and Ray already: its exit status, and what it says to
    stderr but for log lines."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stderr(said):
        patched.setattr("sys.argv", ["wsshm", "sweep", "run", plan, "--out", str(out), *options])
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code, said.getvalue()


def wait_for(condition: Callable[[], object], process: subprocess.Popen, seconds: float = 300) -> None:
    """Wait until something is so while a sweep runs; it must be so before the sweep ends."""
    deadline = time.time() + seconds
    while not condition():
        assert process.poll() is None, f"the sweep ended too early: {process.communicate()[1]}"
        assert time.time() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def states(out: Path) -> set[Path]:
    """The training states that stages could go on from by now: a folder for each epoch, the last of each stage."""
    return {file.parent for file in out.glob("stages/*/state-*/state.json")}


def half_trained(out: Path) -> bool:
    """Whether any stage has a training state to go on from."""
    return bool(states(out))


def scores_of(out: Path | str) -> pd.DataFrame:
    """All scores, in one order."""
    scores = Store(str(out) if isinstance(out, str) else out / "store").read("scores")
    columns = ["run_id", "dataset", "image", "region", "sad", "mse", "mad", "grad", "conn"]
    return scores[columns].sort_values(columns[:4]).reset_index(drop=True)
