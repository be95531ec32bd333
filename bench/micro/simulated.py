"""A store of many runs with drawn numbers, written as a sweep writes it: a file a run and table."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.store import SCHEMAS

BACKBONES, SEEDS = 40, 2
# method: SAD level, uses mattes, uses masks
METHODS = {
    "matte_only": (1.6, True, False),
    "seg_only": (0.9, False, True),
    "joint": (0.85, True, True),
    "matte_then_seg": (0.8, True, True),
    "mlb": (0.75, True, True),
}
BUDGETS = ((160, 2000), (80, 1000), (40, 500), (20, 250), (10, 100))
REGIONS = ("whole", "unknown", "boundary", "foreground")
EPOCHS, SAMPLES, CALLS = 10, 8, 200
START = datetime(2026, 1, 1, tzinfo=UTC)


def simulate(root: Path, runs: int, images: int, regions: int, timings: int) -> None:
    """Fill the store at `root`: `runs` over backbones, methods, budgets and seeds, `regions` of 4, `timings` rows."""
    rng = np.random.default_rng(0)
    hardness = rng.lognormal(0, 0.6, images)
    names = pa.array([f"test-{index:06d}" for index in range(images)])
    for table in SCHEMAS:
        (root / table).mkdir(parents=True, exist_ok=True)
    picture = cv2.imencode(".png", rng.integers(0, 255, (64, 64), dtype=np.uint8))[1].tobytes()
    # all methods of a network before the next network: few runs, too, have something to compare
    cells = list(product(range(SEEDS), BUDGETS, range(BACKBONES), METHODS))
    for number in range(runs):
        seed, (mattes, masks), backbone, method = cells[number % len(cells)]
        row = _run(number, seed + SEEDS * (number // len(cells)), method, mattes, masks, backbone)
        level = METHODS[method][0] * (1 + 2 / mattes + 20 / masks) * (1 + 0.01 * backbone) * rng.normal(1, 0.02)
        _put(root, "runs", number, pa.Table.from_pylist([row], SCHEMAS["runs"]))
        _put(root, "scores", number, _scores(row["run_id"], level * hardness, names, REGIONS[:regions], rng))
        _put(root, "epochs", number, _epochs(row["run_id"], level))
        key = {"run_id": row["run_id"], "dataset": "simulated/test"}
        shown = [key | {"image": names[i].as_py(), "png": picture} for i in range(min(SAMPLES, images))]
        rows = [row | {"kind": kind} for row in shown for kind in ("photo", "truth", "matte")]
        _put(root, "samples", number, pa.Table.from_pylist(rows, SCHEMAS["samples"]))
    timed = list(_timings(timings, rng))
    for start in range(0, timings, 100):
        _put(root, "speed", start, pa.Table.from_pylist(timed[start : start + 100], SCHEMAS["speed"]))


def _put(root: Path, table: str, number: int, rows: pa.Table) -> None:
    name = f"{number:020d}-{uuid.UUID(int=number).hex}.parquet"
    pq.write_table(rows, root / table / name, compression="snappy")


def _run(number: int, seed: int, method: str, mattes: int, masks: int, backbone: int) -> dict[str, Any]:
    _, uses_mattes, uses_masks = METHODS[method]
    name = f"backbone_{backbone:02d}"
    config = {
        "data": {"size": 512},
        "model": {"architecture": "unet", "backbone": name},
        "method": {"name": method, "blend": {"band": 0.04, "threshold": 0.5}},
        "train": {"steps": 4000, "seed": seed},
        "budget": {"mattes": mattes, "masks": masks},
    }
    return {
        "run_id": f"{number:016x}",
        "plan": "simulated",
        "method": method,
        "architecture": "unet",
        "backbone": name,
        "weights": "none",
        "seed": seed,
        "mattes": mattes * uses_mattes,
        "masks": masks * uses_masks,
        "config": json.dumps(config),
        "data_fingerprint": "0" * 16,
        "recipe_version": "1",
        "status": "finished",
        "stages": ["student:aa"],
        "device": "simulated",
        "started": START,
        "finished": START + timedelta(minutes=number),
    }


def _scores(run_id: str, level: np.ndarray, names: pa.Array, regions: tuple[str, ...], rng: Any) -> pa.Table:
    sad = np.concatenate([level * rng.lognormal(0, 0.1, len(level)) * share for share in (1.0, 0.5, 0.4, 0.1)])
    sad, count = sad[: len(names) * len(regions)], len(names) * len(regions)
    columns: dict[str, Any] = {
        **{"run_id": run_id, "dataset": "simulated/test", "protocol": "whole-512", "convention": "p3m"},
        **{"truth": "exact", "quantised": "none", "metric_version": "1", "unknown_px": 10},
    }
    columns = {name: pa.repeat(pa.scalar(value), count) for name, value in columns.items()}
    columns |= {"image": pa.concat_arrays([names] * len(regions)), "region": np.repeat(regions, len(names))}
    columns |= {
        "sad": sad,
        "mse": sad / 30,
        "mad": sad / 16,
        "grad": 18 * sad**0.5,
        "conn": sad * 0.9,
        "iou": np.maximum(0, 1 - sad / 99),
    }
    schema = SCHEMAS["scores"]
    return pa.table([columns.get(field.name, pa.nulls(count, field.type)) for field in schema], schema)


def _epochs(run_id: str, level: float) -> pa.Table:
    rows = [
        {"run_id": run_id, "stage": "student", "epoch": epoch, "key": key, "value": level * (1 + 1 / epoch)}
        for epoch in range(1, EPOCHS + 1)
        for key in ("train_loss", "val_sad", "val_mad")
    ]
    return pa.Table.from_pylist(rows, SCHEMAS["epochs"])


def _timings(count: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    conditions = product(
        ("CPU A, 8 threads", "GPU B 24GB", "GPU C 80GB"), ("eager", "compile"), ("fp32", "fp16"),
        ("nchw", "channels_last"), (512, 1024, 2048), (1, 2, 4, 8, 16, 32), ("model", "end_to_end"), range(BACKBONES),
    )  # fmt: skip
    for _, (device, engine, precision, layout, side, batch, scope, backbone) in zip(
        range(count), conditions, strict=False
    ):
        median = 4.0 * (1 + 0.1 * backbone) * (side / 512) ** 2 * batch**0.9
        samples = median * rng.lognormal(0, 0.05, CALLS)
        yield {
            **{
                "model": f"unet-backbone_{backbone:02d}",
                "architecture": "unet",
                "backbone": f"backbone_{backbone:02d}",
            },
            **{"params": 10**6 * (1 + backbone), "gmacs": 1.0 + backbone, "device": device, "engine": engine},
            **{"precision": precision, "layout": layout, "batch": batch, "height": side, "width": side, "scope": scope},
            **{"status": "ok", "n": CALLS, "p50_ms": median, "p90_ms": 1.1 * median, "p95_ms": 1.2 * median},
            **{"p99_ms": 1.3 * median, "median_low_ms": 0.98 * median, "median_high_ms": 1.02 * median},
            "fps": 1000 / median if batch == 1 else None,
            **{"images_per_s": 1000 * batch / median, "samples_ms": samples.tolist(), "started": START},
        }
