"""Ranks masked photos by how much a mask and a trained teacher disagree: which to have matted next.

A finished sweep compares every teacher, which has seen no mask, with the masks of the natural photos, and stores the sums
(see `bench.disagreement`). Two quantities make a photo worth a matte, both in thousandths of the photo's pixels:

    outside   sum of |matte - mask| farther than a band from the mask's edge: one of the two is grossly wrong there
    edge      sum of 4 matte (1 - matte) inside the band: soft, hairy boundary, which no mask can show; a pixel that the
              teacher takes for half a person counts as one

Their sum is the score. What the teacher and a hard edge of the mask differ by inside the band does not count: a mask is
coarse there, and blending takes the teacher's value anyway. The sums need no picture: against a mask of 0 and 1 the mean
of matte (1 - matte) is MAD - MSE.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.comparable import merge_versions
from bench.store import TEACHER, Store
from reports import printed
from reports.document import Column, Table, counted, numbers, texts
from reports.load import named
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.sample import grade_of
from wsshm.errors import UserError, nearest, redacted
from wsshm.grades import shortest

RULE = ["dataset", "protocol", "convention", "metric_version"]  # rows that differ in these are never averaged
DRAWN = 40  # mattes of the embedded set that a teacher is trained from, where the store's runs have none
PARTS = ["score", "outside", "edge"]


@dataclass(frozen=True)
class Ranking:
    """Photos by falling score: id, score, score_sd (over teachers; NaN for one), outside, edge, iou, teachers, image, and
    a column `attribute.NAME` for each attribute. `notes` say what was left out.
    """

    frame: pd.DataFrame
    root: object
    rule: dict[str, str]
    teachers: int
    notes: list[str]


def rank(
    store_root: str | Path, manifest_path: Path | str, dataset: str | None = None, matted: bool = False
) -> Ranking:
    """All photos of a manifest with a mask, those first whose matte is likely to teach most.

    Photos that have a matte are left out unless `matted`. `dataset` names the masks' source in the sweeps' plans, where
    the store holds several with photos of this manifest. Raises UserError where there is nothing to rank, and why.
    """
    manifest = Manifest.read(manifest_path)
    masked = [s for s in manifest.samples if s.mask is not None and s.kind == "photo"]
    wanted = {s.id: s for s in masked if matted or s.matte is None}
    if not masked:
        raise UserError(f"{manifest_path} has no photo with a mask; give the manifest that a plan names as data.masks")
    if not wanted:
        raise UserError(
            f"all {len(masked)} masked photos of {manifest_path} already have mattes; --matted ranks them anyway"
        )
    compared = _rows(store_root)
    if compared.empty:
        raise UserError(
            f"the store {store_root} holds no comparison of a teacher with masks; train a teacher with these photos, then "
            f"give the store of that sweep, OUT/store: {_sweep(store_root, manifest_path, masked)}"
        )
    rows, rule, notes = _of_one_rule(_parts(compared), manifest_path, {s.id for s in masked}, dataset)
    if skipped := len(masked) - len(wanted):
        notes.append(f"Left out: {counted(skipped, 'photo')} with a matte already.")
    known = rows[rows["image"].isin(list(wanted))]
    if absent := len(wanted) - known["image"].nunique():
        notes.append(
            f"Not ranked: {counted(absent, 'photo')} that no teacher was compared with (outside of the runs' budgets)."
        )
    if known.empty:
        raise UserError(
            f"no teacher in {store_root} was compared with a photo of {manifest_path} that is without a matte; a run with"
            " a larger budget.masks compares more"
        )
    groups = known.groupby("image")
    means = groups[[*PARTS, "iou"]].mean()
    means["score_sd"] = groups["score"].std()
    means["teachers"] = groups["run_id"].nunique()
    frame = means.rename_axis("id").reset_index().sort_values(["score", "id"], ascending=[False, True])
    frame = frame[["id", "score", "score_sd", "outside", "edge", "iou", "teachers"]].reset_index(drop=True)
    samples = [wanted[name] for name in frame["id"]]
    frame["image"] = [manifest.address(s, "image") for s in samples]
    for name in sorted({name for s in samples for name in s.attributes}):
        frame[f"attribute.{name}"] = [s.attributes.get(name) for s in samples]
    return Ranking(frame, manifest.root, rule, int(rows["run_id"].nunique()), notes)


def table(ranking: Ranking, count: int, attributes: tuple[str, ...] = ("hair", "framing", "people")) -> Table:
    """The first `count` photos of a ranking, with those of `attributes` that the manifest has."""
    frame = ranking.frame.head(count)
    shown = [name for name in attributes if f"attribute.{name}" in frame]
    columns = [numbers("rank"), texts("photo", "id")]
    parts = {"score": "score", "± sd": "score_sd", "outside": "outside", "edge": "edge"}
    columns += [numbers(header, key, 1, "‰") for header, key in parts.items()]
    columns += [numbers("IoU", "iou", 3), numbers("teachers"), *(texts(name, f"attribute.{name}") for name in shown)]
    columns.append(Column("image", lambda row: _below(ranking.root, row["image"])))
    teachers = "one teacher, so the spread is unknown" if ranking.teachers == 1 else f"{ranking.teachers} teachers"
    caption = (
        f"{len(frame)} of {len(ranking.frame):,}, by the disagreement of mask and {teachers}. "
        "Score = outside + edge, in thousandths of a photo's pixels: what teacher and mask differ by away from the "
        "mask's edge (outside), and how much of the band along it is soft (edge). "
        f"Masks of {ranking.rule['dataset']}, protocol {ranking.rule['protocol']}."
    )
    records = frame.assign(rank=range(1, len(frame) + 1)).to_dict("records")
    return Table("labels", caption, columns, frame.assign(**ranking.rule), records, title="Photos to have matted next")


def _rows(store_root: str | Path) -> pd.DataFrame:
    columns = ["run_id", *RULE, "image", "region", "sad", "mad", "mse", "iou"]
    scores = Store(store_root).read("scores", columns)
    own = scores[scores["run_id"].astype(str).str.startswith(TEACHER)]
    [own], _ = merge_versions(own)  # none of what is read here changed between two versions
    return own


def _name(place: Path | str) -> str:
    return Path(str(place).partition("?")[0]).name


def _below(root: object, image: str) -> str:
    if isinstance(root, Path):
        return os.path.relpath(image, root)
    return image.partition("?")[0].removeprefix(f"{redacted(root).partition('?')[0]}/")


def _sweep(store_root: str | Path, manifest_path: Path | str, photos: Iterable[Sample]) -> str:
    """The sweep of a method with a teacher on these photos, trained as the store's own runs were if it has any."""
    runs = named(Store(store_root).read("runs"))
    base = printed.base_of(runs) or {}
    address = redacted(manifest_path)
    masks = address if "://" in address else str(Path(manifest_path).resolve())
    base = base | {"data": base.get("data", {}) | {"masks": masks}, "method": {"name": "mlb"}}
    mattes = int(runs["mattes"].max()) if (runs["mattes"] > 0).any() else DRAWN
    changes = {
        "also": [],
        "space": {},
        "budgets": [{"mattes": mattes, "masks": shortest(Counter(map(grade_of, photos)))}],
    }
    return printed.sweep("quickstart", base, **changes)


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per teacher and photo with `outside`, `edge` and `score` in thousandths of the photo's pixels."""
    key = ["run_id", *RULE, "image"]
    text = rows.astype(dict.fromkeys(key, str))
    whole = text[text["region"] == "whole"].set_index(key)
    band = text[text["region"] == "unknown"].set_index(key)[["sad", "mad", "mse"]]
    both = whole.join(band.add_suffix("_band"))
    share = (both["sad_band"] / both["sad"]).where(both["sad"] > 0, 0.0).clip(0, 1)  # of all that they differ by
    soft = (1 - both["mse_band"] / both["mad_band"]).where(both["mad_band"] > 0, 0.0)
    both["outside"] = 1000 * both["mad"] * (1 - share)
    both["edge"] = 1000 * both["mad"] * share * 4 * soft
    both["score"] = both["outside"] + both["edge"]
    return both.reset_index()[[*key, *PARTS, "iou"]].dropna(subset=["score"])


