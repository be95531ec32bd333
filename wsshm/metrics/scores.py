"""Every measure of one image in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError, first_line, nearest
from wsshm.measures import MEASURES, REGIONS, ROUNDED
from wsshm.metrics.conventions import CONVENTIONS, convention_named
from wsshm.metrics.inputs import as_image, as_pair, checked_trimap, clipped, on_accelerator
from wsshm.metrics.kernels.contour import boundary_f
from wsshm.metrics.kernels.pointwise import ZONES, zones_of
from wsshm.metrics.tally import Tally, tally
from wsshm.metrics.trimap import BOUNDARY, derive_trimap, unknown_radius

POINTWISE = ("sad", "mse", "mad", "grad", "conn", "iou")  # what `score` gives


@dataclass(frozen=True)
class RegionScores:
    """One image's measures over one region, in its convention's units; None where a measure is not defined there.

    `unknown_px` is the dilation radius of the unknown region where it was derived from the label, in pixels. `added`
    holds the measures that were added to the table from outside (`wsshm.measures`).
    """

    region: str
    convention: str
    metric_version: str
    unknown_px: int | None = None
    sad: float | None = None
    mse: float | None = None
    mad: float | None = None
    grad: float | None = None
    conn: float | None = None
    iou: float | None = None
    boundary_f: float | None = None
    dtssd: float | None = None
    added: Mapping[str, float | None] = field(default_factory=dict)

    def value(self, measure: str) -> float | None:
        """A measure by its name."""
        return self.added[measure] if measure in self.added else getattr(self, measure, None)

    def as_row(self) -> dict[str, Any]:
        """The results store's columns, in which MSE, MAD and dtSSD stand without the convention's factor."""
        rules = next(c for c in CONVENTIONS.values() if c.version == self.metric_version)
        row = asdict(self)
        row |= row.pop("added")
        return row | {name: row[name] / rules.factor(name) for name in MEASURES if row.get(name) is not None}


def score(
    matte: Any,
    label: Any,
    trimap: Any = None,
    *,
    convention: str = "p3m",
    regions: str | Iterable[str] = REGIONS,
    threads: int | None = None,
) -> list[RegionScores]:
    """Measures of the prediction `matte` against `label`, both HxW in [0,1], over each of `regions`.

    `unknown`, `foreground` and `background` are where `trimap` (HxW) is 128, 255 and 0; without a trimap it is derived
    from the label, see `derive_trimap`. Grad and Conn of a region are the whole image's per-pixel terms summed over it,
    which is this suite's own rule. So are, in conventions `dim` and `rvm`, all regions but the convention's own. In
    `p3m` the unknown region's SAD, MSE and MAD follow P3M: the matte is overwritten with 1 where the trimap is 255 and
    with 0 where it is 0, SAD is then summed over the whole image, and MSE and MAD are sums over the whole image divided
    by the number of unknown pixels; a label that is not exactly 0 or 1 in the known region thus adds a constant that no
    prediction can avoid. `boundary` has MAD alone. IoU is 1 where neither matte holds a person. Means over an empty
    region are None.

    `threads` work on one image (default: all cores); pass 1 where images are scored in parallel. Their number does not
    change a value. A tensor on an accelerator is summed there in its own precision, all but Conn's components. Raises
    UserError for a value outside [0,1] by more than rounding, NaN, an empty image, differing shapes, other trimap
    values, and an unknown convention or region.
    """
    wanted = checked_regions(regions)
    summed, radius = summed_image(matte, label, trimap, convention, set(wanted), threads=threads)
    return [
        RegionScores(
            region,
            summed.rules.name,
            summed.rules.version,
            radius if region in ("unknown", "foreground", "background") else None,
            **{name: summed.value(name, region) for name in POINTWISE},
            added=_added(region, matte, label, trimap),
        )
        for region in wanted
    ]


def score_mask(matte: Any, mask: Any) -> RegionScores:
    """IoU and boundary F of a matte against a binary mask, both HxW in [0,1] and cut at 0.5.

    For data that has only masks, whose labels say nothing of fractional pixels.
    """
    p, g = as_pair(matte, mask)
    p, g = clipped(p, "matte"), clipped(g, "mask")
    both, either = (p >= 0.5) & (g >= 0.5), (p >= 0.5) | (g >= 0.5)
    overlap = float(both.sum() / either.sum()) if either.any() else 1.0
    rules = CONVENTIONS["p3m"]
    return RegionScores("whole", rules.name, rules.version, iou=overlap, boundary_f=boundary_f(p, g))


def summed_image(
    matte: Any,
    label: Any,
    trimap: Any,
    convention: str,
    regions: set[str],
    *,
    grad: bool = True,
    conn: bool = True,
    threads: int | None = None,
) -> tuple[Tally, int | None]:
    """The sums behind one image's measures, and the radius of the unknown region where it was derived."""
    rules = convention_named(convention)
    if on_accelerator(matte):
        from wsshm.metrics import on_device

        matte, label = on_device.as_pair(matte, label)
        zones, radius = _zones(label, trimap, regions, threads)
        return on_device.tally(matte, label, zones, rules, grad=grad, conn=conn), radius
    p, g = as_pair(matte, label)
    zones, radius = _zones(g, trimap, regions, threads)
    return tally(p, g, zones, rules, grad=grad, conn=conn, threads=threads), radius


