"""Comparison of two stores (two sweeps, machines or commits): the same runs, the same images, the same models.

A run of one store is matched with that of the other which has the same method, network, labels and seed. Where a store
holds several such runs, since its sweep varied more than that, what was varied must be equal too.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.comparable import merge_versions
from bench.statistics import NOT_SIGNIFICANT
from bench.store import document as as_document
from reports import timings
from reports.document import (
    Cell,
    Column,
    Table,
    counted,
    decimals,
    interval_column,
    listed,
    masks_column,
    numbers,
    texts,
    tone_of,
)
from reports.load import ADDED, NETWORK, Frames, flatten, variant_label
from reports.measures import RegionalMeasure
from reports.per_image import OF_SCORES, of_run, paired_differences
from wsshm.errors import UserError
from wsshm.keys import EXECUTION
from wsshm.methods import is_unread

KEY = ("method", *NETWORK, "mattes", "masks", "grades", "seed")
DATA = ("data_fingerprint", "recipe_version")  # what a store with several data sets varies, too
SAME_MODEL = ("model", "architecture", "backbone", "engine", "precision", "layout", "batch", "height", "width", "scope")
# Keys of a configuration that change no number: where and how a run was executed.
ELSEWHERE = ("data.root", *EXECUTION)
OF_CELLS = ["label", "seeds", "images", "run_ids_a", "run_ids_b", "a", "b", "difference", "low", "high", "verdict"]
NAMED = 6  # keys of configurations
VERDICT = texts("B is", "verdict", tone=lambda row: tone_of(row["verdict"]))


def compared(
    a: Frames, b: Frames, measures: list[RegionalMeasure], any_data: bool = False
) -> tuple[list[Table], list[str]]:
    """All tables of two stores and sentences on what could not be matched. Raises UserError where nothing could."""
    scores, versions = merge_versions(a.scores, b.scores)
    a, b = replace(a, scores=scores[0]), replace(b, scores=scores[1])
    tables, notes = errors(a, b, measures, any_data)
    speed, further = speeds(a, b)
    tables, notes = [*tables, *speed], [*notes, *versions, *further]
    if not tables:
        what = f"nothing to compare: {a.root} and {b.root} share no scored run and no timing"
        raise UserError(f"{what} ({' '.join(notes)})" if notes else what)
    return tables, notes


def match(a: Frames, b: Frames) -> tuple[pd.DataFrame, list[str]]:
    """Pairs of finished and scored runs of two stores that are the same but for where or by which code they were made.

    Each run is in one pair at most. A row a pair: the columns of KEY, `variant`, `label`, run_a and run_b. Also notes on
    what could not be matched and why.
    """
    varied = {key for frames in (a, b) for variant in frames.runs["variant"] for key in variant}
    varied |= {key for frames in (a, b) for key in DATA if len(frames.runs[key].dropna().unique()) > 1}
    sides = [_runs(frames, varied) for frames in (a, b)]
    several = {cell for side in sides for cell in side.loc[side["key"].duplicated(), "cell"]}
    for side in sides:
        side["variant"] = side["variant"].where(side["cell"].isin(several), "{}")
        side["full"] = side["key"] + side["variant"]
    left, right = (side.drop_duplicates("full", keep=False) for side in sides)
    pairs = left.merge(right[["full", "run_id", "config"]], on="full", suffixes=("_a", "_b"))
    pairs = pairs.rename(columns={"run_id_a": "run_a", "run_id_b": "run_b"})
    notes = []
    for name, side, other, paired in (("A", *sides, "run_a"), ("B", *sides[::-1], "run_b")):
        lone = side[~side["run_id"].isin(pairs[paired])]
        known = lone["key"].isin(set(other["key"]))
        notes += _unmatched(lone[~known], f"only in {name}: the other store has no such run")
        notes += _unmatched(lone[known], f"of {name} not matched: their settings differ from those in the other store")
    differ = {
        key
        for c, d in zip(pairs["config_a"], pairs["config_b"], strict=True)
        for key in c.keys() | d.keys()
        if key not in ELSEWHERE and c.get(key) != d.get(key)
    }
    if differ:
        notes.append(f"The configurations of matched runs differ in {listed(sorted(differ), NAMED)}.")
    pairs["label"] = [_label(row, a, b) for row in pairs.to_dict("records")]
    return pairs[[*KEY, "variant", "label", "run_a", "run_b"]].reset_index(drop=True), notes


def errors(
    a: Frames, b: Frames, measures: list[RegionalMeasure], any_data: bool = False
) -> tuple[list[Table], list[str]]:
    """A table for each measure, a row for each cell of matched runs, and what could not be compared.

    Values are averaged over the seeds that both stores have, then paired image by image; verdicts are of B against A,
    and their intervals hold for all rows of a table together. Data of another fingerprint are not paired unless
    `any_data`: equal ids may then be other pictures.
    """
    pairs, notes = match(a, b)
    if pairs.empty:
        return [], [*notes, "No run of A has a counterpart in B."]
    ours, theirs = _grounds(a), _grounds(b)
    grounds = [dict(zip(OF_SCORES, row, strict=True)) for row in ours if row in theirs]
    if not grounds:
        said = [", ".join(f"{row[0]} ({', '.join(row[1:])})" for row in rows) for rows in (ours, theirs)]
        return [], [
            *notes,
            f"The matched runs were not scored in the same way (data set, protocol, convention, truth, version of the "
            f"measures): A has {said[0]}; B has {said[1]}.",
        ]
    kept, further = _same_data(a, b, pairs, any_data)
    made = [_one(a, b, kept, ground, measure, len(grounds) > 1) for ground in grounds for measure in measures]
    return [table for table in made if table is not None], [*notes, *further]


def speeds(a: Frames, b: Frames) -> tuple[list[Table], list[str]]:
    """Timings of the same model under the same conditions side by side, B's latency over A's: one table, or none.

    Each ratio's interval is that of the two medians' own 95 % intervals, end against end, and so at least as wide as
    it must be. Machines may differ; where both stores have the same one it is compared with itself alone.
    """
    left, right = (_latest(frames.speed[frames.speed["status"] == "ok"]) for frames in (a, b))
    if left.empty or right.empty:
        return [], []
    common = set(left["device"]) & set(right["device"])
    on = [*SAME_MODEL, "device"] if common else list(SAME_MODEL)
    pairs = left.merge(right, on=on, suffixes=("_a", "_b"))
    lone = [max(0, len(side) - len(pairs)) for side in (left, right)]
    where = "device, model and conditions" if common else "model and conditions"
    said = f"Timings without a counterpart by {where}: {lone[0]} of A, {lone[1]} of B."
    notes = [said] if any(lone) else []
    if pairs.empty:
        return [], notes
    if common:
        pairs["device_a"] = pairs["device_b"] = pairs["device"]
    pairs["ratio"] = pairs["p50_ms_b"] / pairs["p50_ms_a"]
    pairs["low"] = pairs["median_low_ms_b"] / pairs["median_high_ms_a"]
    pairs["high"] = pairs["median_high_ms_b"] / pairs["median_low_ms_a"]
    # Without an interval neither comparison holds.
    pairs["verdict"] = np.select([pairs["high"] < 1, pairs["low"] > 1], ["faster", "slower"], NOT_SIGNIFICANT)
    kept = [*SAME_MODEL, "device_a", "device_b", "p50_ms_a", "p50_ms_b", "ratio", "low", "high", "verdict"]
    return [_speed_table(pairs.sort_values([*SAME_MODEL, "device_a", "device_b"])[kept].reset_index(drop=True))], notes


def _runs(frames: Frames, varied: set[str]) -> pd.DataFrame:
    """Scored runs with `key` (all that must be equal; `cell` leaves out the seed), what of their `config` the method reads,
    and `variant`: JSON of its `varied` keys.
    """
    runs = frames.runs[frames.runs["run_id"].isin(list(frames.scores["run_id"].unique()))]
    flat = [
        {key: value for key, value in flatten(as_document(text)).items() if not is_unread(method, key)}
        for method, text in zip(runs["method"], runs["config"], strict=True)
    ]
    known = [config | row for config, row in zip(flat, runs[list(DATA)].to_dict("records"), strict=True)]
    result = runs[[*KEY, "label", "run_id"]].assign(
        cell=[json.dumps([_plain(value) for value in row]) for row in runs[list(KEY[:-1])].itertuples(index=False)],
        variant=[json.dumps({key: config.get(key) for key in sorted(varied)}) for config in known],
    )
    result["key"] = result["cell"] + [f" {_plain(seed)}" for seed in result["seed"]]
    result["config"] = pd.Series(flat, result.index, dtype=object)
    return result.reset_index(drop=True)


def _label(pair: dict[str, Any], a: Frames, b: Frames) -> str:
    """The variant's name, by all keys that either store varied within its method; both names where they differ."""
    method, data = str(pair["method"]), {k: v for k, v in json.loads(pair["variant"]).items() if k in DATA}
    own = [variant for f in (a, b) for variant in f.runs.loc[f.runs["method"] == method, "variant"]]
    keys = sorted({key for variant in own for key in variant})
    first, second = (
        variant_label(method, {key: pair[side].get(key, ADDED.get(key)) for key in keys} | data)
        for side in ("config_a", "config_b")
    )
    return first if first == second else f"{first} (A); {second} (B)"


