"""From the store to frames: which runs count, what they are called, and what was left out.

Rows are averaged or compared only on one `GROUND` (data set, protocol, convention, truth, version of the measures,
data, version of the recipes) and with one `NETWORK` (architecture, backbone, first weights). Runs that did not finish
never enter a mean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.comparable import merge_versions
from bench.graded import grades_text
from bench.store import EXTERNAL, FINISHED, PEER, SCHEMAS, TEACHER, Store
from bench.store import document as as_document
from reports.document import counted
from wsshm import plugins
from wsshm.errors import UserError
from wsshm.keys import EXECUTION
from wsshm.measures import MEASURES
from wsshm.methods import is_unread

GROUND = ("dataset", "protocol", "convention", "truth", "metric_version", "data_fingerprint", "recipe_version")
NETWORK = ("architecture", "backbone", "weights")
ARCHITECTURE = "model.architecture"
WHOLE = (
    ARCHITECTURE,
    "budget.masks",
    "data.procedural.natural",
)  # keys whose value may be a mapping, which is one value
REFERENCE = "mlb"
ELSEWHERE = (EXTERNAL, PEER)  # how the run_ids begin of predictions made elsewhere and of somebody else's models
OUTSIDE = "external"  # the protocol of both here: rules that no run of ours has, so that they stand in one comparison
VALUES = tuple(name for name, measure in MEASURES.items() if measure.reported or measure.further)
EXECUTED = ("engine", "precision")
SCORES = (
    "run_id",
    "dataset",
    "image",
    "protocol",
    "convention",
    "region",
    "truth",
    "metric_version",
    *EXECUTED,
    *VALUES,
)
LARGE = ("samples_ms", "process_calls")  # of timings: every call, which no report shows
OF_RUNS = ("method", "label", *NETWORK, "data_fingerprint", "recipe_version")
# Said elsewhere in a row, or without influence on the numbers: no part of a variant's name.
NOT_A_VARIANT = (
    *("data.root", "train.seed", *EXECUTION, "method.name"),
    *("model.architecture", "model.backbone", "model.weights", "budget"),
)
# Keys that configurations of older releases lack, and what their runs did: no variant of those that say so.
ADDED = {"method.blend.teacher": "stage", "method.blend.when": "loop"}


@dataclass(frozen=True)
class Frames:
    """The store's tables; `runs` carry `label`, the method's name and what sets a variant apart.

    `runs` has three columns more than the store's: `label`, `variant` (the dotted configuration keys that vary within
    the run's method, and its values; {} where none vary) and `external` (predictions and models of others, whose labels
    nobody knows; `method` and `label` are then their display name). `scores` holds those of `SCORES` of finished runs only,
    with `OF_RUNS`, `seed`, `mattes` and `masks` of their runs; its texts are categoricals, as it may hold millions of
    rows: group it by codes, never row by row. `speed` lacks every call's time, and has no timing of others' models:
    those are `peer_speed`. Sample pictures, which may be gigabytes, stay in the store: see `pictures`. `notes` are
    sentences about what was left out. `executed` are scores of networks in other engines or precisions than eager PyTorch
    in fp32, which no comparison of methods has.
    """

    root: str
    runs: pd.DataFrame
    scores: pd.DataFrame
    speed: pd.DataFrame
    epochs: pd.DataFrame
    peer_speed: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: list[str] = field(default_factory=list)
    executed: pd.DataFrame = field(default_factory=pd.DataFrame)

    def pictures(self, run_ids: Iterable[str]) -> pd.DataFrame:
        """The rows of `samples` of some runs, with their pictures: `png`."""
        return Store(self.root).read("samples", runs=frozenset(run_ids))


def load(root: str | Path) -> Frames:
    """Read the store at `root` (a local path or a URI).

    Raises UserError if it is missing or empty, or has a damaged file or one of a newer schema.
    """
    store = Store(root)
    tables = {
        name: store.read(name, [column for column in SCHEMAS[name].names if column not in LARGE])
        for name in ("runs", "speed", "epochs")
    }
    scores, executed = _by_engine(store.read("scores", SCORES, categories=True))
    foreign = _foreign(store)
    if scores.empty and all(frame.empty for frame in tables.values()):
        beside = f" ({foreign})" if foreign else ""
        raise UserError(
            f"the store {root} is empty{beside}; fill it first, for example with: wsshm sweep run quickstart"
        )
    notes = [f"Left out: {foreign}."] if foreign else []
    if unknown := sorted(name.removeprefix("scores.") for name in store.unknown if name.startswith("scores.")):
        notes.append(
            f"Left out: the scores' {', '.join(unknown)}, as no measure known here has that name ({plugins.VARIABLE} names"
            " files of further ones)."
        )
    runs = named(tables["runs"])
    [scores], merged = merge_versions(_finished_scores(scores, runs, notes))
    speed = tables["speed"]
    theirs = is_peer(speed["run_id"])
    own, peer_speed = (speed[rows].reset_index(drop=True) for rows in (~theirs, theirs))
    return Frames(str(root), runs, scores, own, tables["epochs"], peer_speed, [*notes, *merged], executed)


def is_peer(run_ids: pd.Series) -> NDArray[np.bool_]:
    """Whether each is the id of somebody else's model."""
    return run_ids.astype(str).str.startswith(PEER).to_numpy(dtype=bool)


