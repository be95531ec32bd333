"""A made-up store of 200 runs, for tests of the reports and to look at them: no number here was measured.

40 backbones, 5 budgets, 4 methods and a control, 3 seeds, a search over MLB's blend, two architectures, timings on two
devices, failed, out-of-memory and stopped runs, gaps, and the predictions of a published model. The laws behind it are
`sad_of`, `QUALITY` and `blend_penalty`, so that what a report finds can be compared with what is true.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench.store import Store
from tests.reports.example_store import drawn, png

MAIN = "tf_efficientnet_lite0"
BUDGETS = ((10, 300), (20, 1000), (40, 300), (40, 1000), (80, 3000))
FULL = (40, 1000)  # what backbones, architectures and the search are trained with
SEEDS = (0, 1, 2)
IMAGES = 24
START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VERSIONS = json.dumps({"python": "3.11.9", "torch": "2.11.0", "timm": "1.0.20"})
DEVICE = "Example CPU, 8 threads"
TIMED = (
    # device, engine, precision, ms per 10⁹ multiply-adds, ms of overhead
    ("Example CPU, 8 threads", "eager", "fp32", 9.0, 4.0),
    ("Example GPU 24GB", "compile", "fp16", 0.11, 0.9),
)
# Parameters of a network over each backbone, in 10⁶.
BACKBONES: dict[str, float] = {
    "efficientvit_b0": 1.0, "mobilenetv3_small_100": 1.9, "mobilenetv4_conv_small": 2.9, "regnety_002": 3.0,
    "edgenext_xx_small": 1.4, "mobilevit_xxs": 1.3, "lcnet_050": 1.1, "lcnet_100": 2.4, "tinynet_e": 1.5,
    "fbnetc_100": 4.6, "ghostnet_100": 4.1, MAIN: 4.2, "efficientnet_b0": 5.0, "efficientnet_b1": 7.5,
    "mobilenetv2_100": 3.2, "mobilenetv2_140": 5.4, "mobilenetv3_large_100": 4.9, "mnasnet_100": 3.9,
    "regnetx_004": 4.8, "regnety_004": 4.0, "regnety_008": 6.1, "regnety_016": 10.9, "convnextv2_atto": 4.5,
    "convnextv2_femto": 6.2, "convnextv2_pico": 10.3, "convnext_nano": 17.1, "convnext_tiny": 30.4, "resnet18": 12.9,
    "resnet26": 16.9, "resnet34": 23.0, "resnet50": 26.8, "resnext50_32x4d": 26.2, "resnetv2_50": 26.7,
    "hgnetv2_b0": 6.8, "hgnetv2_b1": 7.4, "hgnetv2_b4": 20.7, "hrnet_w18_small": 14.6, "mobileone_s1": 5.9,
    "swin_tiny_patch4_window7_224": 30.1, "densenet121": 9.2,
}  # fmt: skip
FAILING = "densenet121"  # no seed of it finished
# SAD of a large network with the labels of `FULL`, and how much there is to gain by mattes and by masks.
METHODS = {
    "matte_only": (1.10, 1.30, 0.00),
    "seg_only": (0.78, 0.00, 0.42),
    "joint": (0.58, 0.42, 0.40),
    "mlb": (0.46, 0.40, 0.42),
    "oracle": (0.40, 0.30, 0.00),
}
BLEND: dict[str, Any] = {
    "variant": "gated",
    "threshold": 0.3,
    "band": 0.025,
    "feather": 0.0,
    "veto": "mask",
    "when": "loop",
    "refresh": 1,
}
VETOED = {"none": 0.05, "mask": 0.0, "ignore": 0.02}
VARIED = {"hard": 0.06, "soft": 0.03, "gated": 0.0}
RUNS = 200
EXTERNAL = "external-0123456789abcdef"


def sad_of(method: str, mattes: int, masks: int) -> float:
    """The true SAD of a method on the main network: a saturating power law in both kinds of labels."""
    floor, by_mattes, by_masks = METHODS[method]
    if method == "oracle":
        mattes = max(mattes, 1)
    return floor + by_mattes * (max(mattes, 1) / 10) ** -0.5 + by_masks * (max(masks, 1) / 100) ** -0.35


def quality(backbone: str, architecture: str = "unet") -> float:
    """By how much a network's SAD is above (below) the main one's: larger ones are better, with a spread of their own."""
    spread = np.random.default_rng(sum(map(ord, backbone))).normal(0, 0.05)
    own = 0.16 * math.log2(BACKBONES[MAIN] / BACKBONES[backbone]) / 2 + (0.0 if backbone == MAIN else spread)
    return (1 + own) * (0.96 if architecture == "deeplab" else 1.0)


def blend_penalty(config: dict[str, Any]) -> float:
    """What a blend costs in SAD against the best one: threshold matters most, then variant and veto; feather nothing."""
    blend = config["method"]["blend"]
    return (
        1.6 * (blend["threshold"] - 0.35) ** 2
        + 0.10 * abs(math.log(blend["band"] / 0.03))
        + VETOED[blend["veto"]]
        + VARIED[blend["variant"]]
    )


def fill(root: str | Path, samples: bool = True) -> Store:
    """Write the whole store; the same rows each time."""
    rng = np.random.default_rng(0)
    store = Store(root)
    runs = _runs(rng)
    hardness = rng.lognormal(0, 0.55, IMAGES)
    scores: list[dict[str, Any]] = []
    epochs: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    for row, level in runs:
        if row["status"] == "finished":
            scores += _scores(row, level, hardness, rng)
        if row["status"] != "failed" and row["run_id"] != EXTERNAL:
            epochs += _epochs(row, level, rng)
    if samples:
        for method in METHODS:
            mattes, masks = labels_of(method, *FULL)
            for seed in SEEDS[:2]:
                pictures += _samples(f"{method}-{MAIN}-{mattes}-{masks}-{seed}", method)
    for table, rows in (("runs", [row for row, _ in runs]), ("scores", scores), ("epochs", epochs)):
        store.write(table, rows)
    store.write("samples", pictures)
    store.write("speed", _speed(rng))
    return store


def labels_of(method: str, mattes: int, masks: int) -> tuple[int, int]:
    """The labels that a method uses of a budget."""
    if method == "oracle":
        return mattes + masks, 0
    return (0 if method == "seg_only" else mattes), (0 if method == "matte_only" else masks)


def _runs(rng: np.random.Generator) -> list[tuple[dict[str, Any], float]]:
    """Every run's row and its SAD without noise over images."""
    runs: dict[str, tuple[dict[str, Any], float]] = {}

    def add(method: str, labels: tuple[int, int], seed: int, backbone: str = MAIN, architecture: str = "unet") -> None:
        run_id = f"{method}-{backbone}-{labels[0]}-{labels[1]}-{seed}" + ("" if architecture == "unet" else "-deeplab")
        level = sad_of(method, *labels) * quality(backbone, architecture) * (1 + rng.normal(0, 0.02))
        row = _run(run_id, method, labels, seed, backbone, architecture, "main" if backbone == MAIN else "backbones")
        runs.setdefault(run_id, (row, level))

    for method, budget, seed in itertools.product(("matte_only", "seg_only", "joint", "mlb"), BUDGETS, SEEDS):
        add(method, labels_of(method, *budget), seed)
    for seed in SEEDS:
        add("oracle", labels_of("oracle", *FULL), seed)
    others = [backbone for backbone in BACKBONES if backbone != MAIN]
    for backbone, seed in itertools.product(others, SEEDS):
        if seed == 0 or others.index(backbone) % 4 != 3 or backbone == FAILING:  # a quarter has one seed only
            add("mlb", FULL, seed, backbone)
    for backbone, seed in itertools.product((MAIN, "resnet18", "regnety_004"), SEEDS[:2]):
        add("mlb", FULL, seed, backbone, "deeplab")
    result = list(runs.values())
    external = {**_run(EXTERNAL, "Published <i>Net</i> & co", (0, 0), 0, MAIN, "unet", "x"), "config": "{}"}
    absent = ("mattes", "masks", "cost_s", "seed", "architecture", "backbone", "weights", "data_fingerprint")
    external |= dict.fromkeys((*absent, "recipe_version", "plan", "stages", "steps", "train_s", "teacher_s"))
    result.append((external, 0.9))
    for row, _ in result:
        _spoil(row)
    return result + [_searched(index, rng) for index in range(RUNS - len(result))]


