"""`reports table --against`: percent of a method's error, its intervals, and in how many seeds a difference holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.store import Store
from reports.figures import against, style
from tests.reports.commands import mistake, pictured, reports, rows
from tests.reports.example_store import BACKBONE, run_row, score_rows

HARDNESS = np.random.default_rng(3).lognormal(0, 0.6, 40)
LEVELS = {
    **{("mlb", seed): level for seed, level in enumerate((0.80, 0.82, 0.81))},
    **{("mlb_masklabel", seed): level for seed, level in enumerate((1.0, 1.02, 0.98))},
    **{("oracle", seed): level for seed, level in enumerate((0.6, 0.61, 0.62))},
    **{("joint", seed): level for seed, level in enumerate((0.99, 1.10, 0.98))},
    ("seg_only", 0): 1.5,
    ("matte_then_seg", 7): 1.2,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store, rng = Store(tmp_path_factory.mktemp("store")), np.random.default_rng(0)
    for (method, seed), level in LEVELS.items():
        labels = {"oracle": (1040, 0), "seg_only": (0, 1000)}.get(method, (40, 1000))
        row = run_row(method, *labels, seed)
        store.write("runs", [row])
        store.write("scores", score_rows(row["run_id"], level, HARDNESS, rng))
    return store


def wide(store: Store, column: str, region: str) -> dict[str, pd.DataFrame]:
    """{method: a row an image, a column a seed}, by pandas alone."""
    runs = store.read("runs").set_index("run_id")
    scores = store.read("scores").query("region == @region")
    scores = scores.assign(method=scores["run_id"].map(runs["method"]), seed=scores["run_id"].map(runs["seed"]))
    return {method: part.pivot_table(column, "image", "seed") for method, part in scores.groupby("method")}


def bootstrapped(differences: pd.DataFrame, rounds: int = 4000) -> pd.DataFrame:
    """Half widths of intervals that hold together, round by round: the quantile of the largest |t| of each draw."""
    rng, values = np.random.default_rng(1), differences.to_numpy()
    spread = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    largest = []
    for _ in range(rounds):
        drawn = values[rng.integers(0, len(values), len(values))]
        largest.append((np.abs(drawn.mean(axis=0) - values.mean(axis=0)) / spread).max())
    return pd.Series(np.quantile(largest, 0.95) * spread, differences.columns)


@pytest.mark.parametrize(
    ("measure", "column", "region"), [("sad", "sad", "whole"), ("mad_boundary", "mad", "boundary")]
)
def test_differences_and_intervals_are_those_of_plain_pandas(
    store: Store, measure: str, column: str, region: str
) -> None:
    said = reports("table", store.root, "--against", "mlb_masklabel", "--measure", measure, "--format", "csv")
    assert said.code == 0, said.err
    listed = {row["label"]: row for row in rows(said.out)}
    assert listed.keys() == {"mlb", "oracle", "joint", "seg_only", "matte_then_seg"}
    assert listed.pop("matte_then_seg")["seeds"] == "0"
    values = wide(store, column, region)
    base = values["mlb_masklabel"]
    apart = pd.DataFrame({name: (values[name] - base[values[name].columns]).mean(axis=1) for name in listed})
    lone = values["matte_then_seg"].mean(axis=1) - base.mean(axis=1)  # no seed in common: all of either side
    half = bootstrapped(apart.assign(lone=lone))
    for name, row in listed.items():
        of_base = base[values[name].columns].mean(axis=None)
        percent = 100 * apart[name].mean() / of_base
        assert float(row["percent"]) == pytest.approx(percent, rel=1e-9)
        for bound, side in (("percent_low", -1), ("percent_high", 1)):
            width = abs(float(row[bound]) - percent)
            assert np.sign(float(row[bound]) - percent) == side
            assert width == pytest.approx(100 * half[name] / of_base, rel=0.15)  # Student's t, and other draws
        signs = np.sign((values[name] - base[values[name].columns]).mean())
        assert int(row["agreeing"]) == (signs == np.sign(percent)).sum()
        assert int(row["seeds"]) == len(values[name].columns)


def test_the_terminal_says_percent_interval_verdict_and_seeds(store: Store) -> None:
    said = reports("table", store.root, "--against", "mlb_masklabel", "--measure", "sad", "--format", "markdown")
    lines = {line.split("|")[1].strip(): line for line in said.out.splitlines() if line.startswith("|")}
    assert "better; 3 of 3 seeds" in lines["mlb"]
    assert "better; 3 of 3 seeds" in lines["oracle (control)"]
    assert "worse; 1 seed" in lines["seg\\_only"]
    assert "1 of 3 seeds" in lines["joint"]
    assert "worse; no seed in common" in lines["matte\\_then\\_seg"]
    assert "minus mlb" in said.out
    assert "in percent of mlb" in said.out


def test_mistakes_are_named(store: Store, tmp_path: Path) -> None:
    assert "no finished runs of the method 'mlb_mask'" in mistake("table", store.root, "--against", "mlb_mask")
    assert "no measure 'sda'" in mistake("table", store.root, "--against", "mlb", "--measure", "sda")
    assert "has a value of conn_unknown" in mistake(
        "table", store.root, "--against", "mlb", "--measure", "conn_unknown"
    )
    manifest = pictured(tmp_path / "test.parquet", [{"hair": "long"}])
    both = mistake("table", store.root, "--against", "mlb", "--by", "hair", "--manifest", manifest)
    assert "use one of them" in both
    alone = Store(tmp_path / "alone")
    row = run_row("mlb", 40, 1000, 0)
    alone.write("runs", [row])
    alone.write("scores", score_rows(row["run_id"], 1.0, HARDNESS, np.random.default_rng(0)))
    assert "nothing beside mlb has a value of sad, mse, grad, conn" in mistake("table", alone.root, "--against", "mlb")


@pytest.fixture(scope="module")
def with_variants(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """`mlb` with two bands; the narrow one is better on validation and worse on test."""
    store, rng = Store(tmp_path_factory.mktemp("variants")), np.random.default_rng(0)
    for method, band, level, val_sad in (("mlb", 0.02, 0.9, 0.5), ("mlb", 0.04, 0.7, 0.6), ("joint", 0.02, 1.0, 0.7)):
        config = json.dumps({"method": {"name": method, "blend": {"band": band}}, "model": {"backbone": BACKBONE}})
        row = run_row(method, 40, 1000, 0, run_id=f"{method}-{band}", config=config)
        store.write("runs", [row])
        store.write("scores", score_rows(row["run_id"], level, HARDNESS, rng))
        epoch = {"run_id": row["run_id"], "stage": "student", "epoch": 1, "key": "val_sad", "value": val_sad}
        store.write("epochs", [epoch])
    return store


def test_each_variant_may_have_its_own_row(with_variants: Store) -> None:
    scores = with_variants.read("scores").query("region == 'whole'").groupby("run_id")["sad"].mean()
    narrow, wide_, joint = (scores[run] for run in ("mlb-0.02", "mlb-0.04", "joint-0.02"))

    def listed(*options: str) -> dict[str, float]:
        said = reports("table", with_variants.root, "--measure", "sad", "--format", "csv", *options)
        assert said.code == 0, said.err
        return {row["label"]: float(row["percent"]) for row in rows(said.out)}

    def percent(of: float, to: float) -> float:
        return pytest.approx(100 * (of / to - 1))

    assert listed("--against", "joint") == {"mlb": percent(narrow, joint)}
    both = {"mlb, band=0.02": percent(narrow, joint), "mlb, band=0.04": percent(wide_, joint)}
    assert listed("--against", "joint", "--variants") == both
    # A method's name is the variant that stands for it; its label is any of them.
    others = {"mlb, band=0.04": percent(wide_, narrow), "joint": percent(joint, narrow)}
    assert listed("--against", "mlb", "--variants") == others
    others = {"mlb, band=0.02": percent(narrow, wide_), "joint": percent(joint, wide_)}
    assert listed("--against", "mlb, band=0.04", "--variants") == others
    unknown = mistake("table", with_variants.root, "--against", "mlb, band=0.03", "--variants")
    assert "no finished runs of the method 'mlb, band=0.03'" in unknown
    assert "--variants needs --against" in mistake("table", with_variants.root, "--variants")


def test_the_figure_has_every_difference_at_its_place(with_variants: Store, tmp_path: Path) -> None:
    listed = tmp_path / "t.csv"
    options = ("--against", "joint", "--variants", "--measure", "sad,iou", "--out", listed)
    for ending in ("png", "pdf", "svg"):
        said = reports("table", with_variants.root, *options, "--figure", tmp_path / "made" / f"t.{ending}")
        assert said.code == 0, said.err
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"t.png", "t.pdf", "t.svg"}
    text = (tmp_path / "made" / "t.svg").read_text()
    for name in ("mlb (1 seed)", "band=0.02", "band=0.04", "minus joint", "whole image", "better"):
        assert name in text, name
    frame = pd.read_csv(listed, keep_default_na=False).assign(table="t")
    with style.theme():
        panels = against.draw(frame).axes
    assert [axes.get_title(loc="left").split("\n")[0] for axes in panels] == ["SAD", "IoU"]
    for axes, measure in zip(panels, ("sad", "iou"), strict=True):
        assert axes.get_xlabel().startswith("%; lower" if measure == "sad" else "%; higher")
        rows_ = frame[frame["measure"] == measure]
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        names = [tick.get_text() for tick in panels[0].get_yticklabels()]
        ticks = dict(zip(panels[0].get_yticks(), names, strict=True))
        for dot, row in zip(dots, rows_.itertuples(), strict=True):
            assert dot.get_xdata() == [row.percent]
            assert ticks[dot.get_ydata()[0]].endswith(row.label.removeprefix("mlb, "))
        spans = [sorted(line.get_xdata()) for line in axes.lines if line.get_solid_capstyle() == "butt"]
        assert [rows_["percent_low"].tolist(), rows_["percent_high"].tolist()] == list(
            map(list, zip(*spans, strict=True))
        )


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with what its labels say as columns of their own, as the table has them."""
    for label, prefix in (("label", ""), ("against", "against_")):
        parts = frame[label].str.split(", ")
        frame = frame.assign(**{f"{prefix}method": parts.str[0], f"{prefix}settings": parts.str[1:].map(json.dumps)})
    return frame


