"""From the store to frames: which runs count, and which rows may be averaged together.

Rows are averaged or compared only on one `Ground` (data set, protocol, convention, truth, version of the measures,
data, version of the recipes) and with one `Network` (architecture, backbone, first weights). Runs that did not finish
never enter a mean.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.store import FINISHED, SCHEMAS, Store
from wsshm.errors import UserError

GROUND = ("dataset", "protocol", "convention", "truth", "metric_version", "data_fingerprint", "recipe_version")
NETWORK = ("architecture", "backbone", "weights")
CONTROLS = ("mlb_masklabel", "oracle")
REFERENCE = "mlb"
# Said elsewhere in a row, or without influence on the numbers: no part of a variant's name.
NOT_A_VARIANT = (
    *("data.root", "train.seed", "train.workers", "train.cpus_per_worker", "train.gpus_per_worker"),
    *("train.loader_workers", "train.max_failures", "method.name"),
    *("model.architecture", "model.backbone", "model.weights", "budget"),
)


@dataclass(frozen=True)
class Frames:
    """The store's tables; `scores` and `runs` carry `label`, the method's name and what sets a variant apart.

    `scores` holds finished runs only, joined with their runs' columns. `notes` are sentences about what was left out.
    """

    root: str
    runs: pd.DataFrame
    scores: pd.DataFrame
    speed: pd.DataFrame
    epochs: pd.DataFrame
    samples: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def load(root: str | Path) -> Frames:
    """Read the store at `root` (a local path or a URI). Raises UserError where there is none, or nothing in it."""
    store = Store(root)
    tables = {name: store.read(name) for name in SCHEMAS}
    if all(frame.empty for frame in tables.values()):
        raise UserError(f"the store {root} is empty; fill it first, for example with: python -m sweeps run quickstart")
    notes: list[str] = []
    runs = tables["runs"].assign(label=_labels(tables["runs"]))
    for column in ("mattes", "masks"):
        runs[column] = runs[column].astype("Float64").astype("float64")
    return Frames(
        root=str(root),
        runs=runs,
        scores=_finished_scores(tables["scores"], runs, notes),
        speed=tables["speed"],
        epochs=tables["epochs"],
        samples=tables["samples"],
        notes=notes,
    )


def grounds(scores: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """The scores by `GROUND`, the one with most runs first."""
    return _split(scores, GROUND)


def networks(scores: pd.DataFrame) -> list[tuple[dict[str, str], pd.DataFrame]]:
    """The scores of one ground by `NETWORK`, the one with most runs first."""
    return _split(scores, NETWORK)


def differing(keys: list[dict[str, str]], always: str) -> list[str]:
    """A short title for each of `keys`: the value of `always`, and what tells it from the others."""
    varying = [name for name in keys[0] if name != always and len({key[name] for key in keys}) > 1] if keys else []
    return [", ".join([key[always], *(f"{name} {_short(key[name])}" for name in varying)]) for key in keys]


def flatten(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def as_document(text: object) -> dict[str, Any]:
    """A JSON column's value; nothing where it is absent or no mapping."""
    try:
        document = json.loads(text) if isinstance(text, str) else {}
    except json.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _finished_scores(scores: pd.DataFrame, runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    finished = runs[runs["status"] == FINISHED]
    unknown = finished["mattes"].isna() | finished["masks"].isna()
    if unknown.any():
        notes.append(
            f"Left out of comparisons: finished runs that do not say which labels they used ({unknown.sum()})."
        )
    kept = finished[~unknown]
    columns = ["run_id", "method", "label", *NETWORK, "seed", "mattes", "masks", "data_fingerprint", "recipe_version"]
    joined = scores.merge(kept[columns], on="run_id", how="inner")
    unfinished = scores.loc[scores["run_id"].isin(runs.loc[runs["status"] != FINISHED, "run_id"]), "run_id"].nunique()
    if unfinished:
        notes.append(f"Left out of every mean: scores of runs that did not finish ({unfinished}).")
    strangers = scores.loc[~scores["run_id"].isin(runs["run_id"]), "run_id"].nunique()
    if strangers:
        notes.append(f"Left out of comparisons: scores whose runs the store does not hold ({strangers}).")
    return joined


def _labels(runs: pd.DataFrame) -> list[str]:
    """The method of each run and, where a sweep varied more than seeds and labels, the varied keys' values."""
    documents = [
        {
            key: json.dumps(value)
            for key, value in flatten(as_document(text)).items()
            if not any(key == left or key.startswith(f"{left}.") for left in NOT_A_VARIANT)
            or (key == "budget.masks" and unpriced)
        }
        for text, unpriced in zip(runs["config"], _varied_for_nothing(runs), strict=True)
    ]
    labels = [str(method) if pd.notna(method) else "unnamed" for method in runs["method"]]
    varied: dict[str, set[str]] = {}
    for method in set(labels):
        own = [document for document, label in zip(documents, labels, strict=True) if label == method and document]
        keys = {key for document in own for key in document}
        varied[method] = {key for key in keys if len({document.get(key) for document in own}) > 1}
    return [
        ", ".join([label, *(f"{key.rsplit('.', 1)[-1]}={_plain(document.get(key))}" for key in sorted(varied[label]))])
        for document, label in zip(documents, labels, strict=True)
    ]


def _varied_for_nothing(runs: pd.DataFrame) -> list[bool]:
    """Runs that differ from another in how many pictures they saw without their masks: that costs no label, but is no seed."""
    seen = runs["config"].map(lambda text: flatten(as_document(text)).get("budget.masks"))
    groups = runs.assign(seen=seen).groupby(["method", "mattes", "seed"], dropna=False)["seen"]
    return list((runs["masks"] == 0) & (groups.transform("nunique") > 1))


def _plain(value: str | None) -> str:
    return "unset" if value is None else value.strip('"')


def _split(frame: pd.DataFrame, columns: tuple[str, ...]) -> list[tuple[dict[str, str], pd.DataFrame]]:
    filled = frame.assign(
        **{column: frame[column].astype(object).where(frame[column].notna(), "unknown") for column in columns}
    )
    groups = [
        (dict(zip(columns, map(str, key), strict=True)), part.reset_index(drop=True))
        for key, part in filled.groupby(list(columns), sort=True)
    ]
    return sorted(groups, key=lambda group: -group[1]["run_id"].nunique())


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:12]