def _plain(value: object) -> object:
    """Null for whatever stands for nothing."""
    return None if pd.isna(value) else value if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def _unmatched(runs: pd.DataFrame, why: str) -> list[str]:
    counts = runs["label"].value_counts().sort_index()
    names = [f"{label} ({count})" for label, count in counts.items()]
    more = f" and {len(names) - 6} other methods" if len(names) > 6 else ""
    return [f"{counted(len(runs), 'run')} {why}: {', '.join(names[:6])}{more}."] if names else []


def _grounds(frames: Frames) -> list[tuple[str, ...]]:
    """What the scores are of, each combination of `OF_SCORES` once."""
    distinct = frames.scores[list(OF_SCORES)].drop_duplicates().astype(object)
    return sorted(map(tuple, distinct.where(distinct.notna(), "unknown").astype(str).to_numpy()))


def _same_data(a: Frames, b: Frames, pairs: pd.DataFrame, any_data: bool) -> tuple[pd.DataFrame, list[str]]:
    """The pairs whose data are the same, and sentences on what differs."""
    kept = [*DATA, "git_commit", "workers"]
    facts = [frames.runs.set_index("run_id")[kept].astype(object).fillna("unknown").astype(str) for frames in (a, b)]
    left, right = facts[0].loc[pairs["run_a"]], facts[1].loc[pairs["run_b"]]
    notes = []
    same = left["data_fingerprint"].to_numpy() == right["data_fingerprint"].to_numpy()
    if other := int((~same).sum()):
        notes.append(
            f"{other} pairs are from data with other fingerprints: equal ids may be other pictures."
            if any_data
            else f"{other} pairs of runs are left out: the fingerprints of their data differ; --any-data pairs their images "
            "by id anyway."
        )
        pairs = pairs if any_data else pairs[same]
    recipes = sorted(set(left["recipe_version"])), sorted(set(right["recipe_version"]))
    if recipes[0] != recipes[1]:
        notes.append(f"The recipes' versions differ: A {', '.join(recipes[0])}, B {', '.join(recipes[1])}.")
    commits = [", ".join(sorted({commit[:8] for commit in side["git_commit"]})) for side in (left, right)]
    if commits[0] != commits[1]:
        notes.append(f"Commits: A {commits[0]}, B {commits[1]}.")
    if other := int((left["workers"].to_numpy() != right["workers"].to_numpy()).sum()):
        numbers = [", ".join(sorted(set(side["workers"]))) for side in (left, right)]
        notes.append(
            f"{other} pairs were trained by different numbers of workers (A {numbers[0]}, B {numbers[1]}), which differ as "
            "two seeds do."
        )
    return pairs, notes


