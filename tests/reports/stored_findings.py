"""The tables of `reports/findings.md` and the stored rows behind them, for the tests that hold one against the other."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from reports import __file__ as package

HERE = Path(package).parent
TEXT = (HERE / "findings.md").read_text()

# How the rows of the students' tables differ from plain runs, as keys of their configurations; by the store of their rows.
ONE_STAGE: dict[str, object] = {"name": "mlb", "teacher": "average"}
STUDENTS: dict[str, dict[str, dict[str, object]]] = {
    "methods": {
        "joint": {"name": "joint"},
        "mlb, one stage": ONE_STAGE,
        "mlb": {"name": "mlb"},
        "mlb_masklabel": {"name": "mlb_masklabel"},
        "matte_then_seg": {"name": "matte_then_seg"},
        "seg_only": {"name": "seg_only"},
        "matte_only": {"name": "matte_only"},
        "pseudo_label": {"name": "pseudo_label"},
        "mean_teacher": {"name": "mean_teacher", "weight": 0.1},
        "oracle": {"name": "oracle"},
        "oracle, one stage": {"name": "oracle", "teacher": "average"},
    },
    "schedules": {
        "joint": {"name": "joint"},
        "joint, averaged": {"name": "joint", "ema": 0.99},
        "mlb": {"name": "mlb"},
        "mlb, composites too": {"name": "mlb", "share": 0.5},
        "mlb, from the backbone": {"name": "mlb", "start": "backbone"},
        "mlb, two rounds": {"name": "mlb", "refresh": 2},
        "oracle, composites too": {"name": "oracle", "share": 0.5},
    },
    "coarse": {
        "joint": {"name": "joint"},
        "mlb, one stage": ONE_STAGE,
        "mlb": {"name": "mlb"},
    },
    "shares": {
        "joint": {"name": "joint"},
        "joint, a quarter": {"name": "joint", "share": 0.25},
        "joint, three quarters": {"name": "joint", "share": 0.75},
        "mlb, one stage": ONE_STAGE,
    },
    "larger": {
        "joint": {"name": "joint"},
        "mlb, one stage": ONE_STAGE,
        "mlb": {"name": "mlb"},
        "oracle, one stage": {"name": "oracle", "teacher": "average"},
    },
    "larger-finer": {"joint": {"name": "joint"}, "mlb, one stage": ONE_STAGE},
    "between": {"joint": {"name": "joint"}, "mlb, one stage": ONE_STAGE},
    "photos-given": {
        "mlb, one stage": ONE_STAGE,
        **{name: {"name": name} for name in ("mlb", "mlb_masklabel", "matte_then_seg", "joint", "seg_only")},
        **{name: {"name": name} for name in ("matte_only", "pseudo_label")},
        "mean_teacher": {"name": "mean_teacher", "weight": 0.1},
        "mean_teacher, a hundredth": {"name": "mean_teacher", "weight": 0.01},
    },
    "photos-coarse": {
        "mlb, one stage": ONE_STAGE,
        **{name: {"name": name} for name in ("mlb", "mlb_masklabel", "joint")},
    },
    "photos-shares": {
        "joint": {"name": "joint"},
        "joint, a quarter": {"name": "joint", "share": 0.25},
        "joint, three quarters": {"name": "joint", "share": 0.75},
        "mlb, one stage": ONE_STAGE,
        "mlb, one stage, three quarters": ONE_STAGE | {"share": 0.75},
    },
    "photos-longer": {"joint": {"name": "joint"}, "mlb, one stage": ONE_STAGE},
}
# The masks that the runs of a store learn from: how coarse drawn ones are, or the manifest of photos.
MASKS = {"methods": 1.0, "schedules": 1.0, "coarse": 2.0, "shares": 2.0, "larger": 1.0, "larger-finer": 0.99}
MASKS |= {"between": 1.49}
MASKS |= {
    "photos-given": "photos.parquet",
    "photos-longer": "photos.parquet",
    "photos-coarse": "coarse1/coarse1.parquet",
    "photos-shares": "coarse1/coarse1.parquet",
}
# Test sets of a store and their images: a table is named by its store and, where there are several, by its test set.
DRAWN = {"": ("procedural/test", 100)}
REAL = {"": ("photos.parquet", 45), " composites": ("composites/composites.parquet", 96)}
TABLES = {
    store + part: (store, *of) for store in STUDENTS for part, of in (REAL if "photos" in store else DRAWN).items()
}
# What the runs of a store are compared with; and, of a blended label, the masks' label it should beat and the truth it cannot.
TWO: list[str] = ["joint", "mlb_masklabel"]
RIVALS = {"methods": TWO, "schedules": ["joint"], "coarse": ["joint"], "shares": ["joint", "joint, three quarters"]}
RIVALS |= {name: ["joint"] for name in ("larger", "larger-finer", "between")}
RIVALS |= {"photos-given": TWO, "photos-coarse": TWO, "photos-longer": ["joint"], "photos-shares": RIVALS["shares"]}
OTHERWISE = {"ema": 0.0, "share": None, "start": "teacher", "refresh": 1, "teacher": "stage", "weight": None}
ERRORS = [("sad", "whole", 1, 3), ("mse", "whole", 1e3, 1), ("grad", "whole", 1, 3), ("conn", "whole", 1, 3)]
ERRORS += [("sad", "unknown", 1, 3), ("mse", "unknown", 1e3, 1), ("grad", "unknown", 1, 3), ("mad", "boundary", 1e3, 1)]
DIFFERENCES = [(measure, region) for region in ("whole", "unknown") for measure in ("sad", "mse", "grad")]


def together(differences: pd.DataFrame, rounds: int = 3000) -> pd.Series:
    """Half widths of 95 % intervals that hold for all columns together, by plain draws of images; by Student's t for few."""
    rng, values = np.random.default_rng(5), differences.to_numpy()
    spread = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    largest = []
    for _ in range(rounds):
        drawn = values[rng.integers(0, len(values), len(values))].mean(axis=0) - values.mean(axis=0)
        largest.append(np.nanmax(np.abs(drawn) / np.where(spread > 0, spread, np.nan)))
    reach = stats.t.ppf(stats.norm.cdf(np.quantile(largest, 0.95)), len(values) - 1)
    return pd.Series(reach * spread, differences.columns)


