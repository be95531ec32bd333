"""Our measures held to the published codes' behaviour, convention by convention, on made-up pairs.

`bench.micro.published` says slowly what each code computes; the pairs hold what such codes differ by: 8-bit values that
meet thresholds, hair, mattes that reach few thresholds or none, noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import rich.box
import rich.table
from numpy.typing import NDArray

from bench.micro import published
from bench.micro.mattes import blob, hair, noise, static
from wsshm.console import track
from wsshm.metrics import CONVENTIONS, REGIONS, score
from wsshm.terminal import print_whole

SIZE = 56
RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""A value agrees if it lies within one of these of the published code's."""
SHOWN_ABOVE = 1e-7
"""Smaller values are passed over by the largest relative difference: they are rounding themselves."""
Alpha = NDArray[np.float64]


class Pair(NamedTuple):
    """A matte and its label, 8-bit values in float64, and the trimap; None where it is derived from the label."""

    name: str
    matte: Alpha
    label: Alpha
    trimap: NDArray[np.uint8] | None = None


class Gap(NamedTuple):
    """How far values lie apart at most: absolutely, and relative to the published code's."""

    absolute: float = 0.0
    relative: float = 0.0
    beyond: int = 0

    def widened(self, expected: float, found: float) -> Gap:
        """The same with one more pair of values."""
        apart = abs(found - expected)
        relative = apart / abs(expected) if abs(expected) > SHOWN_ABOVE else 0.0
        beyond = not apart <= max(ABSOLUTE, RELATIVE * abs(expected))
        return Gap(max(self.absolute, apart), max(self.relative, relative), self.beyond + beyond)


def pairs() -> Iterator[Pair]:
    """Twenty pairs, the same every time."""
    for number in range(6):
        yield _of_files(f"hair {number}", *hair(SIZE + number, strands=60))
    for number in range(4):
        yield _of_files(f"blob {number}", *blob(SIZE + number), trimap=number % 2 == 1)
    for number in range(4):
        yield _at_thresholds(np.random.default_rng(number), number)
    matte, label = (_levels(alpha) for alpha in hair(SIZE, strands=60))
    yield Pair("flat at 153", np.full_like(label, 153 / 255), label)
    yield Pair("empty matte", np.zeros_like(label), label)
    yield Pair("full matte", np.ones_like(label), label)
    yield Pair("empty label", matte, np.zeros_like(label))
    yield _of_files("noise", *noise(SIZE))
    yield _of_files("static", *static(SIZE))


def run() -> bool:
    """Print the table; whether every value agreed."""
    gaps: dict[tuple[str, str], Gap] = {}
    made = list(pairs())
    tenths = empties = Gap()
    for pair in track(made, len(made), "measuring slowly"):
        for convention in CONVENTIONS:
            expected = published.score(*pair[1:], convention)
            for found in score(*pair[1:], convention=convention):
                for measure, value in expected[found.region].items():
                    if value is not None:
                        key = convention, measure
                        gaps[key] = gaps.get(key, Gap()).widened(value, getattr(found, measure))
        ours, with_tenths, skipping = (
            float(published.connectivity_terms(pair.matte, pair.label, rule, skips_empty=skips).sum())
            for rule, skips in (("p3m", False), ("dim", False), ("p3m", True))
        )
        tenths, empties = tenths.widened(ours, with_tenths), empties.widened(ours, skipping)
    print(f"{len(made)} made-up pairs of {SIZE} to {SIZE + 5} px, {len(REGIONS)} regions; largest differences from the")
    print(f"published code's behaviour; tolerance: {RELATIVE:g} of the value, or {ABSOLUTE:g}")
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("convention", "version", "measure", "absolute", "relative", ""):
        table.add_column(heading, justify="right" if heading in ("absolute", "relative") else "left", no_wrap=True)
    for (convention, measure), gap in gaps.items():
        verdict = f"{gap.beyond} values DIFFER" if gap.beyond else "ok"
        numbers = f"{gap.absolute:.1e}", f"{gap.relative:.1e}"
        table.add_row(convention, CONVENTIONS[convention].version, measure, *numbers, verdict)
    print_whole(table)
    print(
        f"Thresholds at i/10 in place of NumPy's arange(0, 1.1, 0.1) would change p3m's conn of {tenths.beyond} pairs, by up"
        f" to {tenths.relative:.2%}."
    )
    print(
        f"Not copied: P3M's code skips thresholds that no pixel of both reaches, which would change conn of {empties.beyond}"
        " pairs; a matte of nothing at all would have an error of 0."
    )
    return not any(gap.beyond for gap in gaps.values())


def _levels(alpha: NDArray[np.floating]) -> Alpha:
    levels: Alpha = np.rint(alpha * np.float64(255)) / 255
    return levels


def _of_files(name: str, matte: NDArray[np.floating], label: NDArray[np.floating], trimap: bool = False) -> Pair:
    """A pair as 8-bit files hold it, with a trimap that was drawn by hand where `trimap`."""
    p, g = _levels(matte), _levels(label)
    if not trimap:
        return Pair(name, p, g)
    drawn = np.where(g > 0.9, np.uint8(255), np.uint8(0))
    drawn[len(g) // 4 : -len(g) // 4, ::2] = 128
    return Pair(name, p, g, drawn)


def _at_thresholds(rng: np.random.Generator, number: int) -> Pair:
    """Patches whose 8-bit values are tenths, or next to them."""
    side = SIZE // 8
    label, matte = (
        np.kron(rng.choice([0, 51, 102, 152, 153, 153, 154, 204, 255], (8, 8)), np.ones((side, side))) / 255
        for _ in "pg"
    )
    return Pair(f"at thresholds {number}", matte, label)
