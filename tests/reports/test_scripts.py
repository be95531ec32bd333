"""Names in other scripts than Latin, and names that no file can hold, in the report's figures."""

from __future__ import annotations

import io
import logging
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure

from reports.figures import scripts
from reports.figures.style import png_svg_pdf, theme

CHINESE = "模型"
NOWHERE = "\U0010fffd\U0010fffe"  # private characters: no font has them


def drawn(name: str) -> tuple[np.ndarray, str]:
    """A figure with `name` at a tick, in a title and in an annotation: its PNG and its SVG; no warning may be given."""
    with theme():
        figure = Figure(figsize=(4, 1.5), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1])
        axes.set_yticks([0, 1], [name, "plain"])
        axes.set_title(name)
        axes.annotate(name, (0.5, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, drawing, pdf = png_svg_pdf(figure).values()
        svg = drawing.decode()
    assert pdf.startswith(b"%PDF")
    assert axes.get_title(loc="left") == name  # the figure is left as it was
    return matplotlib.image.imread(io.BytesIO(png)), svg


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_name_that_no_font_has_stays_text_in_svg_and_is_coded_elsewhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scripts, "_said", set())
    caplog.set_level(logging.WARNING)
    picture, svg = drawn(f"mlb {NOWHERE}")
    assert texts(svg).count(f"mlb {NOWHERE}") == 3
    coded, _ = drawn("mlb [10FFFD][10FFFE]")
    np.testing.assert_array_equal(picture, coded)
    drawn(NOWHERE)
    [said] = caplog.messages
    assert said.startswith("No installed font has")
    assert "install one" in said


def test_control_characters_never_reach_a_file() -> None:
    _, svg = drawn("a\x1b[2J\x00b\u202e")
    assert texts(svg).count("a[1B][2J[0]b[202E]") == 3


def test_latin_names_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "_installed", lambda: pytest.fail("fonts were looked for"))
    _, svg = drawn("Zoë, Ångström −3 ×")
    assert texts(svg).count("Zoë, Ångström −3 ×") == 3


def test_an_installed_font_draws_the_names_that_the_own_one_lacks(caplog: pytest.LogCaptureFixture) -> None:
    families, without = scripts._families(frozenset(CHINESE))
    if without:
        pytest.skip("no installed font has Chinese characters")
    picture, svg = drawn(CHINESE)
    assert texts(svg).count(CHINESE) == 3
    assert f"'{families[0]}'" in svg
    assert not caplog.messages
    assert picture.shape != drawn("[6A21][578B]")[0].shape or not np.array_equal(picture, drawn("[6A21][578B]")[0])
    assert font_manager.findfont(families[0], fallback_to_default=False)