def _one(
    a: Frames, b: Frames, pairs: pd.DataFrame, ground: dict[str, str], measure: RegionalMeasure, several: bool
) -> Table | None:
    left = of_run(a.scores, ground, pairs["run_a"], measure)
    right = of_run(b.scores, ground, pairs["run_b"], measure)
    pairs = pairs[pairs["run_a"].isin(left.columns) & pairs["run_b"].isin(right.columns)]
    rows, sides = [], []
    by = [name for name in (*KEY, "variant") if name != "seed"]
    for key, part in pairs.groupby(by, sort=False, dropna=False):
        rows.append(dict(zip(by, key, strict=True)) | {"label": part["label"].iloc[0], "seeds": len(part)})
        rows[-1] |= {"run_ids_a": " ".join(part["run_a"]), "run_ids_b": " ".join(part["run_b"])}
        of_b, of_a = right[list(part["run_b"])], left[list(part["run_a"])]
        sides.append((of_b.mean(axis=1, skipna=False), of_a.mean(axis=1, skipna=False)))
    # B is judged, so it is the first side of each pair, and A the one that it is compared with.
    found = paired_differences(sides, measure.lower_is_better).rename(columns={"a": "b", "b": "a"})
    frame = pd.DataFrame(rows).join(found)
    frame = frame[frame["images"] > 0].reset_index(drop=True)
    if frame.empty:
        return None
    frame = frame[[*by, *OF_CELLS]].assign(measure=measure.name, **ground)
    where = f"{measure.header} ({measure.where}) on {ground['dataset']}"
    where += f", {ground['protocol']}, {ground['convention']}" if several else ""
    return _error_table(frame, measure, where)


