"""A stage: one network trained for some steps on one kind of batch. Methods are lists of stages."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from wsshm.config import BlendConfig

# What a natural picture in the batch is labelled with: its mask; the mask blended with a teacher's prediction; the
# same without the teacher's values (control); what a teacher alone is sure of; what the student's own moving average
# predicts; its true matte (control).
PhotoLabel = Literal["mask", "blended", "masklabel", "pseudo", "average", "truth"]


@dataclass(frozen=True)
class Stage:
    """One network's training.

    `matte_share` of each batch are matte samples (composites), the rest natural pictures labelled as `photo_label`
    says. `start` and `teacher` name earlier stages: whose weights this one starts from (None: the backbone's), and
    who predicts for the natural pictures' label. `photo_weight` scales the natural pictures' loss, after a ramp over
    the share `ramp` of the steps. `confidence` and `threshold` say which pixels a pseudo-label has; `ema_decay` is
    that of the moving average that this stage keeps, that is its model in the end, and that teaches it where the
    natural pictures' label needs a teacher and no earlier stage is one.
    """

    name: str
    steps: int
    matte_share: float
    photo_label: PhotoLabel | None = None
    start: str | None = None
    teacher: str | None = None
    blend: BlendConfig | None = None
    photo_weight: float = 1.0
    ramp: float = 0.0
    confidence: float = 0.0
    threshold: float = 0.0
    ema_decay: float | None = None

    @property
    def uses_mattes(self) -> bool:
        """Whether any of its batches holds matte samples."""
        return self.matte_share > 0

    @property
    def uses_photos(self) -> bool:
        """Whether any of its batches holds natural pictures."""
        return self.matte_share < 1

    @property
    def uses_masks(self) -> bool:
        """Whether it learns from the natural pictures' masks."""
        return self.uses_photos and self.photo_label in ("mask", "blended", "masklabel")

    @property
    def reads_labels(self) -> bool:
        """Whether the natural pictures' labels are made ahead and read from files."""
        return self.blend is not None and self.blend.when == "ahead"

    @property
    def asks_teacher(self) -> bool:
        """Whether an earlier stage's model predicts in the training loop."""
        return self.teacher is not None and not self.reads_labels

    @property
    def asks_its_average(self) -> bool:
        """Whether its own moving average predicts in the training loop."""
        return self.teacher is None and self.photo_label in ("average", "blended", "masklabel")

    def recipe(self) -> dict[str, Any]:
        """What it is, as JSON: a part of its address.

        A field that is new since the first release is left out at its default, so that older stages keep theirs.
        """
        described = asdict(self) | {"blend": self.blend.recipe() if self.blend else None}
        unused = {f.name for f in fields(self) if f.name in _LATER_FIELDS and described[f.name] == f.default}
        return {name: value for name, value in described.items() if name not in unused}


_LATER_FIELDS = ("ramp", "confidence", "threshold", "ema_decay")
