"""From the store to frames: which runs count, what they are called, and what was left out.

Rows are averaged or compared only on one `GROUND` (data set, protocol, convention, truth, version of the measures,
data, version of the recipes) and with one `NETWORK` (architecture, backbone, first weights). Runs that did not finish
never enter a mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.store import FINISHED, SCHEMAS, TEACHER, Store
from wsshm.errors import UserError

GROUND = ("dataset", "protocol", "convention", "truth", "metric_version", "data_fingerprint", "recipe_version")
NETWORK = ("architecture", "backbone", "weights")
CONTROLS = ("mlb_masklabel", "oracle")
REFERENCE = "mlb"
EXTERNAL = "external-"  # how the run_ids of predictions begin that were made elsewhere
VALUES = ("sad", "mse", "mad", "grad", "conn", "iou")
SCORES = ("run_id", "dataset", "image", "protocol", "convention", "region", "truth", "metric_version", *VALUES)
LARGE = "samples_ms"  # of timings: every call, which no report shows
OF_RUNS = ("method", "label", *NETWORK, "data_fingerprint", "recipe_version")
# Said elsewhere in a row, or without influence on the numbers: no part of a variant's name.
NOT_A_VARIANT = (
    *("data.root", "train.seed", "train.workers", "train.cpus_per_worker", "train.gpus_per_worker"),
    *("train.loader_workers", "train.max_failures", "method.name"),
    *("model.architecture", "model.backbone", "model.weights", "budget"),
)
# Keys that configurations of older releases lack, and what their runs did: no variant of those that say so.
ADDED = {"method.blend.teacher": "stage", "method.blend.when": "loop"}
# Keys that only these of our methods read: what the others have there changes nothing of them and is no variant. A plan
# whose blend was chosen anew still has the same `joint`, whose second seed may be asked for then.
_BLENDED = frozenset({"mlb", "mlb_masklabel"})
_TAUGHT = _BLENDED | {"oracle", "pseudo_label"}
READ_BY = {
    **{f"method.blend.{key}": _BLENDED for key in ("variant", "band", "feather", "veto", "when")},
    "method.blend.threshold": _BLENDED | {"pseudo_label"},
    "method.blend.teacher": _BLENDED | {"oracle"},
    "method.blend.refresh": _TAUGHT,
    **dict.fromkeys(("method.blended_weight", "method.student_start"), _TAUGHT),
    "method.confidence": frozenset({"pseudo_label"}),
    **dict.fromkeys(("method.consistency_weight", "method.consistency_ramp"), frozenset({"mean_teacher"})),
    "train.teacher_steps": _TAUGHT | {"matte_then_seg"},
    "method.matte_share": _TAUGHT | {"joint", "mean_teacher"},
}
METHODS = _TAUGHT | {"joint", "mean_teacher", "matte_then_seg", "seg_only", "matte_only"}


@dataclass(frozen=True)
class Frames:
    """The store's tables; `runs` carry `label`, the method's name and what sets a variant apart.

    `runs` has three columns more than the store's: `label`, `variant` (the dotted configuration keys that vary within
    the run's method, and its values; {} where none vary) and `external` (predictions of others, whose labels nobody
    knows; `method` and `label` are then their display name). `scores` holds those of `SCORES` of finished runs only,
    with `OF_RUNS`, `seed`, `mattes` and `masks` of their runs; its texts are categoricals, as it may hold millions of
    rows: group it by codes, never row by row. `speed` lacks every call's time. Sample pictures, which
    may be gigabytes, stay in the store: see `pictures`. `notes` are sentences about what was left out.
    """

    root: str
    runs: pd.DataFrame
    scores: pd.DataFrame
    speed: pd.DataFrame
    epochs: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    def pictures(self, run_ids: Iterable[str]) -> pd.DataFrame:
        """The rows of `samples` of some runs, with their pictures: `png`."""
        return Store(self.root).read("samples", runs=frozenset(run_ids))


def load(root: str | Path) -> Frames:
    """Read the store at `root` (a local path or a URI).

    Raises UserError where there is none, nothing in it, a damaged file, or one of a newer schema.
    """
    store = Store(root)
    tables = {
        name: store.read(name, [column for column in SCHEMAS[name].names if column != LARGE])
        for name in ("runs", "speed", "epochs")
    }
    scores = store.read("scores", SCORES, categories=True)
    if scores.empty and all(frame.empty for frame in tables.values()):
        raise UserError(f"the store {root} is empty; fill it first, for example with: python -m sweeps run quickstart")
    notes: list[str] = []
    runs = named(tables["runs"])
    return Frames(
        root=str(root),
        runs=runs,
        scores=_finished_scores(scores, runs, notes),
        speed=tables["speed"],
        epochs=tables["epochs"],
        notes=notes,
    )


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


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` of the store with `label`, `variant` and `external`, and numbers of labels as floats."""
    external = runs["run_id"].str.startswith(EXTERNAL).to_numpy(dtype=bool)
    methods = [str(method) if pd.notna(method) else "unnamed" for method in runs["method"]]
    methods = _told_apart(methods, list(runs["run_id"]), external)
    variants = _variants(runs, methods, external)
    labels = [
        ", ".join([method, *(f"{key.rsplit('.', 1)[-1]}={_plain(value)}" for key, value in variant.items())])
        for method, variant in zip(methods, variants, strict=True)
    ]
    runs = runs.assign(method=methods, label=labels, variant=pd.Series(variants, runs.index, object), external=external)
    for column in ("mattes", "masks"):
        runs[column] = runs[column].astype("Float64").astype("float64")
    return runs


