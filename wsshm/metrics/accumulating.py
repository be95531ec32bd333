"""The measures as torchmetrics classes: update with batches, reduce over ranks, compute the mean over images.

The state is sums and counts over images, in float64 and int64: ranks are added up, and the mean does not depend on who
saw which image. Where a sampler repeats images to give all ranks equally many, say so by `counted`; else they count
twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from wsshm.errors import UserError
from wsshm.measures import MEASURES, REGIONS
from wsshm.metrics import functional
from wsshm.metrics.conventions import convention_named
from wsshm.metrics.scores import POINTWISE, checked_regions, score


class _ImageMean(Metric):
    """Mean over images of named values; an image for which a value is not defined does not count in its mean."""

    is_differentiable = False
    full_state_update = False
    totals: Tensor
    images: Tensor

    def __init__(self, values: int, convention: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.convention = convention
        self.metric_version = convention_named(convention).version
        self.add_state("totals", torch.zeros(values, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(values, dtype=torch.int64), dist_reduce_fx="sum")

    def _add(self, values: Tensor) -> None:
        """Add the values of images, (images, values); NaN where one is not defined."""
        defined = ~values.isnan()
        self.totals += values.nan_to_num(0.0).sum(dim=0).to(self.totals)
        self.images += defined.sum(dim=0).to(self.images)

    def _means(self) -> Tensor:
        return self.totals / self.images  # NaN where no image has a value


class _Single(_ImageMean):
    """The mean of one measure over images, in its convention's unit."""

    measure: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "measure" in vars(cls):
            cls.higher_is_better = MEASURES[cls.measure].higher_is_better

    def __init__(self, convention: str = "p3m", **kwargs: Any) -> None:
        super().__init__(1, convention, **kwargs)
        self.unit = convention_named(convention).unit(self.measure)

    def compute(self) -> Tensor:
        return self._means()[0]


class _Regional(_Single):
    def __init__(self, convention: str = "p3m", region: str | None = None, **kwargs: Any) -> None:
        super().__init__(convention, **kwargs)
        self.region = functional.checked_place(self.measure, region, convention)

    def update(self, matte: Tensor, label: Tensor, trimap: Tensor | None = None, counted: Tensor | None = None) -> None:
        """Add the images of a batch, N x 1 x H x W (or N x H x W); `counted` (N,) is False for repeated ones."""
        measure = getattr(functional, self.measure)
        values = measure(matte, label, trimap, region=self.region, convention=self.convention)
        self._add(_kept(values, counted)[:, None])


class SAD(_Regional):
    """Mean over images of the sum of absolute differences."""

    measure = "sad"


class MSE(_Regional):
    """Mean over images of the mean squared error."""

    measure = "mse"


class MAD(_Regional):
    """Mean over images of the mean absolute difference."""

    measure = "mad"


class Grad(_Regional):
    """Mean over images of the gradient error."""

    measure = "grad"


class Conn(_Regional):
    """Mean over images of the connectivity error."""

    measure = "conn"


class _OfMasks(_Single):
    def update(self, matte: Tensor, mask: Tensor, counted: Tensor | None = None) -> None:
        """Add the images of a batch, N x 1 x H x W (or N x H x W); `counted` (N,) is False for repeated ones."""
        self._add(_kept(getattr(functional, self.measure)(matte, mask), counted)[:, None])


class IoU(_OfMasks):
    """Mean over images of the intersection over union at alpha 0.5."""

    measure = "iou"


class BoundaryF(_OfMasks):
    """Mean over images of the boundary F measure at alpha 0.5."""

    measure = "boundary_f"


class DTSSD(_Single):
    """Mean over frames, but each clip's first, of the temporal error."""

    measure = "dtssd"

    def update(self, mattes: Tensor, labels: Tensor) -> None:
        """Add one clip, frames x 1 x H x W (or frames x H x W), in order."""
        if mattes.ndim < 3 or mattes.shape != labels.shape:
            raise UserError(
                f"a clip's mattes have shape {tuple(mattes.shape)} and its labels {tuple(labels.shape)}; "
                "give frames x 1 x H x W for both"
            )
        if len(mattes) > 1:
            self._add(
                functional.dtssd(mattes[1:], mattes[:-1], labels[1:], labels[:-1], convention=self.convention)[:, None]
            )


class MattingErrors(_ImageMean):
    """All measures over all asked regions in one pass; `compute` gives {"sad": ..., "sad_unknown": ..., ...}.

    Names without a region are the whole image's.
    """

    higher_is_better = None  # differs by measure, see MEASURES

    def __init__(self, convention: str = "p3m", regions: str | Iterable[str] = REGIONS, **kwargs: Any) -> None:
        self.regions = checked_regions(regions)
        self.keys = tuple(
            (region, name)
            for region in self.regions
            for name, measure in MEASURES.items()
            if region in measure.regions
            and (name in POINTWISE or measure.value is not None)
            and not (name == "sad" and not convention_named(convention).reports_sad)
        )
        super().__init__(len(self.keys), convention, **kwargs)

    def update(self, matte: Tensor, label: Tensor, trimap: Tensor | None = None, counted: Tensor | None = None) -> None:
        """Add the images of a batch, N x 1 x H x W (or N x H x W); `counted` (N,) is False for repeated ones."""
        rows = []
        for images in functional.in_step(*(batch for batch in (matte, label, trimap) if batch is not None)):
            regions = {s.region: s for s in score(*images, convention=self.convention, regions=self.regions)}
            values = (regions[region].value(name) for region, name in self.keys)
            rows.append([float("nan") if value is None else value for value in values])
        if rows:
            self._add(_kept(torch.tensor(rows, dtype=torch.float64, device=matte.device), counted))

    def compute(self) -> dict[str, Tensor]:
        means = self._means()
        return {
            name if region == "whole" else f"{name}_{region}": mean
            for (region, name), mean in zip(self.keys, means, strict=True)
        }


def _kept(values: Tensor, counted: Tensor | None) -> Tensor:
    """The images' values, at least one-dimensional, of those that count."""
    values = torch.atleast_1d(values)
    if counted is None:
        return values
    counts = torch.as_tensor(counted, device=values.device)
    if counts.dtype != torch.bool or counts.shape != values.shape[:1]:
        raise UserError(f"`counted` must hold one bool for each of the {len(values)} images")
    return values[counts]
