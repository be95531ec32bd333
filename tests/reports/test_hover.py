"""Points of figures on the page: where they are, that they say what the tables hold, and nothing of a store unescaped."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench.store import Store
from reports.figures import style
from reports.figures.hover import overlay, tell
from reports.page import build
from tests.reports.example_store import run_row, score_rows, speed_rows
from tests.reports.pages import Page
from wsshm.errors import printable

POINT = re.compile(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="[\d.]+" role="img"><title>([^<]*)</title></circle>')
HOSTILE = "</title><script>alert(1)</script>"
CONTROL = "\x1b[2J\u202e"


def scattered(said: str = "") -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    for axes in figure.subplots(1, 2):
        axes.scatter([3, 1, 2], [5, 50, 7])
        axes.set_yscale("log")
        for x, y in ((3, 5), (1, 50), (2, 7)) if said else ():
            tell(axes, x, y, f"{said}\n{x}")
    return figure


def test_a_point_lies_on_its_mark_and_is_found_from_left_to_right():
    figure = scattered("a point")
    marks = re.findall(
        r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: #', style.png_svg_pdf(figure)[".svg"].decode()
    )
    found = POINT.findall(overlay(figure))
    assert [title for *_, title in found] == ["a point\n1", "a point\n2", "a point\n3"] * 2
    drawn = sorted((float(x), float(y)) for x, y in marks)
    assert len(drawn) == 6
    np.testing.assert_allclose([(float(x), float(y)) for x, y, _ in found], drawn, atol=0.01)


def test_the_files_of_a_figure_are_those_of_one_whose_points_say_nothing():
    assert style.png_svg_pdf(scattered("said")) == style.png_svg_pdf(scattered())
    assert overlay(scattered()) == ""


def test_a_point_without_a_place_says_nothing():
    figure = Figure()
    axes = figure.subplots()
    tell(axes, np.nan, 1, "nowhere")
    assert overlay(figure) == ""


def test_a_text_of_any_length_is_cut_and_holds_no_control_character():
    figure = Figure()
    tell(figure.subplots(), 1, 1, f"{'x' * 999}\n{HOSTILE}{CONTROL}")
    [(_, _, title)] = POINT.findall(overlay(figure))
    first, second = html.unescape(title).split("\n")
    assert len(first) == 160
    assert second == "</title><script>alert(1)</script>\\x1b[2J\\u202e"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The page of two networks of hostile names, both timed in two ways, one scored by two seeds, and of one only timed."""
    store = Store(tmp_path_factory.mktemp("hover") / "store")
    for seed, network in ((0, HOSTILE), (1, HOSTILE), (0, "other")):
        row = run_row("mlb", 40, 1000, seed, backbone=network, run_id=f"run-<i>{CONTROL}{network[:2]}-{seed}")
        store.write("runs", [row])
        store.write("scores", score_rows(row["run_id"], 1.0, np.linspace(0.5, 1.5, 6), np.random.default_rng(seed)))
    rows = [row for row in speed_rows(np.random.default_rng(0)) if row["status"] == "ok" and row["batch"] == 1]
    [timed] = [row for row in rows if row["scope"] == "model"][:1]
    for engine, factor in (("eager", 1.0), ("openvino", 4.0)):
        own = {"engine": engine, "p50_ms": timed["p50_ms"] / factor, "fps": timed["fps"] * factor}
        own |= {"median_low_ms": timed["median_low_ms"] / factor, "median_high_ms": timed["median_high_ms"] / factor}
        networks = (HOSTILE, "other", "never trained")
        store.write("speed", [timed | own | {"backbone": name, "model": f"unet/{name}"} for name in networks])
    page = build(store.root, tmp_path_factory.mktemp("report"))
    return page.read_text(), page.parent


def points(page: str, figure: str) -> list[str]:
    drawing = page[page.index(f'<figure id="figure-{figure}">') :].partition("</figure>")[0]
    return [html.unescape(title) for *_, title in POINT.findall(drawing)]


def test_points_of_the_frontier_say_network_way_error_rate_and_runs(built):
    page, folder = built
    frame = pd.read_parquet(folder / "figures/speed.parquet")
    said = points(page, "speed")
    trained = frame[frame["kind"] == "trained"]
    assert len(said) == len(trained) + frame.loc[frame["kind"] == "timed", "fastest"].sum() == 5
    for row in trained.itertuples():
        [lines] = [text.split("\n") for text in said if text.startswith(f"{row.network}\n{row.engine}, ")]
        assert lines[-1].replace(" and ", " ").split()[1:] == [printable(run_id) for run_id in row.run_ids.split()]
        assert lines[1] == f"{row.engine}, {row.precision}, {row.layout}"
        error = f"SAD (10³ px): {row.mean:.3f}, 95 % interval {row.low:.3f} to {row.high:.3f}"
        assert lines[2] == error + " (scored in eager, fp32)" * (row.engine != "eager")
        rate = f"frames per second: {row.fps:.1f}, 95 % interval {row.fps_low:.1f} to {row.fps_high:.1f}"
        assert lines[3] == rate
    assert [text.split("\n")[-1] for text in said if text.startswith("unet/never trained")] == [
        "no finished run was trained with it"
    ]


def test_points_of_the_methods_say_labels_and_runs(built):
    page, folder = built
    frame = pd.read_parquet(folder / "figures/methods.parquet")
    said = points(page, "methods")
    assert len(said) == len(frame)
    row = frame[frame["measure"] == "sad"].iloc[0]
    [text] = [text for text in said if "SAD (10³ px), whole image" in text]
    assert f"{row['mean']:.3f}" in text
    assert "40 mattes + 1,000 masks, 2 seeds, 6 images" in text
    assert text.endswith("runs run-<i>\\x1b[2J\\u202e</-0 and run-<i>\\x1b[2J\\u202e</-1")


def test_nothing_of_a_hostile_store_is_markup_or_control_on_the_page(built):
    page = Page(built[0])
    assert [tag for tag, _ in page.tags if tag in ("i", "script")] == ["script"]
    assert "alert" not in page.script
    for figure in ("speed", "methods"):
        assert not any(character in text for text in points(built[0], figure) for character in ("\x1b", "\u202e"))


def test_headings_look_sortable_only_where_scripts_run_and_never_in_print(built):
    page = built[0]
    style_sheet = page.partition("</style>")[0]
    assert "th[tabindex]::after" in style_sheet
    assert "th[tabindex]::after { content: none; }" in style_sheet.partition("@media print")[2]
    assert "⇅" not in page.partition("</style>")[2]
    assert not [attributes for tag, attributes in Page(page).tags if tag == "th" and "tabindex" in attributes]
    assert "head.tabIndex = 0" in Page(page).script


def test_what_all_timings_share_is_no_column_but_said_once(built):
    headings, _ = Page(built[0]).table("speed")
    assert not {"size", "batch"} & set(headings)
    assert "All rows: Example CPU, 2 threads, channels_last, 128×128 px, batch 1." in Page(built[0]).text
