"""The page of a large store: what it says equals a plain pandas computation, and it stays readable."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from bench.cost import CostModel
from bench.store import Store
from reports.comparison import Comparison, compare
from reports.document import Picture, Table
from reports.figures import cost as cost_figure
from reports.figures import speed
from reports.load import Frames, flatten, load
from reports.page import build
from reports.sections import backbones
from tests.reports.example_store import START, VERSIONS, run_row
from tests.reports.pages import Page
from tests.reports.simulated_store import BACKBONES, BUDGETS, FAILING, FULL, MAIN, SEEDS


@pytest.fixture(scope="module")
def built(simulated, tmp_path_factory) -> tuple[Store, Path, Page]:
    page = build(simulated.root, tmp_path_factory.mktemp("report"))
    return simulated, page.parent, Page(page.read_text())


@pytest.fixture(scope="module")
def finished(built) -> pd.DataFrame:
    """Whole-image scores of this suite's finished runs with their runs' columns, and the settings as text."""
    store = built[0]
    runs = store.read("runs")
    runs["settings"] = [
        json.dumps({key: value for key, value in flatten(json.loads(text)).items() if key != "train.seed"})
        for text in runs["config"]
    ]
    runs = runs[(runs["status"] == "finished") & ~runs["run_id"].str.startswith("external-")]
    scores = store.read("scores")
    return scores[scores["region"] == "whole"].merge(runs, on="run_id")


def main_network(finished: pd.DataFrame) -> pd.DataFrame:
    return finished[(finished["backbone"] == MAIN) & (finished["architecture"] == "unet")]


def last_validation(store: Store) -> pd.Series:
    epochs = store.read("epochs")
    epochs = epochs[(epochs["key"] == "val_sad") & (epochs["stage"] == "student")]
    return epochs.sort_values("epoch").groupby("run_id")["value"].last()


def expected_mean(built, finished: pd.DataFrame, method: str, mattes: int, masks: int) -> float | None:
    """SAD of the variant with the lowest validation error: seeds averaged image by image, then images."""
    own = main_network(finished)
    own = own[(own["method"] == method) & (own["mattes"] == mattes) & (own["masks"] == masks)]
    validation = own.drop_duplicates("run_id").assign(val=lambda runs: runs["run_id"].map(last_validation(built[0])))
    best = validation.groupby("settings")["val"].mean().idxmin()
    values = own[own["settings"] == best].pivot_table("sad", "image", "run_id")
    return None if values.isna().any(axis=None) else float(values.mean(axis=1).mean())


def numbers(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def test_every_section_is_there_or_left_out_with_its_command(built):
    page = built[2]
    filled = {"summary", "methods", "cost", "blending", "speed", "architectures", "seeds", "curves", "qualitative"}
    filled |= {"failures", "published", "licences", "provenance", "answers", "strip", "limits"}
    assert filled <= set(page.ids)
    anchors = [str(attributes["href"]) for tag, attributes in page.tags if tag == "a"]
    places = [f"#{name}" for name in page.ids if name in {anchor[1:] for anchor in anchors}]
    assert anchors[: len(places)] == places
    assert anchors[len(places) :] == ["#cost", "#methods", "#speed"]  # what the boxes of the first screen are made from


def test_the_pages_means_are_those_of_plain_pandas(built, finished):
    heads, rows = built[2].table("budgets")
    at = {f"{mattes:,} + {masks:,}": (mattes, masks) for mattes, masks in BUDGETS}
    assert set(heads[1:]) == set(at)
    checked = 0
    for row in rows:
        method = row[0][0]
        for head, cell in zip(heads[1:], row[1:], strict=True):
            mattes, masks = at[head]
            uses = {"seg_only": (0, masks), "matte_only": (mattes, 0), "oracle": (mattes + masks, 0)}
            known = main_network(finished)
            used = uses.get(method, (mattes, masks))
            if (
                method.startswith("Published")
                or not ((known["method"] == method) & (known["mattes"] == used[0]) & (known["masks"] == used[1])).any()
            ):
                continue
            expected = expected_mean(built, finished, method, *used)
            if expected is None:
                assert cell[0] == "–"  # one of its scores is not a number
            else:
                places = len(cell[0].partition(".")[2])
                assert numbers(cell[0]) == pytest.approx(expected, abs=0.51 * 10**-places)
                low, high = map(numbers, cell[1].split(" to "))
                assert low < expected < high
            checked += 1
    assert checked > 18


def test_the_csv_behind_a_table_holds_the_same_unrounded(built, finished):
    frame = pd.read_csv(built[1] / f"tables/methods-{FULL[0]}-mattes-{FULL[1]}-masks.csv")
    row = frame[(frame["label"] == "joint") & (frame["measure"] == "sad")].iloc[0]
    assert row["mean"] == pytest.approx(expected_mean(built, finished, "joint", *FULL), rel=1e-12)
    assert row["cost"] == pytest.approx(690 * FULL[0] + 79.2 * FULL[1])


def test_seeds_and_their_spread_are_those_of_plain_pandas(built, finished):
    _, rows = built[2].table("seeds")
    found = {(row[0][0], row[1][0], row[2][0]): [cell[0] for cell in row[3:]] for row in rows}
    own = main_network(finished)
    own = own[(own["method"] == "joint") & (own["mattes"] == 10) & (own["masks"] == 300)]
    means = own.groupby("seed")["sad"].mean()
    seeds, mean, spread, least, most = found["joint", "10", "300"]
    assert seeds == str(len(SEEDS)) == str(len(means))
    assert [numbers(mean), numbers(spread), numbers(least), numbers(most)] == pytest.approx(
        [means.mean(), means.std(ddof=1), means.min(), means.max()], abs=6e-4
    )


def test_backbones_speed_and_error_are_those_of_plain_pandas(built, finished):
    store, report, _ = built
    frame = pd.read_parquet(report / "figures/speed.parquet")
    timed = store.read("speed")
    for panel, part in frame.groupby("panel"):
        scope = "model" if panel.startswith("model only") else "end_to_end"
        device = next(name for name in timed["device"].unique() if name in panel)
        own = timed[(timed["scope"] == scope) & (timed["device"] == device) & (timed["batch"] == 1)]
        fps = own.set_index("backbone")["fps"]
        plain = part[(part["kind"] == "trained") & (part["architecture"] == "unet")]
        assert len(plain) >= 38
        assert plain["fps"].to_numpy() == pytest.approx(fps[plain["backbone"]].to_numpy())
        trained = part[part["kind"] == "trained"]
        for row in trained.itertuples():  # the front by its definition
            beats = (trained["fps"] >= row.fps) & (trained["mean"] <= row.mean)
            beats &= (trained["fps"] > row.fps) | (trained["mean"] < row.mean)
            assert row.on_front == (not beats.any())
    one = finished[(finished["backbone"] == "resnet34") & (finished["method"] == "mlb")]
    expected = one.groupby("image")["sad"].mean().mean()
    assert frame.loc[frame["backbone"] == "resnet34", "mean"].to_numpy() == pytest.approx(expected)
    assert FAILING not in set(frame.loc[frame["kind"] == "trained", "backbone"])


def test_failures_are_counted_and_long_errors_cut(built):
    store, report, page = built
    runs = store.read("runs")
    failed = runs[runs["status"] != "finished"]
    assert f"{len(failed)} of 200 runs did not finish" in page.text
    heads, rows = page.table("failures-by-kind")
    assert sum(int(row[heads.index("runs")][0]) for row in rows) == len(failed)
    _, single = page.table("failures")
    assert max(len(row[-1][0]) for row in single) <= 160
    whole = pd.read_csv(report / "tables/failures.csv")
    assert set(whole["error"]) == set(failed["error"])


def test_what_comes_from_the_store_is_escaped_everywhere(built):
    text = (built[1] / "index.html").read_text()
    assert "Published &lt;i&gt;Net&lt;/i&gt; &amp; co" in text
    assert "<i>" not in text
    assert "<b>strides" not in text
    assert "Published <i>" not in (built[1] / "report.md").read_text()


def test_no_value_is_shown_as_nan_or_none(built):
    assert not re.search(r"\b(nan|None|NaN|inf)\b", built[2].text.replace("the loss became NaN", ""))


def test_the_best_configuration_can_be_repeated(built, finished):
    store, report, page = built
    document = yaml.safe_load((report / "tables/blending-best.yaml").read_text())
    runs = store.read("runs").set_index("run_id")
    own = main_network(finished)
    own = own[(own["method"] == "mlb") & (own["mattes"] == FULL[0]) & (own["masks"] == FULL[1])]
    validation = own.drop_duplicates("run_id").assign(val=lambda rows: rows["run_id"].map(last_validation(store)))
    best = validation.groupby("settings")["val"].mean().idxmin()
    run_id = validation.loc[validation["settings"] == best, "run_id"].iloc[0]
    config = flatten(json.loads(runs.loc[run_id, "config"]))
    named = flatten(document["base"])
    assert {"method.blend.threshold", "method.blend.band", "method.blend.variant"} <= set(named)
    assert all(config[key] == value for key, value in named.items())
    _, rows = page.table("blending-best")
    assert rows[0][1][0] == run_id
    values = validation.groupby("settings")["val"].mean().sort_values()
    assert [numbers(row[2][0]) for row in rows] == pytest.approx(list(values[: len(rows)]), abs=6e-4)


def test_the_search_says_which_key_matters(built):
    shares = pd.read_parquet(built[1] / "figures/blending-importance.parquet").set_index("key")
    assert shares.index[0] == "method.blend.threshold"
    assert shares.loc["method.blend.threshold", "told"]
    assert not shares.loc["method.blend.refresh", "told"]


def test_licences_are_of_the_backbones_in_the_store(built):
    frame = pd.read_csv(built[1] / "tables/licences.csv", keep_default_na=False)
    assert list(frame["backbone"]) == sorted(BACKBONES)
    licence = frame.set_index("backbone")["licence"]
    assert licence[MAIN] == "apache-2.0"
    assert (licence != "").all()


@pytest.fixture(scope="module")
def comparisons(simulated):
    return compare(load(simulated.root), CostModel())


@pytest.mark.parametrize("cost", ["matte=690s,mask=79.2s", "matte=20EUR,mask=2EUR"])
def test_costs_at_every_ratio_are_those_of_the_prices(comparisons, cost):
    prices = CostModel.parse(cost)
    frame = cost_figure.by_ratio(comparisons[0], prices)
    unit = 3600 if prices.is_time else 1
    assert set(frame["ratio"].round(6)) >= {5.0, 10.0, 20.0, 40.0, round(prices.matte / prices.mask, 6)}
    expected = prices.mask * (frame["ratio"] * frame["mattes"] + frame["masks"]) / unit
    assert frame["cost"].to_numpy() == pytest.approx(expected.to_numpy())
    joined = frame[frame["on_line"] & frame["given"]].groupby("label")
    assert all((part.sort_values("cost")["mean"].diff().dropna() <= 0).all() for _, part in joined)


def crowd(root: Path, networks: int) -> tuple[Frames, list[Comparison]]:
    """A timing and a comparison for each of many backbones with long names; all comparisons are made from one run's."""
    store, rng = Store(root), np.random.default_rng(0)
    names = [f"some_family_{index % 7}_of_networks_{index:03d}" for index in range(networks)]
    store.write("runs", [run_row("mlb", 40, 1000, 0, backbone=names[0])])
    shared = {"dataset": "test", "protocol": "short512", "convention": "p3m", "truth": "exact", "metric_version": "1"}
    scores = [{**shared, "image": f"i{n}", "region": "whole", "sad": 1 + 0.1 * n} for n in range(5)]
    store.write("scores", [{**row, "run_id": "mlb-40-1000-0"} for row in scores])
    timings = []
    for index, name in enumerate(names):
        ms = float(rng.lognormal(3, 0.8))
        conditions = {"device": "CPU", "engine": "eager", "precision": "fp32", "layout": "nchw", "scope": "model"}
        timings.append(
            {
                **conditions,
                **{
                    "model": f"unet/{name}",
                    "architecture": "unet",
                    "backbone": name,
                    "params": 1_000_000 * (1 + index),
                },
                **{"batch": 1, "height": 512, "width": 512, "status": "ok", "n": 200, "p50_ms": ms, "fps": 1000 / ms},
                **{"median_low_ms": ms * 0.97, "median_high_ms": ms * 1.02, "images_per_s": 1000 / ms},
                **{"versions": VERSIONS, "started": START},
            }
        )
    store.write("speed", timings)
    frames = load(store.root)
    [one] = compare(frames, CostModel())
    return frames, [
        replace(one, network={**one.network, "backbone": name}, cells=one.cells.assign(**_times(one.cells, level)))
        for name, level in zip(names, rng.lognormal(0, 0.3, networks), strict=True)
    ]