def _run(
    run_id: str, method: str, labels: tuple[int, int], seed: int, backbone: str, architecture: str, plan: str
) -> dict[str, Any]:
    own = {"name": method, "matte_share": 0.0, "blended_weight": 1.0} | ({"blend": BLEND} if method == "mlb" else {})
    config = {
        "model": {"architecture": architecture, "backbone": backbone, "weights": "auto", "backbone_kwargs": {}},
        "method": own,
        "train": {"steps": 800, "teacher_steps": 400, "batch": 16, "seed": seed, "lr": 2e-3},
        "budget": {"mattes": labels[0], "masks": labels[1]},
    }
    started = START + timedelta(minutes=7 * seed)
    return {
        "run_id": run_id,
        "plan": plan,
        "method": method,
        "architecture": architecture,
        "backbone": backbone,
        "weights": "package" if backbone == MAIN else "hub",
        "seed": seed,
        "mattes": labels[0],
        "masks": labels[1],
        "cost_s": 690.0 * labels[0] + 79.2 * labels[1],
        "config": json.dumps(config),
        "data_fingerprint": "0123456789abcdef",
        "recipe_version": "1",
        "status": "finished",
        "stages": ["teacher:aa", "student:bb"] if method == "mlb" else ["student:cc"],
        "steps": 800,
        "train_s": 300.0 + 20 * BACKBONES[backbone],
        "teacher_s": 90.0 if method == "mlb" else 0.0,
        "device": DEVICE,
        "gpus": 0.0,
        "workers": 1,
        "versions": VERSIONS,
        "git_commit": "0f" * 20,
        "git_dirty": False,
        "started": started,
        "finished": started + timedelta(seconds=400),
    }