def test_a_figure_names_only_what_sets_a_row_apart() -> None:
    labels = ("mlb, band=1, a=1", "mlb, band=1, a=2", "mlb, band=2, a=1", "oracle, a=1")
    frame = pd.DataFrame(
        [
            {
                "label": label,
                "against": "joint, a=1",
                "measure": "sad",
                "verdict": "better",
                "seeds": seeds,
                "kind": kind,
            }
            | {"percent": -1.0, "percent_low": -2.0, "percent_high": 0.5, "budget": "all", "table": "t"}
            for label, seeds, kind in zip(labels, (1, 3, 0, 2), ("", "", "", "control"), strict=True)
        ]
    )
    with style.theme():
        axes = against.draw(named(frame)).axes[0]
    said = [tick.get_text() for tick in axes.get_yticklabels()]
    assert said == [
        "mlb (1 seed)",
        "mlb (3 seeds)\na=2",
        "mlb (no seed in common)\nband=2",
        "oracle (control; 2 seeds)",
    ]


def test_a_row_far_off_is_a_number_at_the_edge() -> None:
    """Three near rows, one at +500 % and one at -400 %: the scale is that of the near ones, the others are written down."""
    percents = {"joint": 1.0, "mlb": -2.0, "seg_only": 4.0, "matte_only": 500.0, "oracle": -400.0}
    common = {"against": "mlb_masklabel", "measure": "sad", "verdict": "worse", "seeds": 1, "kind": ""}
    rows_ = [
        common
        | {"label": label, "percent": p, "percent_low": p - 3, "percent_high": p + 3, "budget": "b", "table": "t"}
        for label, p in percents.items()
    ]
    with style.theme():
        axes = against.draw(named(pd.DataFrame(rows_))).axes[0]
    low, high = axes.get_xlim()
    assert -10 < low < -5 < 7 < high < 10
    assert [text.get_text() for text in axes.texts] == ["+500 % →", "← −400 %"]
    dots = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert dots == [1.0, -2.0, 4.0]


