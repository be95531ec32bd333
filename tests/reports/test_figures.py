"""What figures show: the frames they are drawn from, and the look that all share."""

from __future__ import annotations

import io
import re

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from bench.cost import CostModel
from bench.store import Store
from reports.comparison import compare
from reports.figures import box_blend, cost, curves, methods, qualitative, speed, style
from reports.figures.labels import name_apart
from reports.load import load
from tests.reports import stored_findings
from tests.reports.example_store import BACKBONE, TIMED_ONLY, VERSIONS, fill
from wsshm.methods import listed


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    store = fill(tmp_path_factory.mktemp("store"), images=8)
    frames = load(store.root)
    [comparison] = compare(frames, CostModel())
    return frames, comparison


def test_methods_figure_ranks_a_methods_labels_by_their_cost(example):
    frame = methods.data(example[1])
    assert set(frame["measure"]) == {"sad", "grad", "mad_boundary"}
    mlb = frame[(frame["label"] == "mlb") & (frame["measure"] == "sad")].set_index("rank")
    assert list(mlb.loc[[0, 1], "mattes"]) == [40, 10]


def test_cost_figure_is_in_the_prices_unit(example):
    hours = cost.data(example[1], CostModel(), ("sad",)).set_index(["label", "mattes"])
    assert hours.loc[("mlb", 40), "cost"] == pytest.approx((40 * 690 + 1000 * 79.2) / 3600)
    assert hours.loc[("seg_only", 0), "cost"] == pytest.approx(22)
    [comparison] = compare(example[0], euros := CostModel.parse("matte=23EUR,mask=2EUR"))
    money = cost.data(comparison, euros, ("sad",)).set_index(["label", "mattes"])
    assert money.loc[("mlb", 40), "cost"] == 2920
    assert set(money["cost_unit"]) == {"EUR"}


def test_speed_panels_hold_only_what_was_timed_alike(example):
    frames, comparison = example
    frame = speed.data([comparison], frames.speed)
    assert frame["panel"].nunique() == 2
    for panel, part in frame.groupby("panel"):
        timed = frames.speed[(frames.speed["batch"] == 1) & (frames.speed["status"] == "ok")]
        scope = "model" if panel.startswith("model only") else "end_to_end"
        expected = timed[(timed["scope"] == scope)].set_index("backbone")["fps"]
        [trained] = part[part["kind"] == "trained"].to_dict("records")
        assert trained["backbone"] == BACKBONE
        assert trained["fps"] == pytest.approx(expected[BACKBONE])
        assert (trained["label"], trained["mattes"]) == ("mlb", 40)
        only = part[part["kind"] == "timed"]
        assert list(only["backbone"]) == [TIMED_ONLY]
        assert only["fps"].iloc[0] == pytest.approx(expected[TIMED_ONLY])
        assert list(part.loc[part["on_front"], "network"]) == [BACKBONE]
        assert ((part["fps_low"] < part["fps"]) & (part["fps"] < part["fps_high"])).all()


def test_a_timing_without_an_interval_is_a_point_all_the_same(example):
    timed = example[0].speed.assign(median_low_ms=np.nan, median_high_ms=np.nan)
    frame = speed.data([example[1]], timed)
    assert (frame["fps_low"] == frame["fps_high"]).all()
    assert len(speed.draw(frame).axes) == 2


def test_a_runs_own_timing_goes_before_its_backbones(example, tmp_path):
    frames, comparison = example
    row = frames.speed[(frames.speed["batch"] == 1) & (frames.speed["status"] == "ok")].iloc[0]
    row = {
        key: row[key] for key in row.index if key not in ("samples_ms", "versions", "run_id", "energy_j", "compile_s")
    }
    row = {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()}
    row = {key: value for key, value in row.items() if value is not None and value == value} | {"versions": VERSIONS}
    row |= {"backbone": BACKBONE, "model": "trained", "run_id": "mlb-40-1000-0", "fps": 5.0}
    generic = row | {"run_id": None, "model": "generic", "fps": 7.0}
    foreign = row | {"run_id": "another", "model": "foreign", "fps": 9.0}
    for rows, expected in (([row, generic], 5.0), ([generic, foreign], 7.0), ([foreign], 9.0)):
        part = Store(tmp_path / str(expected))
        part.write("speed", rows)
        [found] = speed.data([comparison], part.read("speed"))["fps"]
        assert found == expected