def _error_table(frame: pd.DataFrame, measure: RegionalMeasure, where: str) -> Table:
    places = max(1, decimals([*frame["a"], *frame["b"]]))
    several = len(frame["architecture"].dropna().unique()) > 1

    def network(row: dict) -> str:
        names = [row[key] for key in ("architecture", "backbone") if pd.notna(row[key])]
        return ", ".join(names[0 if several else -1 :])

    columns = [
        *(texts("method", "label"), Column("backbone", network)),
        *(numbers("mattes"), masks_column(), numbers("seeds"), numbers("images")),
        *(numbers(f"{name} {measure.arrow}", name.lower(), places, measure.unit) for name in "AB"),
        numbers("B − A", "difference", places, measure.unit, sign=True),
        interval_column("95 % interval", places, sign=True),
        VERDICT,
    ]
    caption = (
        "B compared with A, averaged over seeds, image by image. The intervals hold for all rows together; a "
        "single image has none."
    )
    return Table(f"compare-{measure.name}", caption, columns, frame, title=where)


def _latest(timed: pd.DataFrame) -> pd.DataFrame:
    kept = [*SAME_MODEL, "device", "p50_ms", "median_low_ms", "median_high_ms"]
    timed = timed.sort_values("started", kind="stable").drop_duplicates([*SAME_MODEL, "device"], keep="last")
    for end in ("median_low_ms", "median_high_ms"):
        timed[end] = timed[end].astype(float)
    return timed[kept]


def _speed_table(frame: pd.DataFrame) -> Table:
    def conditions(row: dict) -> str:
        said = f"{timings.scope(row)}, {row['engine']}, {row['precision']}, {row['layout']}, batch {row['batch']:.0f}, "
        said += f"{row['width']:.0f}×{row['height']:.0f}"
        return said if row["device_a"] == row["device_b"] else f"{said}; A {row['device_a']}, B {row['device_b']}"

    def latency(side: str) -> Column:
        def show(row: dict) -> Cell:
            return numbers("", f"p50_ms_{side}", decimals([row["p50_ms_a"], row["p50_ms_b"]])).cell(row)

        return Column(side.upper(), show, True, "ms")

    columns = [texts("model"), Column("conditions", conditions), latency("a"), latency("b")]
    columns += [numbers("B / A", "ratio", 3), interval_column("interval", 3), VERDICT]
    caption = (
        "B over A, below 1 is faster. The interval combines the ends of the medians' 95 % intervals, end against end, so "
        "that it holds 1 where these overlap. A row of several processes covers how processes differ; one of a single "
        "process covers its calls alone, and the same model in another process differs by a few percent."
    )
    return Table("compare-speed", caption, columns, frame, title="Latency (p50) of the same models")
