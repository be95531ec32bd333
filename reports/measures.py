"""What is compared: columns of the scores, each in one region of the image, with its unit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One column of the comparison: `column` of the scores in `region`, times `scale`."""

    name: str
    header: str
    column: str
    region: str
    scale: float = 1.0
    unit: str = ""
    lower_is_better: bool = True

    @property
    def arrow(self) -> str:
        return "↓" if self.lower_is_better else "↑"

    @property
    def title(self) -> str:
        return f"{self.header} ({self.unit})" if self.unit else self.header


REGIONS = {"whole": "whole image", "unknown": "unknown region", "boundary": "fractional pixels"}
MEASURES = (
    Measure("sad", "SAD", "sad", "whole", unit="10³ px"),
    Measure("mse", "MSE", "mse", "whole", 1e3, "10⁻³"),
    Measure("mad", "MAD", "mad", "whole", 1e3, "10⁻³"),
    Measure("grad", "Grad", "grad", "whole"),
    Measure("conn", "Conn", "conn", "whole", unit="10³ px"),
    Measure("iou", "IoU", "iou", "whole", lower_is_better=False),
    Measure("sad_unknown", "SAD", "sad", "unknown", unit="10³ px"),
    Measure("mad_unknown", "MAD", "mad", "unknown", 1e3, "10⁻³"),
    Measure("mad_boundary", "MAD", "mad", "boundary", 1e3, "10⁻³"),
)
FURTHER = (
    Measure("mse_unknown", "MSE", "mse", "unknown", 1e3, "10⁻³"),
    Measure("grad_unknown", "Grad", "grad", "unknown"),
    Measure("conn_unknown", "Conn", "conn", "unknown", unit="10³ px"),
)
"""Measures that are on no page, as they say much the same; differences of them can be asked for."""
BY_NAME = {measure.name: measure for measure in MEASURES}
WITH_FURTHER = BY_NAME | {measure.name: measure for measure in FURTHER}