def _searched(index: int, rng: np.random.Generator) -> tuple[dict[str, Any], float]:
    """A run of the search over MLB's blend; every eighth was stopped early."""
    row = _run(f"search-{index:03d}", "mlb", FULL, 0, MAIN, "unet", "blending")
    config = copy.deepcopy(json.loads(row["config"]))
    config["method"]["blend"] |= {
        "variant": str(rng.choice(list(VARIED))),
        "threshold": round(float(rng.uniform(0.1, 0.9)), 4),
        "band": round(float(np.exp(rng.uniform(np.log(0.008), np.log(0.1)))), 5),
        "feather": round(float(rng.uniform(0, 0.03)), 5),
        "veto": str(rng.choice(list(VETOED))),
        "refresh": int(rng.integers(1, 4)),
    }
    row["config"] = json.dumps(config)
    if index % 8 == 5:
        row |= {"status": "stopped", "error": "stopped by asha at epoch 3"}
    level = (sad_of("mlb", *FULL) + blend_penalty(config)) * (1 + rng.normal(0, 0.02))
    return row, level


def _spoil(row: dict[str, Any]) -> None:
    """What goes wrong in a real sweep."""
    if row["backbone"] == FAILING and row["run_id"] != EXTERNAL:
        long = "Traceback (most recent call last): " + "; ".join(
            f'File "layer{index}.py", line {index}' for index in range(60)
        )
        row |= {"status": "failed", "error": f"ValueError: maps of <b>strides</b> [4, 8] do not fit | {long}"}
    elif row["backbone"] == "convnext_tiny" and row["seed"] == 2:
        row |= {"status": "oom", "error": "out of memory at batch 16: 23.4 GB of 24 GB in use"}
    elif row["run_id"] == f"joint-{MAIN}-80-3000-2":
        row |= {"status": "failed", "error": "TrainingDiverged: the loss became NaN at step 312"}


def _scores(row: dict[str, Any], level: float, hardness: np.ndarray, rng: np.random.Generator) -> list[dict[str, Any]]:
    external = row["run_id"] == EXTERNAL
    shared = {
        "run_id": row["run_id"],
        "dataset": "procedural/test",
        "protocol": "external" if external else "short128",
        "convention": "p3m",
        "truth": "exact",
        "metric_version": "1",
        "quantised": "rounded" if external else "none",
        "unknown_px": 3,
    }
    noise = 1 + rng.normal(0, 0.10, IMAGES)
    values = level * hardness / hardness.mean() * noise / noise.mean()
    edge = 0.16 + 0.09 * level + (0.05 if row["method"] == "seg_only" else 0.0)
    rows = []
    for index, sad in enumerate(map(float, values)):
        key = {**shared, "image": f"test-{index:04d}"}
        lost = row["run_id"] == f"seg_only-{MAIN}-0-300-1" and index == 4  # a score that is not a number
        whole = {
            "mse": sad / 30,
            "mad": sad / 16.4,
            "grad": 18 * sad**0.5,
            "conn": sad * 0.9,
            "iou": max(0.0, 1 - sad / 12),
        }
        rows.append({**key, "region": "whole", "sad": math.nan if lost else sad, **whole})
        rows.append({**key, "region": "unknown", "sad": sad * 0.5, "mad": 0.1 + sad / 12})
        rows += [
            {**key, "region": region, "sad": sad * part} for region, part in (("foreground", 0.3), ("background", 0.2))
        ]
        if index != 3:  # an image without fractional pixels
            rows.append({**key, "region": "boundary", "mad": edge + float(rng.normal(0, 0.01))})
    return rows


