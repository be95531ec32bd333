"""Grades of masks: how long one takes to draw, how good it then is, and where both figures come from.

A mask's price means nothing without its quality, so a grade holds both. `GRADES` is the only list of them: configurations,
prices, the store's columns, the simulated annotator and `wsshm data stats` all read it. Whoever says only how many masks
there are means masks of the grade `DEFAULT`, the one whose price is best known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wsshm.errors import UserError, nearest

DEFAULT = "polygon"
ATTRIBUTE = "mask_grade"
"""The attribute of a manifest's sample that says its mask's grade; a mask without it is of the default grade."""
LVIS = "LVIS paper (arXiv 1908.03195), table of annotation quality"


@dataclass(frozen=True)
class Grade:
    """A kind of mask: `seconds` to draw one, and `iou`, the range of its IoU with a careful expert's mask.

    Each has its source and how far it can be trusted: `read` in the source, `not verified` (remembered of the paper and not
    read again), or `ours`. `boundary` is the mean distance of its outline from the true one in thousandths of the picture's
    shorter side; none was published: it is what the simulated annotator has on the embedded set's test photos.
    """

    name: str
    seconds: float
    time_source: str
    time_trust: str
    iou: tuple[float, float]
    quality_source: str
    quality_trust: str
    boundary: float

    @property
    def middle(self) -> float:
        """The middle of the range of IoU."""
        return sum(self.iou) / 2


def interpolated_seconds(iou: float, below: tuple[float, float], above: tuple[float, float]) -> float:
    """Time of a mask of this IoU between two that are known as (seconds, IoU): a power law of time over 1 - IoU. Ours."""
    (low, worse), (high, better) = below, above
    slope = math.log(high / low) / math.log((1 - worse) / (1 - better))
    return low * ((1 - worse) / (1 - iou)) ** slope


POLYGON_S, EXPERT_S = 79.2, 450.0
POLYGON_IOU, FINE_IOU, EXPERT_IOU = (0.83, 0.87), (0.90, 0.92), (0.95, 0.97)
FINE_S = round(interpolated_seconds(sum(FINE_IOU) / 2, (POLYGON_S, sum(POLYGON_IOU) / 2), (EXPERT_S, 0.96)))

GRADES: dict[str, Grade] = {
    grade.name: grade
    for grade in (
        Grade(
            name="clicks",
            seconds=26.4,
            time_source="a third of a polygon's time: corrective clicks on a model's mask, Benenson 2019 (arXiv 1903.10830)",
            time_trust="read (the ratio, in the abstract)",
            iou=(0.87, 0.90),
            quality_source='"better quality" than COCO\'s polygons, the same abstract; the range lies between polygon and fine',
            quality_trust="ours",
            boundary=15.0,
        ),
        Grade(
            name="polygon",
            seconds=POLYGON_S,
            time_source="time of one polygon mask of a COCO instance, PointSup (arXiv 2104.06404)",
            time_trust="read",
            iou=POLYGON_IOU,
            quality_source=f"COCO's masks: {LVIS}",
            quality_trust="not verified",
            boundary=22.0,
        ),
        Grade(
            name="fine",
            seconds=FINE_S,
            time_source="no published time was found; ours, between polygon and expert by a power law of time over 1 - IoU",
            time_trust="ours",
            iou=FINE_IOU,
            quality_source=f"LVIS's masks, verified and redone until good: {LVIS}",
            quality_trust="not verified",
            boundary=14.0,
        ),
        Grade(
            name="expert",
            seconds=EXPERT_S,
            time_source="middle of 300 to 600 s for an expert's mask in an image editor, COCONut (2024)",
            time_trust="read",
            iou=EXPERT_IOU,
            quality_source=f"experts against each other, about 0.96: {LVIS}; how wide the range is, is ours",
            quality_trust="not verified",
            boundary=7.0,
        ),
    )
}


def named(name: str) -> Grade:
    """The grade of a name. UserError for one that there is not."""
    if name not in GRADES:
        raise UserError(f"masks have no grade {name!r}; {nearest(name, GRADES)}")
    return GRADES[name]


def like(iou: float) -> Grade:
    """The grade whose middle IoU lies nearest."""
    return min(GRADES.values(), key=lambda grade: abs(grade.middle - iou))


def counted(masks: float | Mapping[str, float]) -> dict[str, float]:
    """Numbers of masks by grade, in the grades' order and without zeros; a plain number is of the default grade."""
    if not isinstance(masks, Mapping):
        return {DEFAULT: masks} if masks else {}
    for name in masks:
        named(name)
    return {name: masks[name] for name in GRADES if masks.get(name)}


def shortest(masks: Mapping[str, Any]) -> Any:
    """The one way to write numbers by grade: the number alone where all are of the default grade."""
    kept = {name: masks[name] for name in GRADES if masks.get(name)}
    return kept[DEFAULT] if set(kept) == {DEFAULT} else kept or 0


def text_of(masks: Mapping[str, float]) -> str:
    """Numbers by grade as one text, `polygon=1000,fine=100`; empty where none is of another grade than the default."""
    kept = counted(masks)
    return "" if set(kept) <= {DEFAULT} else ",".join(f"{name}={count:.0f}" for name, count in kept.items())


def from_text(text: str, masks: float) -> dict[str, float]:
    """The numbers by grade that `text_of` wrote, `masks` in all where the text is empty."""
    pairs = (part.partition("=") for part in text.split(",")) if text else ()
    return {name: float(count) for name, _, count in pairs} or counted(masks)


def in_words(masks: Mapping[str, float]) -> str:
    """Numbers by grade as people read them: `1,000`, or `1,000 polygon, 100 fine` where not all are of the default grade."""
    kept = counted(masks)
    if set(kept) <= {DEFAULT}:
        return f"{kept.get(DEFAULT, 0):,.0f}"
    return ", ".join(f"{count:,.0f} {name}" for name, count in kept.items())
