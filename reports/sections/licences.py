"""Licences of the pretrained weights of the store's backbones, as timm states them (reports/licences.csv)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports import printed
from reports.document import Cell, Column, Section, Table, counted, listed, shortened, texts
from reports.load import Frames
from reports.sections import PageSection, register

FILE = Path(__file__).parents[1] / "licences.csv"
NOT_STATED = "not stated by timm"
STATED = ("tag", "licence", "hub_id", "origin", "timm_version")
NOT_COMMERCIAL = ("-nc-", "noncommercial", "-amlr")
ROWS = 30
LETTERS = 44  # of an address


def section(frames: Frames, path: Path = FILE) -> Section:
    """A row per backbone of the store: the weights that timm takes by default, their licence and where they come from."""
    missing = printed.missing("The store names no backbone", printed.fill("backbones", frames))
    result = Section("licences", "Licences of backbone weights", missing=missing)
    used = pd.concat([frames.runs[["backbone", "weights"]], frames.speed[["backbone"]]]).dropna(subset=["backbone"])
    if used.empty:
        return result
    frame = data(used, path)
    versions = sorted(set(frame["timm_version"].dropna()) - {""})
    counts = frame["licence"].value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
    result.text = [
        f"{counted(len(frame), 'backbone')}: "
        + listed([f"{count} {licence}" for licence, count in counts.items()])
        + f", as timm {', '.join(versions) or 'of unknown version'} states them for the weights that it takes by default. "
        "Other tags of a backbone, and weights from a package or a file, have licences of their own; a run that started "
        "from none needs none. Read the licence itself before you ship: this is what a configuration file says."
    ]
    result.blocks.append(_table(frame))
    return result


def data(used: pd.DataFrame, path: Path = FILE) -> pd.DataFrame:
    """One row per backbone in `used` (backbone, weights): the default tag's licence and origin, and the weights used.

    A backbone named with a tag is looked up with it.
    """
    stated = pd.read_csv(path, dtype=str, keep_default_na=False)
    default = stated[stated["default"] == "true"].drop_duplicates("backbone").set_index("backbone")
    tagged = stated.assign(name=stated["backbone"] + "." + stated["tag"]).drop_duplicates("name").set_index("name")
    rows = []
    for backbone, part in used.groupby("backbone", sort=True):
        name = str(backbone)
        source = tagged if name in tagged.index else default
        found = source.loc[name] if name in source.index else dict.fromkeys(STATED, "")
        used_weights = ", ".join(sorted(set(part["weights"].dropna().astype(str)))) or "none trained"
        rows.append({"backbone": name, "weights used": used_weights, **{key: found[key] for key in STATED}})
        rows[-1]["licence"] = found["licence"] or NOT_STATED
    return pd.DataFrame(rows)


def _table(frame: pd.DataFrame) -> Table:
    limited = frame["licence"].map(restricted)
    order = frame.assign(limited=~limited, plain=frame["licence"] != NOT_STATED)
    shown = order.sort_values(["limited", "plain", "backbone"], kind="stable").head(ROWS)
    columns = [texts("backbone"), texts("weights used"), texts("default tag", "tag"), Column("licence", _licence)]
    columns += [texts("hub id", "hub_id"), Column("origin", lambda row: shortened(row["origin"], LETTERS))]
    caption = "Those with limits first."
    if len(shown) < len(frame):
        caption = f"{len(shown)} of {len(frame):,}; all are in the CSV. {caption}"
    return Table("licences", caption, columns, frame, shown.to_dict("records"))


def _licence(row: dict) -> Cell:
    if restricted(row["licence"]):
        return Cell(row["licence"], "non-commercial, by its name", "worse")
    return Cell(row["licence"], tone="muted" if row["licence"] == NOT_STATED else "")


def restricted(licence: str) -> bool:
    """Whether a licence's name says that commercial use is excluded."""
    return any(part in licence.lower() for part in NOT_COMMERCIAL)


register(PageSection("licences", 140, lambda given: section(given.frames)))