def test_curves_put_stages_one_after_the_other(example):
    frames, comparison = example
    frame = curves.data(comparison, comparison.budgets[1], frames.runs, frames.epochs)
    assert set(frame["mattes"]) == {0, 10, 1010}
    part = frame[(frame["run_id"] == "mlb-10-1000-0") & (frame["key"] == "val_sad")]
    assert list(part["x"]) == list(range(1, 9))
    assert list(part["stage"]) == ["teacher"] * 4 + ["student"] * 4
    assert list(part["last_stage"]) == [False] * 4 + [True] * 4
    from_one = frames.epochs.assign(epoch=frames.epochs["epoch"] + 1)
    again = curves.data(comparison, comparison.budgets[1], frames.runs, from_one)
    assert list(again["x"]) == list(frame["x"])


def test_qualitative_sheet_takes_teacher_and_label_from_the_largest_mlb_run(example):
    frames, comparison = example
    frame = qualitative.data(comparison, comparison.budgets[0], frames.runs, frames.pictures(frames.runs["run_id"]))
    assert frame["image"].nunique() == 4
    one = frame[frame["image"] == "test-0000"].set_index("column")
    methods_shown = ["matte_only", "seg_only", "joint", "matte_then_seg", "mlb", "oracle"]
    assert set(one.index) == {
        "photo",
        "mask",
        "teacher matte",
        "blended label",
        "truth",
        "error of mlb",
        *methods_shown,
    }
    assert one.loc["blended label", "run_id"] == "mlb-40-1000-0"
    assert one.loc["matte_only", "run_id"] == "matte_only-40-0-0"
    scores = frames.scores[(frames.scores["run_id"] == "mlb-40-1000-0") & (frames.scores["region"] == "whole")]
    assert one.loc["mlb", "sad"] == scores.set_index("image").loc["test-0000", "sad"]


def test_a_damaged_picture_does_not_lose_the_sheet(example):
    frames, comparison = example
    frame = qualitative.data(comparison, comparison.budgets[0], frames.runs, frames.pictures(frames.runs["run_id"]))
    frame.loc[0, "png"] = b"no picture"
    texts = [text.get_text() for axes in qualitative.draw(frame).axes for text in axes.texts]
    assert [text for text in texts if text.startswith("damaged")] == ["damaged\nor too large"]


def test_every_method_has_its_own_colour_whatever_else_is_shown():
    own = [method.name for method in listed() if method.colour]
    everything = style.colours(own)
    rivals = [name for name in own if name not in ("mlb_masklabel", "oracle")]
    assert len({everything[name] for name in rivals}) == len(rivals) > 5
    assert style.colours(["joint", "new_method", "mlb"])["mlb"] == everything["mlb"]
    assert len(set(style.colours(["mlb, band=1", "mlb, band=2", "mlb, band=3"]).values())) == 3


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12), st.floats(0.01, 2))
def test_labels_are_moved_apart_in_order_and_around_where_they_belong(positions, gap):
    moved = np.array(style.apart(positions, gap))
    ordered = moved[np.argsort(positions, kind="stable")]
    assert (np.diff(ordered) >= gap - 1e-6).all()
    assert moved.mean() == pytest.approx(np.mean(positions), abs=1e-6)
    if len(positions) == 1 or np.diff(np.sort(positions)).min() >= gap:
        assert moved == pytest.approx(positions, abs=1e-6)


def test_an_inlined_drawing_has_ids_of_its_own_and_no_fixed_neutral_colour(example):
    with style.theme():
        figure = cost.draw(cost.data(example[1], CostModel()))
    text = style.png_svg_pdf(figure)[".svg"].decode()
    body = style.inline(text, "cost")
    assert body.startswith("<svg")
    assert all(name.startswith("cost-") for name in re.findall(r'\bid="([^"]*)"', body))
    used = set(re.findall(r'(?:url\(|href=")#([^")]*)', body))
    assert used <= set(re.findall(r'\bid="([^"]*)"', body))
    assert not any(colour in body for colour in style.CSS_VARIABLES)
    assert ">mlb<" in body  # text stays text


def test_an_error_map_is_the_difference_of_matte_and_truth(example):
    frames, comparison = example
    frame = qualitative.data(comparison, comparison.budgets[0], frames.runs, frames.pictures(frames.runs["run_id"]))
    one = frame[frame["image"] == "test-0001"].set_index("column")["png"]
    error, matte, truth = (
        imread(io.BytesIO(one[name]), format="png")[..., 0].astype(float) for name in ("error of mlb", "mlb", "truth")
    )
    assert error == pytest.approx(np.abs(matte - truth), abs=2 / 255)


