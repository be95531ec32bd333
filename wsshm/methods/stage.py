"""A stage: one network trained for some steps on one kind of batch. Methods are lists of stages."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from wsshm.config import BlendConfig
from wsshm.methods import METHODS
from wsshm.registry import Registry

if TYPE_CHECKING:  # torch, which plans and reports wait for in vain
    from torch import Tensor

    from wsshm.losses import Target
    from wsshm.models.network import MattingOutput
    from wsshm.training.batches import Batch


@dataclass(frozen=True)
class PhotoLabel:
    """What the natural pictures in a batch are labelled with. A method's file may register one of its own.

    `about` completes "photos with ...". `reads` is the file of a photo that it is made from and that its annotation costs:
    its mask, its true matte (a control), or none. `taught`: a network predicts for it in the training loop, an earlier
    stage's or the student's own average. `target(batch, stage, output)` makes the target, with `batch.labels` (N,1,H,W)
    read from that file and `output` predicted for `batch.plain` (None unless `taught`); it imports torch inside. Those
    of ours that several methods share are made in `wsshm.targets`. `term(batch, stage, output, taught)` is a loss of the
    label's own, added to what the target's pixels cost: (N,) for a batch of natural pictures alone, `output` being what
    the student said of `batch.images` and `taught` the target's output. With `mirrored` a network that predicts sees the
    mirrored pictures as well, and the mean of both counts. `version` is a part of a stage's address: raise it when the
    target or the term changes.
    """

    name: str
    about: str
    reads: Literal["mask", "matte"] | None = None
    taught: bool = False
    target: Callable[[Batch, Stage, MattingOutput | None], Target] | None = None
    term: Callable[[Batch, Stage, MattingOutput, MattingOutput | None], Tensor] | None = None
    mirrored: bool = False
    version: str = ""

    @property
    def makes_target(self) -> bool:
        """Whether it has a target: one of its own, or one that `wsshm.targets` makes."""
        return self.target is not None or self in _OURS


class _Labels(Registry[PhotoLabel]):
    """A label that only one method of ours has stands in that method's file, under its name."""

    def _import_own(self, name: str) -> None:
        if name in METHODS.own:  # does nothing while that file itself is imported
            importlib.import_module(f"{METHODS.package}.{name}")


LABELS: Registry[PhotoLabel] = _Labels("kind of label")
_OURS = (
    PhotoLabel("mask", "masks", reads="mask"),
    PhotoLabel("blended", "blended labels", reads="mask", taught=True),
    PhotoLabel("masklabel", "masks in the blend's place", reads="mask", taught=True),
    PhotoLabel("pseudo", "the teacher's labels", taught=True),
    PhotoLabel("average", "the average's labels", taught=True),
    PhotoLabel("truth", "true mattes", reads="matte"),
)
for _label in _OURS:
    LABELS.register(_label)


@dataclass(frozen=True)
class Stage:
    """One network's training.

    `matte_share` of each batch are matte samples (composites), the rest natural pictures labelled as `photo_label`
    names in `LABELS`. `start` and `teacher` name earlier stages: whose weights this one starts from (None: the backbone's), and
    who predicts for the natural pictures' label. `photo_weight` scales the natural pictures' loss, after a ramp over
    the share `ramp` of the steps. `confidence` and `threshold` say which pixels a pseudo-label has; `ema_decay` is
    that of the moving average that this stage keeps, that is its model in the end, and that teaches it where the
    natural pictures' label needs a teacher and no earlier stage is one. `options` are what a label of a method's own reads.
    """

    name: str
    steps: int
    matte_share: float
    photo_label: str | None = None
    start: str | None = None
    teacher: str | None = None
    blend: BlendConfig | None = None
    photo_weight: float = 1.0
    ramp: float = 0.0
    confidence: float = 0.0
    threshold: float = 0.0
    ema_decay: float | None = None
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> PhotoLabel | None:
        """What its natural pictures are labelled with. UserError for a label that nobody has registered."""
        return LABELS.get(self.photo_label) if self.photo_label else None

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
        return self.uses_photos and self.label is not None and self.label.reads == "mask"

    @property
    def uses_true_mattes(self) -> bool:
        """Whether it learns from the natural pictures' true mattes, as a control does."""
        return self.uses_photos and self.label is not None and self.label.reads == "matte"

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
        return self.teacher is None and self.label is not None and self.label.taught

    @property
    def passes(self) -> int:
        """How often a network predicts for the natural pictures' label in a step of the training loop."""
        asks = self.asks_teacher or self.asks_its_average
        return asks + (asks and self.label is not None and self.label.mirrored)

    @property
    def sees_plain(self) -> bool:
        """Whether its batches hold the pictures as they are before recolouring, compression and noise as well."""
        return self.passes > 0 or (self.label is not None and self.label.term is not None)

    def recipe(self) -> dict[str, Any]:
        """What it is, as JSON: a part of its address.

        A field that is new since the first release is left out at its default, so that older stages keep theirs.
        """
        described = asdict(self) | {"blend": self.blend.recipe() if self.blend else None}
        unused = {f.name for f in fields(self) if f.name in _LATER_FIELDS and described[f.name] == f.default}
        if not self.options:
            unused.add("options")
        return {name: value for name, value in described.items() if name not in unused}


_LATER_FIELDS = ("ramp", "confidence", "threshold", "ema_decay")
