"""Frame rates without errors: a row for each model, from the slowest below to the fastest above, a dot for each way."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from reports.figures import rates
from reports.figures.style import PAPER


def timed(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"network": n, "engine": e, "precision": p, "fps": fps, "fps_low": fps * 0.9, "fps_high": fps * 1.1}
            for n, e, p, fps in rows
        ]
    )


SEVERAL = timed(
    ("unet/a", "eager", "fp32", 10.0),
    ("unet/a", "openvino", "fp32", 30.0),
    ("unet/a", "openvino", "int8", 60.0),
    ("fast/b", "eager", "fp32", 40.0),
)


def test_a_model_has_one_row_and_a_dot_for_each_way() -> None:
    axes = Figure().subplots()
    rates.panel(axes, SEVERAL, rates.looks_of(SEVERAL))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fast/b", "unet/a"]  # 60 is above 40
    dots = {
        round(float(line.get_xdata()[0])): float(line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() not in ("", "None", None)
    }
    assert set(dots) == {10, 30, 40, 60}
    assert dots[40] == 0
    assert 0.5 < dots[10] < dots[30] < dots[60] < 1.5


def test_the_legend_tells_engines_by_colour_and_precisions_by_marker() -> None:
    look = {entry.get_label(): entry for entry in rates.legend(rates.looks_of(SEVERAL))}
    assert list(look) == ["eager, fp32", "openvino, fp32", "openvino, int8"]
    full, quantised = look["openvino, fp32"], look["openvino, int8"]
    assert full.get_color() == quantised.get_color() != look["eager, fp32"].get_color()
    assert (full.get_marker(), quantised.get_marker()) == ("o", "^")
    assert to_hex(quantised.get_markerfacecolor()) == PAPER


@pytest.mark.parametrize(("rows", "lower"), [(SEVERAL.head(1), True), (SEVERAL, False)])
def test_one_way_needs_no_legend_and_less_room(rows: pd.DataFrame, lower: bool) -> None:
    assert (rates.legend(rates.looks_of(rows)) == []) is lower
    assert rates.height(rows) == pytest.approx(1.24 if lower else 1.72)
