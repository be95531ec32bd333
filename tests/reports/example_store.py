"""A store filled with made-up rows, for tests of the reports only: no number here was measured."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib.image
import numpy as np
from scipy.ndimage import gaussian_filter

from bench.store import Store

BACKBONE, TIMED_ONLY = "tf_efficientnet_lite0", "mobilenetv3_small_100"
BUDGETS = ((40, 1000), (10, 1000))
# method: SAD level, uses mattes, uses masks
METHODS = {
    "matte_only": (1.9, True, False),
    "seg_only": (0.92, False, True),
    "joint": (0.95, True, True),
    "matte_then_seg": (0.86, True, True),
    "mlb": (0.74, True, True),
    "oracle": (0.55, True, True),
}
START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VERSIONS = json.dumps({"python": "3.11", "torch": "2.11.0", "timm": "1.0.20"})


def fill(
    root: Path,
    seeds: tuple[int, ...] = (0, 1),
    images: int = 40,
    budgets: tuple[tuple[int, int], ...] = BUDGETS,
    failed: bool = True,
    methods: tuple[str, ...] = tuple(METHODS),
) -> Store:
    """Runs, scores, epochs and samples of all methods, timings of two backbones, and one failed run."""
    store = Store(root)
    rng = np.random.default_rng(0)
    hardness = rng.lognormal(0, 0.6, images)
    done: set[str] = set()
    for seed in seeds:
        for mattes, masks in budgets:
            for method in methods:
                level, uses_mattes, uses_masks = METHODS[method]
                labels = mattes * uses_mattes, masks * uses_masks
                if method == "oracle":
                    labels = mattes + masks, 0
                row = run_row(method, *labels, seed)
                if row["run_id"] in done:
                    continue
                done.add(row["run_id"])
                gain = 1 + 0.16 * uses_mattes * np.log2(40 / mattes) / (1 + 2 * (method == "oracle"))
                store.write("runs", [row])
                store.write("scores", score_rows(row["run_id"], level * gain, hardness, rng))
                store.write("epochs", epoch_rows(row["run_id"], method, level * gain, rng))
                store.write("samples", sample_rows(row["run_id"], method, level))
    if failed:
        row = run_row("mlb_masklabel", 40, 1000, 0) | {
            "status": "oom",
            "error": "out of memory at batch 16 <b>bold</b>",
        }
        store.write("runs", [row])
        store.write("scores", score_rows(row["run_id"], 0.01, hardness, rng))
    store.write("speed", speed_rows(rng))
    return store


DATA = {
    **{"root": None, "mattes": "procedural/synthetic", "masks": "procedural/natural", "val": "procedural/val"},
    **{"test": ["procedural/test"], "size": 128},
}


def run_row(method: str, mattes: int | None, masks: int | None, seed: int, **changes: object) -> dict:
    config = {
        **{"method": {"name": method}, "train": {"steps": 400, "seed": seed}, "model": {"backbone": BACKBONE}},
        "data": DATA,
    }
    return {
        "run_id": f"{method}-{mattes}-{masks}-{seed}",
        "plan": "example",
        "method": method,
        "architecture": "unet",
        "backbone": BACKBONE,
        "weights": "package",
        "seed": seed,
        "mattes": mattes,
        "masks": masks,
        "cost_s": None if mattes is None else 690.0 * mattes + 79.2 * masks,
        "config": json.dumps(config),
        "data_fingerprint": "0123456789abcdef",
        "recipe_version": "1",
        "status": "finished",
        "stages": ["aa", "bb"],
        "steps": 400,
        "train_s": 100.0,
        "device": "Example CPU, 2 threads",
        "workers": 1,
        "gpus": 0.0,
        "versions": VERSIONS,
        "git_commit": "0f" * 20,
        "git_dirty": method == "joint",
        "started": START,
        "finished": START + timedelta(seconds=100),
        **changes,
    }


def score_rows(
    run_id: str, level: float, hardness: np.ndarray, rng: np.random.Generator, **changes: object
) -> list[dict]:
    rows = []
    offset = rng.normal(0, 0.02)
    for index, own in enumerate(hardness):
        sad = max(0.02, level * own * (1 + offset + rng.normal(0, 0.12)))
        shared = {
            "run_id": run_id,
            "dataset": "procedural/test",
            "image": f"test-{index:04d}",
            "protocol": "short128",
            "convention": "p3m",
            "truth": "exact",
            "metric_version": "1",
            "quantised": "none",
            "unknown_px": 3,
        }
        whole = {
            "mse": sad / 30,
            "mad": sad / 16.4,
            "grad": 18 * sad**0.5,
            "conn": sad * 0.9,
            "iou": max(0.0, 1 - sad / 12),
        }
        rows += [
            {**shared, "region": "whole", "sad": sad, **whole},
            {**shared, "region": "unknown", "sad": sad * 0.5, "mad": 0.1 + sad / 12},
        ]
        if index != 3:  # an image without fractional pixels
            rows.append({**shared, "region": "boundary", "mad": 0.2 + 0.05 * level + rng.normal(0, 0.01)})
    return [{**row, **changes} for row in rows]


def epoch_rows(run_id: str, method: str, level: float, rng: np.random.Generator) -> list[dict]:
    stages = {"mlb": ("teacher", "student"), "matte_then_seg": ("matte", "seg")}.get(method, ("student",))
    rows = []
    for stage in stages:
        for epoch in range(8 // len(stages)):
            decay = 1.5 * np.exp(-epoch / 2)
            for key, value in (
                ("train_loss", 0.1 * level + 0.3 * decay),
                ("val_sad", level * (1 + decay)),
                ("val_mad", level * (1 + decay) / 16),
            ):
                noisy = float(value * (1 + rng.normal(0, 0.03)))
                rows.append({"run_id": run_id, "stage": stage, "epoch": epoch, "key": key, "value": noisy})
    return rows


def sample_rows(run_id: str, method: str, level: float, count: int = 4) -> list[dict]:
    rows = []
    for index in range(count):
        pictures = drawn(index, level)
        kinds = ["photo", "mask", "matte", "truth", *(("teacher", "label") if method == "mlb" else ())]
        for kind in kinds:
            key = {"run_id": run_id, "dataset": "procedural/test", "image": f"test-{index:04d}", "kind": kind}
            rows.append({**key, "png": png(pictures[kind])})
    return rows


def drawn(index: int, level: float, size: int = 64) -> dict[str, np.ndarray]:
    """A soft blob as truth, a hard one as mask, a noisy one as matte."""
    rng = np.random.default_rng(index)
    y, x = np.mgrid[:size, :size] / size - 0.5
    radius = np.hypot(x + 0.1 * np.sin(9 * y + index), y * 0.8)
    truth = np.clip((0.3 - radius) * 14 + rng.normal(0, 0.3, radius.shape) * (np.abs(radius - 0.3) < 0.06), 0, 1)
    mask = (radius < 0.29).astype(float)
    noisy = np.clip(truth + gaussian_filter(rng.normal(0, level, truth.shape), 3), 0, 1)
    shades = np.stack([truth * c + (1 - truth) * d for c, d in ((0.8, 0.2), (0.6, 0.4 + 0.3 * y), (0.5, 0.6))], -1)
    label = np.where(np.abs(radius - 0.3) < 0.05, noisy, mask)
    return {"photo": shades, "mask": mask, "truth": truth, "matte": noisy, "teacher": noisy, "label": label}


def png(picture: np.ndarray) -> bytes:
    """A grey (h, w) or colour (h, w, 3) picture in [0, 1] as PNG."""
    content = io.BytesIO()
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)
    matplotlib.image.imsave(content, np.clip(colour, 0, 1), format="png")
    return content.getvalue()


def speed_rows(rng: np.random.Generator) -> list[dict]:
    rows = []
    for backbone, params, gmacs, base in ((BACKBONE, 4_200_000, 3.1, 46.0), (TIMED_ONLY, 1_900_000, 1.2, 21.0)):
        for batch, scope, n in ((1, "model", 1200), (8, "model", 200), (1, "end_to_end", 200)):
            samples = base * batch**0.9 * (1.4 if scope == "end_to_end" else 1) * rng.lognormal(0, 0.05, n)
            p50, p90, p95, p99 = (float(np.percentile(samples, q)) for q in (50, 90, 95, 99))
            rows.append(
                {
                    "model": f"unet-{backbone}",
                    "architecture": "unet",
                    "backbone": backbone,
                    "params": params,
                    "gmacs": gmacs * batch,
                    "device": "Example CPU, 2 threads",
                    "engine": "eager",
                    "precision": "fp32",
                    "layout": "channels_last",
                    "batch": batch,
                    "height": 128,
                    "width": 128,
                    "scope": scope,
                    "status": "ok",
                    "n": n,
                    "p50_ms": p50,
                    "p90_ms": p90,
                    "p95_ms": p95,
                    "p99_ms": p99,
                    "median_low_ms": p50 * 0.98,
                    "median_high_ms": p50 * 1.03,
                    "fps": 1000 / p50 if batch == 1 else None,
                    "images_per_s": 1000 * batch / float(samples.mean()),
                    "peak_mb": 310.0 * batch**0.5,
                    "versions": VERSIONS,
                    "started": START,
                }
            )
    rows.append(
        {**rows[0], "engine": "compile", "status": "unavailable", "reason": "no compiler was found", "fps": None}
    )
    return rows


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