def _times(cells: pd.DataFrame, level: float) -> dict[str, pd.Series]:
    return {column: cells[column] * level for column in ("mean", "low", "high")}


@pytest.mark.parametrize("networks", [12, 500])
def test_many_backbones_stay_readable(tmp_path, networks):
    frames, comparisons = crowd(tmp_path, networks)
    section = backbones.section(frames, comparisons)
    [picture] = [block for block in section.blocks if isinstance(block, Picture)]
    assert len(picture.frame) == networks
    front = set(picture.frame.loc[picture.frame["on_front"].astype(bool), "network"])
    [axes] = picture.figure.axes
    picture.figure.draw_without_rendering()
    names = [text for text in axes.texts if text.get_text()]
    assert {text.get_text() for text in names} & front
    assert len(names) <= speed.FRONT_NAMED + speed.OTHERS_NAMED
    boxes = [Text.get_window_extent(text) for text in names]  # without the line that leads to it
    frame = axes.get_window_extent()
    for index, box in enumerate(boxes):
        assert frame.x0 - 1 <= box.x0
        assert box.x1 <= frame.x1 + 1
        assert not any(box.overlaps(other) for other in boxes[:index])
    for block in section.blocks:
        if isinstance(block, Table):
            assert len(block.frame) == networks
            assert len(block.rows) <= max(backbones.TIMINGS, len(front) + backbones.BEST)