def test_blocks_of_several_test_sets_say_of_which_they_are() -> None:
    common = {"label": "mlb", "against": "joint", "measure": "sad", "verdict": "better", "seeds": 1, "kind": ""}
    common |= {"percent": -1.0, "percent_low": -2.0, "percent_high": 0.5, "budget": "b"}
    sets = [
        {"table": "1", "dataset": "photos", "truth": "estimated"},
        {"table": "2", "dataset": "sets", "truth": "exact"},
    ]
    with style.theme():
        titles = [p.get_suptitle() for p in against.draw(named(pd.DataFrame([common | of for of in sets]))).subfigs]
        alone = against.draw(named(pd.DataFrame([common | sets[0]]))).subfigs[0].get_suptitle()
    assert "photos, truth estimated" in titles[0]
    assert "sets, truth exact" in titles[1]
    assert alone.endswith("(b)")


def test_where_a_figure_may_go(with_variants: Store, tmp_path: Path) -> None:
    table = ("table", with_variants.root)
    assert "--figure needs --against" in mistake(*table, "--figure", tmp_path / "a.png")
    assert "does not say what to draw; end it in .png" in mistake(
        *table, "--against", "joint", "--figure", tmp_path / "a.jpg"
    )
    (tmp_path / "b.png").mkdir()
    assert "b.png is a folder" in mistake(*table, "--against", "joint", "--figure", tmp_path / "b.png")
