"""A stage: one network trained for some steps on one kind of batch. Methods are lists of stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wsshm.config import BlendConfig

# What a natural picture in the batch is labelled with: its mask; the mask blended with a teacher's prediction; the
# same without the teacher's values (control); its true matte (control).
PhotoLabel = Literal["mask", "blended", "masklabel", "truth"]


@dataclass(frozen=True)
class Stage:
    """One network's training.

    `matte_share` of each batch are matte samples (composites), the rest natural pictures labelled as `photo_label`
    says. `start` and `teacher` name earlier stages: whose weights this one starts from (None: the backbone's), and
    who predicts for the blended label. `photo_weight` scales the natural pictures' loss.
    """

    name: str
    steps: int
    matte_share: float
    photo_label: PhotoLabel | None = None
    start: str | None = None
    teacher: str | None = None
    blend: BlendConfig | None = None
    photo_weight: float = 1.0

    @property
    def uses_mattes(self) -> bool:
        """Whether any of its batches holds matte samples."""
        return self.matte_share > 0

    @property
    def uses_photos(self) -> bool:
        """Whether any of its batches holds natural pictures."""
        return self.matte_share < 1