def bounds(cell: str) -> list[float]:
    """`-14.2% [-18.6%, -9.9%]` as three numbers."""
    return [float(number) for number in re.findall(r"[-+]\d+\.\d", cell)]


def table(kind: str, name: str) -> dict[str, list[str]]:
    """{row's name: its cells} of the table below `<!-- kind: name -->`; none where the text has no such table."""
    found = re.search(rf"^<!-- {kind}: {name} -->\n\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    lines = found[1].splitlines()[2:] if found else []
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].replace("`", ""): cells[1:] for cells in split}


def said(config: str) -> dict[str, object]:
    """What of a configuration tells the students' runs apart."""
    document = json.loads(config)
    method, blend = document["method"], document["method"]["blend"]
    return {
        "name": method["name"],
        "ema": document["train"]["ema"],
        "share": method["matte_share"],
        "start": method["student_start"],
        "refresh": blend["refresh"],
        "teacher": blend.get("teacher", "stage"),
        "weight": method["consistency_weight"] if method["name"] == "mean_teacher" else None,
    }


def stored(store: str) -> dict[str, dict[int, str]]:
    """{row: {seed: run}} of a store; every run belongs to one row."""
    found: dict[str, dict[int, str]] = {}
    for run in pd.read_parquet(HERE / "findings" / store / "runs").itertuples():
        data = json.loads(run.config)["data"]
        drawn = data["masks"].startswith("procedural/")
        assert (data["procedural"]["mask_coarseness"] if drawn else data["masks"]) == MASKS[store]
        (name,) = (name for name, keys in STUDENTS[store].items() if said(run.config) == OTHERWISE | keys)
        assert run.seed not in found.setdefault(name, {})
        found[name][run.seed] = run.run_id
    return found


@cache
def rows_of(store: str) -> pd.DataFrame:
    return pd.read_parquet(HERE / "findings" / store / "scores")


def of_images(name: str, run_ids: list[str], measure: str, region: str, tested: str = "") -> pd.Series:
    """A measure's mean over runs, image by image, on the test set of a table (or of a store, the first by default)."""
    store, dataset, images = TABLES.get(name, (name, *DRAWN[""]))
    dataset = tested or dataset
    scores = rows_of(store)
    part = scores[scores["run_id"].isin(run_ids) & (scores["region"] == region) & (scores["dataset"] == dataset)]
    assert set(part.groupby("run_id")["image"].nunique()) == {images}
    return part.groupby("image")[measure].mean()