def _added(region: str, matte: Any, label: Any, trimap: Any) -> dict[str, float | None]:
    """What the measures that were added from outside say of a region."""
    functions = {m.name: m.value for m in MEASURES.values() if m.value is not None and region in m.regions}
    if not functions:
        return {}
    p, g = (clipped(alpha, "matte").astype(np.float64) for alpha in as_pair(matte, label))
    where = _where(region, g, trimap)
    found: dict[str, float | None] = {}
    for name, function in functions.items():
        try:
            value = function(p, g, where)
        except Exception as error:  # whatever a file of the user's own raises
            why = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"the measure {name} fails over the region {region} ({why}); correct its file") from error
        most = MEASURES[name].most
        limit = np.inf if most is None else most + ROUNDED
        if value is not None and not (isinstance(value, Real) and np.isfinite(value) and -ROUNDED <= value <= limit):
            allowed = "a number of at least 0" if most is None else f"a number from 0 to {most:g}"
            raise UserError(
                f"the measure {name} gave {value!r} over the region {region}; it may give {allowed}, or None"
            )
        found[name] = None if value is None else float(value)
    return found


def _where(region: str, label: NDArray[np.float64], trimap: Any) -> NDArray[np.bool_]:
    """The pixels of a region, H x W."""
    if region == "whole":
        return np.ones(label.shape, bool)
    if region == "boundary":
        return (label > BOUNDARY[0]) & (label < BOUNDARY[1])
    zones, _ = _zones(label, trimap, {region}, None)
    return np.asarray(zones == ZONES.index(region))


def checked_regions(regions: str | Iterable[str]) -> tuple[str, ...]:
    """The regions, or the one; UserError if there is none of a name."""
    return tuple(map(checked_region, [regions] if isinstance(regions, str) else regions))


def checked_region(region: str) -> str:
    """`region`, or UserError if there is none of that name."""
    if region not in REGIONS:
        raise UserError(f"there is no region {region!r}; {nearest(region, REGIONS)}")
    return region


def _zones(
    label: Any, trimap: Any, regions: set[str], threads: int | None
) -> tuple[NDArray[np.uint8] | None, int | None]:
    """The trimap as zones, given or derived; None where only the whole image is asked for."""
    if trimap is not None:
        return zones_of(checked_trimap(trimap, label)), None
    if regions == {"whole"}:
        return None, None
    radius = unknown_radius(*label.shape)
    return zones_of(derive_trimap(as_image(label, "label"), radius, threads)), radius