@pytest.fixture(scope="module")
def laid_out():
    with style.theme():
        axes = Figure(figsize=(9, 4), layout="constrained").subplots()
        axes.set_xlim(-0.1, 1.1)
        axes.set_ylim(-0.1, 1.1)
        axes.figure.draw_without_rendering()
        return axes


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=25), st.integers(1, 30))
@hypothesis.example(
    [(1.0, 0.5), *[(1.0, 0.25)] * 4, (0.875, 0.0), (0.75, 0.25)], 23
)  # letters on whole pixels are wider
def test_names_never_cover_each_other(laid_out, places, letters):
    for text in list(laid_out.texts):
        text.remove()
    points = [style.Point(x, y, f"{index}" + "m" * letters, "k") for index, (x, y) in enumerate(places)]
    written = name_apart(laid_out, points, bold=())
    assert written == len(laid_out.texts) >= 1
    for text in laid_out.texts:
        text.get_window_extent()  # puts it in its place
    boxes = [Text.get_window_extent(text) for text in laid_out.texts]  # without the line that leads to it
    assert not any(one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index])


def test_a_name_with_dollar_signs_stays_a_name():
    with style.theme():
        figure = Figure()
        figure.subplots().set_title(r"cost $\nonsense$ & <b>")
        text = style.png_svg_pdf(figure)[".svg"].decode()
    assert r"$\nonsense$ &amp; &lt;b&gt;" in text


@pytest.mark.parametrize("name", ["quickstart", "photos-given", "methods"])
def test_names_in_the_cost_figure_cover_neither_each_other_nor_a_mark(name):
    for comparison in compare(load(stored_findings.HERE / "findings" / name), CostModel()):
        frame = cost.data(comparison, CostModel())
        with style.theme():
            drawn = cost.draw(frame)
            drawn.draw_without_rendering()
        for axes, measure in zip(drawn.axes, dict.fromkeys(frame["measure"]), strict=True):
            part = frame[frame["measure"] == measure]
            assert {label.partition(" (control)")[0] for label in map(Text.get_text, axes.texts)} >= set(part["label"])
            boxes = [Text.get_window_extent(text) for text in axes.texts]
            assert not any(one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index])
            marks = axes.transData.transform(part[["cost", "mean"]].to_numpy())
            assert not any(box.contains(*mark) for box in boxes for mark in marks)


@pytest.mark.parametrize(
    ("low", "high", "steps"), [(5, 60, (1.0, 2.0, 5.0)), (1500, 150_000, (1.0, 3.0)), (100, 9e7, (1.0,))]
)
def test_ticks_are_as_many_as_have_room(low, high, steps):
    assert cost._steps(low, high, 2.65) == steps


def test_curves_are_called_by_what_they_show(example):
    frames, comparison = example
    frame = curves.data(comparison, comparison.budgets[0], frames.runs, frames.epochs)
    with style.theme():
        titles = [axes.get_title(loc="left") for axes in curves.draw(frame).axes]
    assert titles[:2] == ["training loss", "validation SAD"]
    assert curves.named("val_mad") == ("validation MAD", "MAD (10⁻³); lower is better")
    assert curves.named("val_boundary_f") == ("validation boundary f", "")
    assert curves.named("lr") == ("lr", "")


def test_a_legend_has_no_more_columns_than_fit():
    assert style.legend_columns(["mlb", "joint"]) == 2
    many = ["a_method_with_a_long_name"] * 12
    columns = style.legend_columns(many)
    assert 1 < columns < 6
    figure = Figure(figsize=(style.WIDTH, 3), layout="constrained")
    handles = [figure.subplots().plot([0], label=name)[0] for name in many]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8.5)
    figure.draw_without_rendering()
    assert legend.get_window_extent().width <= figure.bbox.width


@pytest.mark.parametrize(
    ("sets", "shown"),
    [
        (("procedural/test", "procedural/test-shifted"), ["test", "test-shifted"]),
        (("photos.parquet", "painted/painted.parquet"), ["photos", "painted"]),
        (("a/test", "b/test"), ["a/test", "b/test"]),
        (("a/x.parquet", "b/y.parquet"), ["a/x.parquet", "b/y.parquet"]),
    ],
)
def test_a_small_figures_legend_tells_test_sets_apart_in_few_letters(sets: tuple[str, str], shown: list[str]) -> None:
    own = {"label": "joint", "mean": 1.0, "percent": 0.0, "low": np.nan, "high": np.nan, "verdict": ""}
    frame = pd.DataFrame([own | {"set": place, "dataset": name} for place, name in enumerate(sets)])
    with style.theme():
        [legend] = box_blend.draw(frame).legends
    assert [text.get_text() for text in legend.get_texts()] == shown