def _epochs(row: dict[str, Any], level: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    stages = [name.partition(":")[0] for name in row["stages"]]
    for stage in stages:
        count = 3 if row["status"] == "stopped" else 8 // len(stages)
        for epoch in range(1, count + 1):
            decay = 1.2 * math.exp(-epoch / 1.5)
            for key, value in (
                ("train_loss", 0.1 * level + 0.3 * decay),
                ("val_sad", level * (1 + decay * (stage != "student") + 0.2 * decay)),
                ("val_mad_boundary", 0.16 + 0.09 * level * (1 + decay)),
            ):
                noisy = float(value * (1 + rng.normal(0, 0.01)))
                rows.append({"run_id": row["run_id"], "stage": stage, "epoch": epoch, "key": key, "value": noisy})
    return rows


def _samples(run_id: str, method: str, count: int = 4) -> list[dict[str, Any]]:
    rows = []
    for index in range(count):
        pictures = drawn(index, METHODS[method][0] * 1.2)
        pictures["error"] = np.abs(pictures["matte"] - pictures["truth"])
        kinds = ["photo", "mask", "matte", "truth", *(("teacher", "label", "error") if method == "mlb" else ())]
        key = {"run_id": run_id, "dataset": "procedural/test", "image": f"test-{index:04d}"}
        rows += [{**key, "kind": kind, "png": png(pictures[kind])} for kind in kinds]
    return rows


def _speed(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Every backbone on both devices, the network alone and end to end, at batch 1; on the GPU at batch 8 as well."""
    rows = []
    for device, engine, precision, per_gmac, overhead in TIMED:
        for backbone, params in BACKBONES.items():
            gmacs = 0.9 * params**0.85 * float(np.random.default_rng(len(backbone)).uniform(0.8, 1.3))
            for scope, batch in (("model", 1), ("end_to_end", 1), *((("model", 8),) if engine == "compile" else ())):
                ms = (overhead + per_gmac * gmacs * batch**0.9 + (6.0 if scope == "end_to_end" else 0.0)) * float(
                    rng.normal(1, 0.01)
                )
                row = {
                    "model": f"unet/{backbone}",
                    "architecture": "unet",
                    "backbone": backbone,
                    "params": int(params * 1e6),
                    "gmacs": gmacs * batch,
                    "device": device,
                    "engine": engine,
                    "precision": precision,
                    "layout": "nchw",
                    "batch": batch,
                    "height": 128,
                    "width": 128,
                    "scope": scope,
                    "status": "ok",
                    "n": 1200 if engine == "compile" else 200,
                    "p50_ms": ms,
                    "p90_ms": ms * 1.06,
                    "p95_ms": ms * 1.09,
                    "p99_ms": ms * 1.2,
                    "median_low_ms": ms * 0.985,
                    "median_high_ms": ms * 1.02,
                    "fps": 1000 / ms if batch == 1 else None,
                    "images_per_s": 980 * batch / ms,
                    "compile_s": 12.0 if engine == "compile" else None,
                    "peak_mb": 150 + 9 * params * batch**0.5,
                    "versions": VERSIONS,
                    "started": START,
                }
                if backbone == "swin_tiny_patch4_window7_224" and engine == "compile":
                    absent = ("n", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "median_low_ms", "median_high_ms", "fps")
                    row |= dict.fromkeys((*absent, "images_per_s", "compile_s", "peak_mb"))
                    row |= {"status": "unavailable", "reason": "this engine cannot compile roll with a traced shift"}
                rows.append(row)
    return rows


if __name__ == "__main__":
    fill(sys.argv[1])
