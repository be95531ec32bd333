"""Licences of the pretrained weights of the store's backbones, as timm states them (reports/licences.csv)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports.document import Cell, Column, Section, Table, counted, listed, shortened
from reports.load import Frames

FILE = Path(__file__).parents[1] / "licences.csv"
NOT_STATED = "not stated by timm"
NOT_COMMERCIAL = ("-nc-", "noncommercial", "-amlr")
ROWS = 30
LETTERS = 44  # of an address


def section(frames: Frames, path: Path = FILE) -> Section:
    """A row per backbone of the store: the weights that timm takes by default, their licence and where they come from."""
    result = Section(
        "licences",
        "Licences of backbone weights",
        missing="The store names no backbone; python -m sweeps run backbones",
    )
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
        found = source.loc[name] if name in source.index else None
        rows.append(
            {
                "backbone": name,
                "weights used": ", ".join(sorted(set(part["weights"].dropna().astype(str)))) or "none trained",
                "tag": "" if found is None else found["tag"],
                "licence": NOT_STATED if found is None or not found["licence"] else found["licence"],
                "hub_id": "" if found is None else found["hub_id"],
                "origin": "" if found is None else found["origin"],
                "timm_version": "" if found is None else found["timm_version"],
            }
        )
    return pd.DataFrame(rows)


def _table(frame: pd.DataFrame) -> Table:
    limited = frame["licence"].map(restricted)
    order = frame.assign(limited=~limited, plain=frame["licence"] != NOT_STATED)
    shown = order.sort_values(["limited", "plain", "backbone"], kind="stable").head(ROWS)
    columns = [
        Column(name, False) for name in ("backbone", "weights used", "default tag", "licence", "hub id", "origin")
    ]
    rows = [
        [
            Cell(row["backbone"]),
            Cell(row["weights used"]),
            Cell(row["tag"]),
            Cell(
                row["licence"],
                "non-commercial, by its name" if restricted(row["licence"]) else "",
                "worse" if restricted(row["licence"]) else "muted" if row["licence"] == NOT_STATED else "",
            ),
            Cell(row["hub_id"]),
            Cell(shortened(row["origin"], LETTERS)),
        ]
        for row in shown.to_dict("records")
    ]
    caption = "Those with limits first. Made by: wsshm licences --out reports/licences.csv."
    if len(rows) < len(frame):
        caption = f"{len(rows)} of {len(frame):,}; all are in the CSV. {caption}"
    return Table("licences", caption, columns, rows, frame)


def restricted(licence: str) -> bool:
    """Whether a licence's name says that commercial use is excluded."""
    return any(part in licence.lower() for part in NOT_COMMERCIAL)
