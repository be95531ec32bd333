"""The measures of a matte, a row each: the store's columns, the commands' tables and reports are made from them.

To add a measure, register it in a file that `WSSHM_PLUGINS` names (see `wsshm.plugins`); no other file changes:

    import numpy as np
    from wsshm.measures import Measure, register

    def bias(matte, label, where):
        return float(np.mean((matte - label)[where]) ** 2) if where.any() else None

    register(Measure("bias", "Bias²", "square of the mean error", value=bias, reported=("whole",)))

Values are numbers of at least 0. `bench accuracy`, `bench evaluate` and sweeps then write a column `bias`, and reports
compare it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wsshm import plugins
from wsshm.errors import UserError

REGIONS = ("whole", "unknown", "boundary", "foreground", "background")
"""`unknown`, `foreground` and `background` are the trimap's; `boundary` is where 0.05 < label < 0.95."""
ALL_BUT_BOUNDARY = tuple(region for region in REGIONS if region != "boundary")
THOUSANDS = "thousands of pixels"
ROUNDED = 1e-9
"""How far arithmetic may lead a value beyond its bounds."""


@dataclass(frozen=True)
class Measure:
    """One measure of an image: its column in the store, and how it is printed.

    `unit` is the column's, `most` its largest possible value. `regions` are those it is defined over; reports compare it
    over `reported` on their page, and over `further` when asked, times `scale` in `printed_unit`; `bench evaluate` and
    `bench accuracy` print the column's own values. `value(matte, label, where)` computes it from float64 H x W arrays in
    [0,1] and a bool H x W region, None where it is not defined; only ours, which are summed together in one pass
    (`wsshm.metrics`), have none. A measure has no version: when its definition changes give it another name, or rows of
    both definitions enter one mean.
    """

    name: str
    header: str
    about: str
    unit: str = "1"
    higher_is_better: bool = False
    most: float | None = None
    regions: tuple[str, ...] = ("whole",)
    reported: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    scale: float = 1.0
    printed_unit: str = ""
    value: Callable[[Any, Any, Any], float | None] | None = None

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return "↑" if self.higher_is_better else "↓"


MEASURES: dict[str, Measure] = {}


def register(measure: Measure) -> Measure:
    """Add a measure to the table. UserError if its name is taken, it names a region that does not exist, or has no value."""
    if measure.name in MEASURES and MEASURES[measure.name] != measure:
        raise UserError(f"there is a measure {measure.name!r} already; give this one another name")
    if not measure.name.isidentifier() or measure.name != measure.name.lower():
        raise UserError(
            f"a measure's name is that of a column: letters, digits and _, in lower case, not {measure.name!r}"
        )
    for region in (*measure.regions, *measure.reported, *measure.further):
        if region not in measure.regions or region not in REGIONS:
            raise UserError(
                f"the measure {measure.name} is not defined over {region!r}; its regions are {measure.regions}"
            )
    if measure.value is None:
        raise UserError(f"the measure {measure.name} has no value; give it value=FUNCTION(matte, label, where)")
    MEASURES[measure.name] = measure
    return measure


for _measure in (
    Measure(
        "sad",
        "SAD",
        "sum of absolute differences",
        THOUSANDS,
        regions=ALL_BUT_BOUNDARY,
        reported=("whole", "unknown"),
        printed_unit="10³ px",
    ),
    Measure(
        "mse",
        "MSE",
        "mean squared error",
        regions=ALL_BUT_BOUNDARY,
        reported=("whole",),
        further=("unknown",),
        scale=1e3,
        printed_unit="10⁻³",
    ),
    Measure(
        "mad",
        "MAD",
        "mean absolute difference",
        regions=REGIONS,
        reported=("whole", "unknown", "boundary"),
        scale=1e3,
        printed_unit="10⁻³",
    ),
    Measure(
        "grad",
        "Grad",
        "squared difference of the gradients' magnitudes, scaled as its convention says",
        unit="",
        regions=ALL_BUT_BOUNDARY,
        reported=("whole",),
        further=("unknown",),
    ),
    Measure(
        "conn",
        "Conn",
        "difference of the degrees of connectedness",
        THOUSANDS,
        regions=ALL_BUT_BOUNDARY,
        reported=("whole",),
        further=("unknown",),
        printed_unit="10³ px",
    ),
    Measure("iou", "IoU", "intersection over union at alpha 0.5", higher_is_better=True, most=1.0, reported=("whole",)),
    Measure("boundary_f", "boundary F", "F measure of the boundary at alpha 0.5", higher_is_better=True, most=1.0),
    Measure("dtssd", "dtSSD", "difference of the changes between two frames of a video"),
):
    MEASURES[_measure.name] = _measure

plugins.load()  # before the store's columns and the tables are made from the table
