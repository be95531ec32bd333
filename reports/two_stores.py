"""Two stores against each other: two sweeps, two machines, two commits; the same runs, the same images, the same models.

A run of one store is matched with that of the other which has the same method, network, labels and seed. Where a store
holds several such runs, since its sweep varied more than that, what was varied must be equal too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.document import Cell, Column, Table, between, decimals, listed, number
from reports.load import NETWORK, Frames, as_document, flatten, is_unread
from reports.measures import REGIONS, Measure
from reports.per_image import OF_SCORES, of_run, told_apart
from wsshm.errors import UserError

KEY = ("method", *NETWORK, "mattes", "masks", "seed")
DATA = ("data_fingerprint", "recipe_version")  # what a store with several data sets varies, too
SAME_MODEL = ("model", "architecture", "backbone", "engine", "precision", "layout", "batch", "height", "width", "scope")
# Keys of a configuration that change no number: where and how a run was executed.
ELSEWHERE = (
    *("data.root", "train.workers", "train.cpus_per_worker", "train.gpus_per_worker"),
    *("train.loader_workers", "train.max_failures"),
)
NAMED = 6  # keys of configurations
NEITHER = "nothing to compare: {a} and {b} share no {what}"
TONES = {"better": "better", "worse": "worse", "not told apart": "even"}


@dataclass(frozen=True)
class Matched:
    """Finished and scored runs of A and B that are the same but for where or by which code they were made.

    `frame`: a row a pair, the columns of KEY, `variant` and run_a, run_b. `notes` say what could not be matched and why.
    """

    frame: pd.DataFrame
    notes: list[str]


def match(a: Frames, b: Frames) -> Matched:
    """Pair the finished and scored runs of two stores; each run is in one pair at most."""
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
        notes += _unmatched(lone[~known], f"of {name} alone: the other store has no such run")
        notes += _unmatched(lone[known], f"of {name} not matched: the other store's differ in what was varied")
    differ = {key for c, d in zip(pairs["config_a"], pairs["config_b"], strict=True) for key in _differing(c, d)}
    if differ:
        notes.append(f"The configurations of matched runs differ in {listed(sorted(differ), NAMED)}.")
    return Matched(pairs[[*KEY, "variant", "run_a", "run_b"]].reset_index(drop=True), notes)


def errors(a: Frames, b: Frames, measures: list[Measure], any_data: bool = False) -> tuple[list[Table], list[str]]:
    """A table for each measure, a row for each cell of matched runs, and what could not be compared.

    Values are averaged over the seeds that both stores have, then paired image by image; verdicts are of B against A,
    and their intervals hold for all rows of a table together. Data of another fingerprint are not paired unless
    `any_data`: equal ids may then be other pictures.
    """
    matched = match(a, b)
    if matched.frame.empty:
        return [], [*matched.notes, "No run of A has its like in B."]
    grounds = _grounds(a, b)
    if not grounds:
        said = [", ".join(_ground_names(frames)) for frames in (a, b)]
        return [], [
            *matched.notes,
            f"The matched runs were not scored on common ground (data set, protocol, convention, truth, version of the "
            f"measures): A has {said[0]}; B has {said[1]}.",
        ]
    kept, notes = _same_data(a, b, matched.frame, any_data)
    tables = [
        table
        for ground in grounds
        for measure in measures
        if (table := _one(a, b, kept, ground, measure, len(grounds) > 1)) is not None
    ]
    return tables, [*matched.notes, *notes]


def speeds(a: Frames, b: Frames) -> tuple[Table | None, list[str]]:
    """Timings of the same model under the same conditions side by side, B's latency over A's.

    Each ratio's interval is that of the two medians' own 95 % intervals, end against end, and so at least as wide as
    it must be. Machines may differ; where both stores have the same one it is compared with itself alone.
    """
    timed = [frames.speed[frames.speed["status"] == "ok"] for frames in (a, b)]
    if any(part.empty for part in timed):
        return None, []
    left, right = (_latest(part) for part in timed)
    common = sorted(set(left["device"]) & set(right["device"]))
    on = [*SAME_MODEL, "device"] if common else list(SAME_MODEL)
    pairs = left.merge(right, on=on, suffixes=("_a", "_b"))
    lone = len(left) - len(pairs), len(right) - len(pairs)
    notes = []
    if any(count > 0 for count in lone):
        where = "device, model and conditions" if common else "model and conditions"
        notes.append(f"Timings without their like by {where}: {max(0, lone[0])} of A, {max(0, lone[1])} of B.")
    if pairs.empty:
        return None, notes
    if common:
        pairs["device_a"] = pairs["device_b"] = pairs["device"]
    pairs["ratio"] = pairs["p50_ms_b"] / pairs["p50_ms_a"]
    pairs["low"] = pairs["median_low_ms_b"] / pairs["median_high_ms_a"]
    pairs["high"] = pairs["median_high_ms_b"] / pairs["median_low_ms_a"]
    pairs["verdict"] = [_faster(low, high) for low, high in zip(pairs["low"], pairs["high"], strict=True)]
    kept = [*SAME_MODEL, "device_a", "device_b", "p50_ms_a", "p50_ms_b", "ratio", "low", "high", "verdict"]
    return _speed_table(pairs.sort_values([*SAME_MODEL, "device_a", "device_b"])[kept].reset_index(drop=True)), notes


def _runs(frames: Frames, varied: set[str]) -> pd.DataFrame:
    """Scored runs with `key` (all that must be equal; `cell` leaves out the seed), what of their `config` the method reads,
    and `variant`: JSON of its `varied` keys.
    """
    runs = frames.runs[frames.runs["run_id"].isin(list(frames.scores["run_id"].unique()))]
    flat = [
        {key: value for key, value in flatten(as_document(text)).items() if not is_unread(method, key)}
        for method, text in zip(runs["method"], runs["config"], strict=True)
    ]
    told = [config | row for config, row in zip(flat, runs[list(DATA)].to_dict("records"), strict=True)]
    result = runs[[*KEY, "label", "run_id"]].assign(
        cell=[json.dumps([_plain(value) for value in row]) for row in runs[list(KEY[:-1])].itertuples(index=False)],
        variant=[json.dumps({key: config.get(key) for key in sorted(varied)}) for config in told],
    )
    result["key"] = result["cell"] + [f" {_plain(seed)}" for seed in result["seed"]]
    result["config"] = pd.Series(flat, result.index, dtype=object)
    return result.reset_index(drop=True)


def _differing(a: dict[str, Any], b: dict[str, Any]) -> set[str]:
    return {key for key in a.keys() | b.keys() if key not in ELSEWHERE and a.get(key) != b.get(key)}


def _plain(value: object) -> object:
    """Null for whatever stands for nothing."""
    return None if pd.isna(value) else value if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def _unmatched(runs: pd.DataFrame, why: str) -> list[str]:
    if runs.empty:
        return []
    counts = runs["label"].value_counts().sort_index()
    names = [f"{label} ({count})" for label, count in counts.items()]
    more = f" and {len(names) - 6} other methods" if len(names) > 6 else ""
    return [f"{len(runs)} {'run' if len(runs) == 1 else 'runs'} {why}: {', '.join(names[:6])}{more}."]


def _ground_names(frames: Frames) -> list[str]:
    return sorted({f"{row[0]} ({', '.join(row[1:])})" for row in _ground_rows(frames)})


def _ground_rows(frames: Frames) -> list[tuple[str, ...]]:
    distinct = frames.scores[list(OF_SCORES)].drop_duplicates().astype(object)
    return sorted(map(tuple, distinct.where(distinct.notna(), "unknown").astype(str).to_numpy()))


def _grounds(a: Frames, b: Frames) -> list[dict[str, str]]:
    theirs = set(_ground_rows(b))
    return [dict(zip(OF_SCORES, row, strict=True)) for row in _ground_rows(a) if row in theirs]


def _same_data(a: Frames, b: Frames, pairs: pd.DataFrame, any_data: bool) -> tuple[pd.DataFrame, list[str]]:
    """The pairs whose data are the same, and sentences on what differs."""
    told = [*DATA, "git_commit"]
    facts = [frames.runs.set_index("run_id")[told].astype(object).fillna("unknown").astype(str) for frames in (a, b)]
    left, right = facts[0].loc[pairs["run_a"]], facts[1].loc[pairs["run_b"]]
    notes = []
    same = left["data_fingerprint"].to_numpy() == right["data_fingerprint"].to_numpy()
    if not same.all() and any_data:
        notes.append(
            f"{int((~same).sum())} pairs are of data with other fingerprints: equal ids may be other pictures."
        )
    elif not same.all():
        notes.append(
            f"{int((~same).sum())} pairs of runs are left out: the fingerprints of their data differ; --any-data pairs "
            "their images by id all the same."
        )
        pairs = pairs[same]
    recipes = sorted(set(left["recipe_version"])), sorted(set(right["recipe_version"]))
    if recipes[0] != recipes[1]:
        notes.append(f"The recipes' versions differ: A {', '.join(recipes[0])}, B {', '.join(recipes[1])}.")
    commits = [", ".join(sorted({commit[:8] for commit in side["git_commit"]})) for side in (left, right)]
    if commits[0] != commits[1]:
        notes.append(f"Commits: A {commits[0]}, B {commits[1]}.")
    return pairs, notes


def _one(
    a: Frames, b: Frames, pairs: pd.DataFrame, ground: dict[str, str], measure: Measure, several: bool
) -> Table | None:
    left = of_run(a.scores, ground, pairs["run_a"], measure)
    right = of_run(b.scores, ground, pairs["run_b"], measure)
    pairs = pairs[pairs["run_a"].isin(left.columns) & pairs["run_b"].isin(right.columns)]
    rows, columns, differences = [], [], []
    by = [name for name in (*KEY, "variant") if name != "seed"]
    for key, part in pairs.groupby(by, sort=False, dropna=False):
        first, second = left[list(part["run_a"])], right[list(part["run_b"])]
        both = pd.concat([first.mean(axis=1, skipna=False), second.mean(axis=1, skipna=False)], axis=1).dropna()
        if both.empty:
            continue
        rows.append(dict(zip(by, key, strict=True)) | {"seeds": len(part), "images": len(both)})
        rows[-1] |= {"run_ids_a": " ".join(part["run_a"]), "run_ids_b": " ".join(part["run_b"])}
        columns.append(both)
        differences.append((both[1] - both[0]).rename(None))
    if not rows:
        return None
    for row, both, said in zip(rows, columns, told_apart(differences, measure.lower_is_better), strict=True):
        row |= {
            "a": both[0].mean(),
            "b": both[1].mean(),
            "difference": said.mean,
            "low": said.low,
            "high": said.high,
            "verdict": said.verdict,
        }
    frame = pd.DataFrame(rows).assign(measure=measure.name, **ground)
    where = f"{measure.header} ({REGIONS[measure.region]}) on {ground['dataset']}"
    where += f", {ground['protocol']}, {ground['convention']}" if several else ""
    return _error_table(frame, measure, where)


def _error_table(frame: pd.DataFrame, measure: Measure, where: str) -> Table:
    places = max(1, decimals([*frame["a"], *frame["b"]]))
    columns = [Column("method", False), Column("backbone", False), Column("mattes"), Column("masks"), Column("seeds")]
    columns += [Column("images"), Column(f"A {measure.arrow}", unit=measure.unit)]
    columns += [Column(f"B {measure.arrow}", unit=measure.unit), Column("B − A", unit=measure.unit)]
    columns += [Column("95 % interval"), Column("B is", False)]
    several = len(frame["architecture"].dropna().unique()) > 1
    rows = []
    for row in frame.to_dict("records"):
        told = _told(row["variant"], frame.loc[frame["method"] == row["method"], "variant"])
        name = ", ".join([str(row["method"]), *told])
        network = [row[key] for key in ("architecture", "backbone") if pd.notna(row[key])]
        cells = [Cell(name), Cell(", ".join(network[0 if several else -1 :]))]
        cells += [Cell(number(float(row[key]), 0)) for key in ("mattes", "masks", "seeds", "images")]
        cells += [Cell(number(row[key], places)) for key in ("a", "b")]
        cells += [Cell(number(row["difference"], places, sign=True))]
        cells += [Cell(between(row["low"], row["high"], places, sign=True) or "–")]
        cells += [Cell(row["verdict"], tone=TONES[row["verdict"]])]
        rows.append(cells)
    caption = (
        f"{where}: B against A, seed-averaged, image by image. The intervals hold for all rows together; a single image "
        "has none."
    )
    return Table(f"compare-{measure.name}", caption, columns, rows, frame)


def _told(variant: str, of_method: pd.Series) -> list[str]:
    """What tells a variant from the others of its method, as the tables of one store say it."""
    documents = [json.loads(text) for text in of_method.unique()]
    told = [k for k in json.loads(variant) if len({json.dumps(document.get(k)) for document in documents}) > 1]
    return [f"{key.rpartition('.')[2]}={json.loads(variant)[key]}" for key in told]


def _latest(timed: pd.DataFrame) -> pd.DataFrame:
    kept = [*SAME_MODEL, "device", "p50_ms", "median_low_ms", "median_high_ms"]
    timed = timed.sort_values("started", kind="stable").drop_duplicates([*SAME_MODEL, "device"], keep="last")
    for end in ("median_low_ms", "median_high_ms"):
        timed[end] = timed[end].astype(float)
    return timed[kept]


def _faster(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high) or low <= 1 <= high:
        return "not told apart"
    return "faster" if high < 1 else "slower"


def _speed_table(frame: pd.DataFrame) -> Table:
    columns = [Column("model", False), Column("conditions", False), Column("A", unit="ms"), Column("B", unit="ms")]
    columns += [Column("B / A"), Column("interval"), Column("B is", False)]
    tones = {"faster": "better", "slower": "worse"}
    rows = []
    for row in frame.to_dict("records"):
        places = decimals([row["p50_ms_a"], row["p50_ms_b"]])
        scope = "model only" if row["scope"] == "model" else "end to end"
        conditions = f"{scope}, {row['engine']}, {row['precision']}, {row['layout']}, batch {row['batch']:.0f}, "
        conditions += f"{row['width']:.0f}×{row['height']:.0f}"
        if row["device_a"] != row["device_b"]:
            conditions += f"; A {row['device_a']}, B {row['device_b']}"
        cells = [Cell(row["model"]), Cell(conditions)]
        cells += [Cell(number(row[key], places)) for key in ("p50_ms_a", "p50_ms_b")]
        cells += [Cell(number(row["ratio"], 3)), Cell(between(row["low"], row["high"], 3) or "–")]
        rows.append([*cells, Cell(row["verdict"], tone=tones.get(row["verdict"], "even"))])
    caption = (
        "Latency (p50) of the same models: B over A, below 1 is faster. The interval sets the two medians' 95 % intervals "
        "end against end, and covers the calls of one process each: the same model timed in two processes differs by some "
        "percent, so that only ratios well beyond that tell two machines or commits apart."
    )
    return Table("compare-speed", caption, columns, rows, frame)


def compared(a: Frames, b: Frames, measures: list[Measure], any_data: bool = False) -> tuple[list[Table], list[str]]:
    """All tables of two stores and sentences on what could not be matched. Raises UserError where nothing could."""
    tables, notes = errors(a, b, measures, any_data)
    speed, more = speeds(a, b)
    if speed is not None:
        tables = [*tables, speed]
    notes = [*notes, *more]
    if not tables:
        what = NEITHER.format(a=a.root, b=b.root, what="scored run and no timing")
        raise UserError(f"{what} ({' '.join(notes)})" if notes else what)
    return tables, notes