def _foreign(store: Store) -> str:
    """What lies beside the suite's own files in the folders of the tables, in a few words; "" where nothing does."""
    names = sorted(store.foreign)
    some = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    return f"{counted(len(names), 'file')} not written by this suite: {some}" if names else ""


def differing(keys: list[dict[str, str]], always: str) -> list[str]:
    """A short title for each of `keys`: the value of `always`, and what tells it from the others."""
    varying = [name for name in keys[0] if name != always and len({key[name] for key in keys}) > 1] if keys else []
    return [", ".join([key[always], *(f"{name} {_short(key[name])}" for name in varying)]) for key in keys]


def flatten(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`; an architecture stays one value, with its options or without, and so do numbers of
    masks by grade.
    """
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict) and f"{prefix}{key}" not in WHOLE:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def named(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` of the store with `label`, `variant` and `external`, numbers of labels as floats, and `grades`: which masks are
    of which grade (`wsshm.grades.text_of`), empty where all are of the default one.
    """
    external = runs["run_id"].str.startswith(ELSEWHERE).to_numpy(dtype=bool)
    methods = [str(method) if pd.notna(method) else "unnamed" for method in runs["method"]]
    methods = _distinct_names(methods, list(runs["run_id"]), external)
    variants = _variants(runs, methods, external)
    labels = [variant_label(method, variant) for method, variant in zip(methods, variants, strict=True)]
    runs = runs.assign(method=methods, label=labels, variant=pd.Series(variants, runs.index, object), external=external)
    for column in ("mattes", "masks"):
        runs[column] = runs[column].astype("Float64").astype("float64")
    return runs.assign(grades=pd.Series(grades_text(runs), runs.index, object))


def variant_label(method: str, variant: dict[str, Any]) -> str:
    """A method's variant as every table names it: `mlb, teacher=average, threshold=0.02`."""
    return ", ".join([method, *settings(variant)])


def settings(variant: dict[str, Any]) -> list[str]:
    """What sets a variant apart, each as its table names it: `threshold=0.02`."""
    return [f"{key.rsplit('.', 1)[-1]}={_plain(value)}" for key, value in variant.items()]


def _distinct_names(methods: list[str], run_ids: list[str], external: Iterable[bool]) -> list[str]:
    """Method names, with a suffix for predictions made elsewhere that share theirs with a method or other predictions."""
    own = {method for method, foreign in zip(methods, external, strict=True) if not foreign}
    seen = Counter(method for method, foreign in zip(methods, external, strict=True) if foreign)
    result = []
    for method, run_id, foreign in zip(methods, run_ids, external, strict=True):
        if foreign and seen[method] > 1:
            method += f" {run_id.partition('-')[2][:6]}"
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
    of_method: dict[str, list[dict[str, Any]]] = {}
    for method, document in zip(methods, documents, strict=True):
        if document:
            of_method.setdefault(method, []).append(document)
    varied: dict[str, list[str]] = {}
    for method, own in of_method.items():
        keys = {key for document in own for key in document}
        for document in own:
            document |= {key: ADDED[key] for key in ADDED.keys() & keys - document.keys()}
        texts = [{key: json.dumps(value) for key, value in document.items()} for document in own]
        varied[method] = sorted(key for key in keys if len({text.get(key) for text in texts}) > 1)
    return [
        {key: document.get(key) for key in varied.get(method, ())}
        for method, document in zip(methods, documents, strict=True)
    ]


def _is_no_variant(method: str, key: str) -> bool:
    """Whether another value of a key makes no variant.

    A key that the method does not read makes none: if a plan's blend is changed, its `joint` stays the same, and its next
    seeds join the earlier ones.
    """
    return is_unread(method, key) or any(key == part or key.startswith(f"{part}.") for part in NOT_A_VARIANT)


def _varied_for_nothing(runs: pd.DataFrame, flat: list[dict[str, Any]]) -> list[bool]:
    """Whether a run differs from others only in how many pictures it saw without their masks: no label cost, but not a seed."""
    seen = pd.Series([json.dumps(document.get("budget.masks")) for document in flat], runs.index, dtype=object)
    groups = runs.assign(seen=seen).groupby(["method", "mattes", "seed"], dropna=False)["seen"]
    return list((runs["masks"] == 0).fillna(False) & (groups.transform("nunique") > 1))


def _by_engine(scores: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The scores of networks in eager PyTorch and fp32, and those in other engines or precisions."""
    other = scores[list(EXECUTED)].notna().any(axis=1).to_numpy()
    if not other.any():
        return scores.drop(columns=list(EXECUTED)), scores[other]
    usual = scores[~other].reset_index(drop=True).drop(columns=list(EXECUTED))
    for name in usual.select_dtypes("category"):
        usual[name] = usual[name].cat.remove_unused_categories()
    return usual, scores[other].reset_index(drop=True)


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
        notes.append(f"Left out of comparisons: scores of runs that are not in the store ({strangers}).")
    if unscored := int((finished & ~runs["run_id"].isin(scored)).sum()):
        notes.append(f"Left out of comparisons: finished runs without a score ({unscored}).")
    counts = np.append(finished & ~unknown, False)[place]
    if not counts.all():
        scores = scores[counts[scores["run_id"].cat.codes.to_numpy()]].reset_index(drop=True)
        scores["run_id"] = scores["run_id"].cat.remove_unused_categories()
    _one_protocol(scores)
    own = runs.iloc[pd.Index(runs["run_id"]).get_indexer(scores["run_id"].cat.categories)]
    codes = scores["run_id"].cat.codes.to_numpy()
    for column in OF_RUNS:
        of_runs = pd.Categorical(own[column])
        scores[column] = pd.Categorical.from_codes(of_runs.codes[codes], dtype=of_runs.dtype, validate=False)
    for column in ("seed", "mattes", "masks"):
        scores[column] = own[column].to_numpy(dtype=np.float64, na_value=np.nan)[codes]
    return scores


def _one_protocol(scores: pd.DataFrame) -> None:
    """Give peers, each of which has an input rule of its own, the protocol of predictions made elsewhere, in place."""
    of_peer = is_peer(scores["run_id"].cat.categories.to_series())[scores["run_id"].cat.codes.to_numpy()]
    if of_peer.any():
        protocols = scores["protocol"].cat
        if OUTSIDE not in protocols.categories:
            scores["protocol"] = protocols.add_categories([OUTSIDE])
        scores.loc[of_peer, "protocol"] = OUTSIDE
        scores["protocol"] = scores["protocol"].cat.remove_unused_categories()


def _plain(value: object) -> str:
    return "default" if value is None else json.dumps(value).strip('"')


def _short(value: str) -> str:
    return value if len(value) <= 24 else value[:12]