def _told_apart(methods: list[str], run_ids: list[str], external: Iterable[bool]) -> list[str]:
    """The names of predictions made elsewhere as no own method and no others of them are called."""
    own = {method for method, foreign in zip(methods, external, strict=True) if not foreign}
    seen: dict[str, int] = {}
    for method, foreign in zip(methods, external, strict=True):
        seen[method] = seen.get(method, 0) + foreign
    result = []
    for method, run_id, foreign in zip(methods, run_ids, external, strict=True):
        if foreign and seen[method] > 1:
            method += f" {run_id.removeprefix(EXTERNAL)[:6]}"
        result.append(f"{method} (external)" if foreign and method in own else method)
    return result


def _variants(runs: pd.DataFrame, methods: list[str], external: Iterable[bool]) -> list[dict[str, Any]]:
    """Of each run the configuration keys that a sweep varied within its method, more than seeds and labels."""
    flat = [
        {} if foreign else flatten(as_document(text)) for text, foreign in zip(runs["config"], external, strict=True)
    ]
    documents = [
        {
            key: value
            for key, value in document.items()
            if not _is_no_variant(method, key) or (key == "budget.masks" and unpriced)
        }
        for method, document, unpriced in zip(methods, flat, _varied_for_nothing(runs, flat), strict=True)
    ]
    values: dict[str, dict[str, set[str]]] = {}
    told: dict[str, int] = {}
    for method, document in zip(methods, documents, strict=True):
        told[method] = told.get(method, 0) + bool(document)
        for key, value in document.items():
            values.setdefault(method, {}).setdefault(key, set()).add(json.dumps(value))
    lacking: dict[str, set[str]] = {}
    for method, document in zip(methods, documents, strict=True):
        if document:
            absent = values[method].keys() - document.keys()
            for key in absent & ADDED.keys():
                document[key] = ADDED[key]
                values[method][key].add(json.dumps(ADDED[key]))
            lacking.setdefault(method, set()).update(absent - ADDED.keys())
    varied = {
        method: sorted(key for key, seen in keys.items() if len(seen) + (key in lacking.get(method, ())) > 1)
        for method, keys in values.items()
    }
    return [
        {key: document.get(key) for key in varied.get(method, ())}
        for method, document in zip(methods, documents, strict=True)
    ]


def is_unread(method: str, key: str) -> bool:
    """Whether one of our methods does not read a key; of another release's method all that it has counts."""
    return method in METHODS and method not in READ_BY.get(key, METHODS)


def _is_no_variant(method: str, key: str) -> bool:
    return is_unread(method, key) or any(key == part or key.startswith(f"{part}.") for part in NOT_A_VARIANT)


def _varied_for_nothing(runs: pd.DataFrame, flat: list[dict[str, Any]]) -> list[bool]:
    """Runs that differ from another in how many pictures they saw without their masks: that costs no label, but is no seed."""
    seen = pd.Series([document.get("budget.masks") for document in flat], runs.index, dtype=object)
    groups = runs.assign(seen=seen).groupby(["method", "mattes", "seed"], dropna=False)["seen"]
    return list((runs["masks"] == 0).fillna(False) & (groups.transform("nunique") > 1))


def _finished_scores(scores: pd.DataFrame, runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The rows of finished runs with what their runs say of them."""
    finished = (runs["status"] == FINISHED).to_numpy()
    unknown = finished & (runs["mattes"].isna() | runs["masks"].isna()).to_numpy() & ~runs["external"].to_numpy()
    if unknown.any():
        notes.append(
            f"Left out of comparisons: finished runs that do not say which labels they used ({unknown.sum()})."
        )
    scored = scores["run_id"].cat.categories
    place = pd.Index(runs["run_id"]).get_indexer(scored)  # of each scored run among the runs, -1 for strangers
    if unfinished := int((~finished[place[place >= 0]]).sum()):
        notes.append(f"Left out of every mean: scores of runs that did not finish ({unfinished}).")
    if strangers := sum(not name.startswith(TEACHER) for name in scored[place < 0]):
        notes.append(f"Left out of comparisons: scores whose runs the store does not hold ({strangers}).")
    if unscored := int((finished & ~runs["run_id"].isin(scored)).sum()):
        notes.append(f"In no comparison: finished runs without a score ({unscored}).")
    counts = np.append(finished & ~unknown, False)[place]
    if not counts.all():
        scores = scores[counts[scores["run_id"].cat.codes.to_numpy()]].reset_index(drop=True)
        scores["run_id"] = scores["run_id"].cat.remove_unused_categories()
    own = runs.iloc[pd.Index(runs["run_id"]).get_indexer(scores["run_id"].cat.categories)]
    codes = scores["run_id"].cat.codes.to_numpy()
    for column in OF_RUNS:
        scores[column] = _spread(pd.Categorical(own[column]), codes)
    for column in ("seed", "mattes", "masks"):
        scores[column] = own[column].to_numpy(dtype=np.float64, na_value=np.nan)[codes]
    return scores


def _spread(of_runs: pd.Categorical, codes: np.ndarray) -> pd.Categorical:
    return pd.Categorical.from_codes(of_runs.codes[codes], dtype=of_runs.dtype, validate=False)


def _plain(value: object) -> str:
    return "unset" if value is None else json.dumps(value).strip('"')


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:12]