def _of_one_rule(
    rows: pd.DataFrame, manifest_path: Path | str, ids: set[str], dataset: str | None
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """The rows of the data set that the manifest's photos are of, under the rule that most teachers share."""
    names = sorted(rows["dataset"].unique())
    if dataset is not None and dataset not in names:
        raise UserError(f"no teacher was compared with masks of {dataset!r}; {nearest(dataset, names)}")
    ours = rows[rows["image"].isin(list(ids)) & ((rows["dataset"] == dataset) if dataset else True)]
    found = sorted(ours["dataset"].unique())
    if not found:
        raise UserError(
            f"no teacher was compared with a photo of {manifest_path}; the store has masks of {', '.join(names)}"
        )
    if len(found) > 1:
        alike = [name for name in found if _name(name) == _name(manifest_path)]
        if len(alike) != 1:
            raise UserError(
                f"photos of several data sets have these ids; choose one with --dataset: {', '.join(found)}"
            )
        found = alike
    own = ours[ours["dataset"] == found[0]]
    counts = own.groupby(RULE)["run_id"].nunique()
    chosen = counts.sort_values(ascending=False, kind="stable").index[0]
    kept = own[np.logical_and.reduce([own[name] == value for name, value in zip(RULE, chosen, strict=True)])]
    left = own["run_id"].nunique() - kept["run_id"].nunique()
    notes = [f"Left out: {counted(left, 'teacher')} under another protocol or version of the measures."] if left else []
    return kept, dict(zip(RULE, chosen, strict=True)), notes
