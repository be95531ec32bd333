"""Options of methods that compare each pixel with those near it (`wsshm.distance_consistency`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from wsshm.config import Section


class Windows(Section):
    """What is near a pixel, and where the mask is not to be trusted."""

    band: Annotated[float, Field(gt=0.0, le=1.0)] = 0.04
    """Radius of the band around the mask's edge in which the mask is not trusted, as a share of the shorter side."""
    window: Annotated[int, Field(ge=3, le=31)] = 11
    """Side in px of the window around a pixel."""
    neighbours: Annotated[int, Field(ge=1, le=255)] = 10
    """Pixels of that window, those of the nearest colours, that a pixel is compared with."""

    @model_validator(mode="after")
    def _fits(self) -> Windows:
        if self.window % 2 == 0:
            raise ValueError(f"window ({self.window}) must be odd, so that it has a middle")
        if self.neighbours >= (corner := (self.window // 2 + 1) ** 2):
            raise ValueError(
                f"neighbours ({self.neighbours}) must be below {corner}, the pixels of a window of {self.window} in a corner"
            )
        return self
