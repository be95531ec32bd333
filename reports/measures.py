"""What is compared: columns of the scores, each in one region of the image, as `wsshm.measures` declares them."""

from __future__ import annotations

from dataclasses import dataclass

from wsshm.measures import MEASURES as DECLARED
from wsshm.measures import Measure


@dataclass(frozen=True)
class RegionalMeasure:
    """One column of a comparison: a `column` of the scores over a `region`, times its `scale`."""

    column: str
    region: str
    header: str
    scale: float
    unit: str
    arrow: str
    lower_is_better: bool

    @property
    def name(self) -> str:
        return self.column if self.region == "whole" else f"{self.column}_{self.region}"

    @property
    def title(self) -> str:
        return f"{self.header} ({self.unit})" if self.unit else self.header

    @property
    def where(self) -> str:
        return REGIONS.get(self.region, self.region)

    def axis(self, scale: str = "") -> str:
        """What stands beside an axis of this measure, whose `scale` may be worth a word."""
        return f"{self.title}{f', {scale}' * bool(scale)}; {'lower' if self.lower_is_better else 'higher'} is better"


def _over(measure: Measure, region: str) -> RegionalMeasure:
    better = not measure.higher_is_better
    return RegionalMeasure(
        measure.name, region, measure.header, measure.scale, measure.printed_unit, measure.arrow, better
    )


REGIONS = {
    "whole": "whole image",
    "unknown": "unknown region",
    "boundary": "fractional pixels",
    "foreground": "foreground",
    "background": "background",
}
MEASURES = tuple(_over(m, region) for region in REGIONS for m in DECLARED.values() if region in m.reported)
FURTHER = tuple(_over(m, region) for region in REGIONS for m in DECLARED.values() if region in m.further)
"""Measures that are on no page, as they say much the same; differences of them can be asked for."""
BY_NAME = {measure.name: measure for measure in MEASURES}
WITH_FURTHER = BY_NAME | {measure.name: measure for measure in FURTHER}
