"""An engine from outside the package: one file, no list touched, timed in its own process."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.settings import Protocol, SpeedSpec, expand
from bench.speed import speed_table
from bench.store import Store
from sweeps.plan import load_plan
from tests.extending.conftest import Add
from wsshm.errors import UserError

TRACED = Path(__file__).with_name("traced.py").read_text()
QUICK = Protocol(warmup_calls=1, warmup_seconds=0, calls=6, seconds=0, max_seconds=30)


@pytest.mark.slow
def test_it_is_timed_beside_ours(add: Add, tmp_path: Path) -> None:
    add("traced", TRACED)
    store = Store(tmp_path / "store")
    specs = expand(["test_resnet"], [64], engines=["eager", "traced"], precisions=["fp32", "bf16"])
    speed_table(specs, threads=1, protocol=QUICK, store=store, processes=1)
    rows = store.read("speed").set_index(["engine", "precision", "scope"]).sort_index()
    assert len(rows) == 8
    assert pd.isna(rows.loc[("eager", "fp32", "model"), "compile_s"])
    assert rows.loc[("traced", "fp32", "model"), "compile_s"] > 0
    assert rows.loc[("traced", "fp32", "model"), "gmacs"] == rows.loc[("eager", "fp32", "model"), "gmacs"] > 0
    assert rows.loc[("traced", "fp32", "end_to_end"), "p50_ms"] > 0
    for scope in ("model", "end_to_end"):
        refused = rows.loc[("traced", "bf16", scope)]
        assert (refused["status"], refused["reason"]) == (
            "unavailable",
            "traced networks run in fp32 here, not in bf16",
        )


def test_plans_and_commands_know_it(add: Add) -> None:
    with pytest.raises(UserError, match="there is no engine 'traced'"):
        SpeedSpec("test_resnet", engine="traced")
    add("traced", TRACED)
    assert SpeedSpec("test_resnet", engine="traced").layout == "channels_last"
    assert load_plan("smoke", ["speed.engines=[eager, traced]"]).speed.engines == ("eager", "traced")
    with pytest.raises(UserError, match=r"speed\.engines\.0 = 'tracd'.*'traced'"):
        load_plan("smoke", ["speed.engines=[tracd]"])
