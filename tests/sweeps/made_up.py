"""Sweeps' folders with made-up rows, for tests of what reads them: no number here was measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from bench.store import Store
from sweeps.plan import RESOLVED_WEIGHTS, Plan, configurations
from wsshm.config import RunConfig, parse
from wsshm.methods import stages_of
from wsshm.models import text_of

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def plan_of(**changes: Any) -> Plan:
    """A plan of two methods under two seeds; `also`, `search` and the like by name."""
    document: dict[str, Any] = {
        "name": "made-up",
        "base": {
            "data": {"size": 64},
            "model": {"backbone": "test_efficientnet", "weights": "auto"},
            "train": {"steps": 40, "teacher_steps": 20, "batch": 8, "precision": "fp32"},
        },
        "space": {"method.name": ["mlb", "joint"]},
        "seeds": [0, 1],
    }
    return parse(document | changes, Plan)


def record(out: Path, plan: Plan, runs: dict[str, Any] | None = None) -> Path:
    """Write OUT/plan.yaml and OUT/runs.json as a sweep does; without `runs`, of the plan's runs as `finish` has them."""
    out.mkdir(parents=True, exist_ok=True)
    document = plan.model_dump(mode="json") | {RESOLVED_WEIGHTS: {"test_efficientnet": "none"}}
    (out / "plan.yaml").write_text(yaml.safe_dump(document))
    if runs is None:
        runs = {f"run{index}": known(f"run{index}", config) for index, config in enumerate(configurations(plan))}
    (out / "runs.json").write_text(json.dumps(runs))
    return out


def known(run_id: str, config: RunConfig, **shared: str) -> dict[str, Any]:
    """A run as OUT/runs.json holds it; `shared` are addresses of stages that it does not have alone, by name."""
    stages = {stage.name: shared.get(stage.name, f"{run_id}-{stage.name}") for stage in stages_of(config)}
    return {"label": f"label of {run_id}", "config": resolved(config).model_dump(mode="json"), "stages": stages}


def resolved(config: RunConfig, root: str = "/somewhere") -> RunConfig:
    """As a store's row holds a planned configuration."""
    document = config.model_dump(mode="json")
    document["data"]["root"], document["model"]["weights"] = root, "none"
    return parse(document)


def run_row(
    run_id: str, config: RunConfig, rate: float = 0.5, beside_s: float = 30.0, **changes: Any
) -> dict[str, Any]:
    """A finished run's row, trained in `rate` seconds a step, all by itself."""
    seconds = [stage.steps * rate * (4 / 3 if stage.teacher else 1) for stage in stages_of(config)]
    row = {
        "run_id": run_id,
        "plan": "made-up",
        "method": config.method.name,
        "architecture": text_of(config.model.architecture),
        "backbone": config.model.backbone,
        "seed": config.train.seed,
        "mattes": config.budget.mattes or 100,
        "masks": config.budget.masks or 1000,
        "config": resolved(config).model_dump_json(),
        "status": "finished",
        "stages": [f"{stage.name}:{run_id}-{stage.name}" for stage in stages_of(config)],
        "steps": config.train.steps,
        "train_s": seconds[-1],
        "teacher_s": sum(seconds[:-1]),
        "device": "Example CPU, 1 thread",
        "workers": 1,
        "gpus": 0.0,
        "versions": json.dumps({"torch": "2.11.0", "cuda": None}),
        "git_commit": "0f" * 20,
        "git_dirty": False,
        "started": START,
        "finished": START + timedelta(seconds=sum(seconds) + beside_s),
    }
    return row | changes


def epoch_rows(run_id: str, stages: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Rows of `epochs`: each stage's val_sad by epoch, and val_mse a tenth of it."""
    return [
        {"run_id": run_id, "stage": stage, "epoch": epoch, "key": key, "value": value * scale}
        for stage, values in stages.items()
        for epoch, value in enumerate(values, 1)
        for key, scale in (("val_sad", 1.0), ("val_mse", 0.1))
    ]


def finish(out: Path, plan: Plan, count: int, **changes: Any) -> list[str]:
    """Write rows for the plan's first `count` runs, `run0` and so on, the later ones the better. Returns their ids."""
    store = Store(out / "store")
    for index, config in enumerate(configurations(plan)[:count]):
        store.write("epochs", epoch_rows(f"run{index}", {"student": [9.0, 5.0 - index]}))
        store.write("runs", [run_row(f"run{index}", config, **changes)])
    return [f"run{index}" for index in range(count)]
