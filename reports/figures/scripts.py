"""Names in any script: installed fonts that have the characters which the figures' own font lacks."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from wsshm.errors import printable

PLAIN = ("sans", "gothic", "hei")  # what families are called that go with a sans-serif
NO_LETTERS = "last resort"  # draws boxes for everything
TRIED = 2000  # fonts are looked into, at most
log = logging.getLogger("reports.figures")
_said: set[str] = set()


@contextmanager
def legible(figure: Figure, rasters: bool) -> Iterator[None]:
    """Within the block every character of the figure has a font, or with `rasters` is written as its code.

    Without `rasters` (SVG) text stays as it is, for the reader's own fonts to show. One log line names the characters
    that no installed font has. Control characters, which XML cannot hold, become codes always.
    """
    texts = [(text, text.get_text(), text.get_fontfamily()) for text in figure.findobj(Text) if text.get_text()]
    used = {character for _, content, _ in texts for character in content} - {"\n"}
    controls = frozenset(character for character in used if printable(character) != character)  # no file may hold them
    lacking = frozenset(character for character in used if ord(character) not in _own_characters()) - controls
    if not lacking | controls:
        yield
        return
    families, unknown = _families(lacking)
    _say(unknown)
    without = controls | unknown if rasters else controls
    with ExitStack() as after:
        for text, content, family in texts:
            if families and not lacking.isdisjoint(content):
                after.callback(text.set_fontfamily, family)
                after.callback(text.set_fontweight, text.get_fontweight())
                text.set_fontweight("normal")  # the one weight that every font has
                text.set_fontfamily([*mpl.rcParams["font.sans-serif"][:1], *families, "sans-serif"])
            if not without.isdisjoint(content):
                after.callback(text.set_text, content)
                text.set_text(_coded(content, without))
        if without:  # names at ticks are written anew whenever the figure is drawn
            for formatter in {axis.get_major_formatter() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)}:
                after.callback(delattr, formatter, "format_ticks")
                vars(formatter)["format_ticks"] = _coding(formatter.format_ticks, without)
        after.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="Glyph ")  # of SVG: another machine may have the font
        yield


def _coding(format_ticks: Callable[[Any], list[str]], without: frozenset[str]) -> Callable[[Any], list[str]]:
    return lambda values: [_coded(text, without) for text in format_ticks(values)]


def _say(without: frozenset[str]) -> None:
    new = sorted(without - _said)
    if new:
        _said.update(new)
        shown = " ".join(new[:8]) + (" ..." if len(new) > 8 else "")
        log.warning(
            f"No installed font has {shown}: figures show them by their codes as PNG and PDF, and by the reader's fonts as SVG;"
            " install one (such as fonts-noto-cjk for Chinese, Japanese and Korean) and rerun the command"
        )


def _coded(text: str, without: frozenset[str]) -> str:
    return "".join(f"[{ord(character):X}]" if character in without else character for character in text)


@functools.cache
def _own_characters() -> frozenset[int]:
    return _characters(font_manager.findfont(mpl.rcParams["font.sans-serif"][0]))


@functools.lru_cache(maxsize=256)
def _characters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):  # a broken file among the installed ones
        return frozenset()


@functools.lru_cache
def _families(lacking: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Families of installed fonts that together have most of the characters, and those that none has."""
    candidates = [(name, _characters(path)) for name, path in sorted(_installed(), key=_plainness)[:TRIED]]
    without, families = {ord(character) for character in lacking}, []
    while without and candidates:
        name, has = max(candidates, key=lambda one: len(without & one[1]))  # of equals the first
        if not without & has:
            break
        families.append(name)
        without -= has
    return families, frozenset(map(chr, without))


def _plainness(font: tuple[str, str]) -> tuple[bool, str, str]:
    return (not any(word in font[0].lower() for word in PLAIN), *font)


def _installed() -> set[tuple[str, str]]:
    """Families and files of upright fonts, those installed since matplotlib kept its list included."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in set(font_manager.findSystemFonts()) - known:
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError, ValueError):
            continue
    return {
        (entry.name, entry.fname)
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and NO_LETTERS not in entry.name.lower().replace("lastresort", NO_LETTERS)
    }
