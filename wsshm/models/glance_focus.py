"""Glance and focus: a trimap of three classes, the detail in its transition, and the matte that is merged of both.

GFM (arXiv 2010.16188) introduced it, P3M-Net (2104.14222) merges its two decoders in the same way. Both choose: where
the likeliest class is the transition, the matte is the detail, else it is 0 or 1. Here each class counts by its
probability, in training and prediction alike, so that one formula is trained and used and all of it is differentiable:

    alpha = P(foreground) + P(transition) x detail
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wsshm.losses import Target, laplacian_l1
from wsshm.neighbourhood import dilate

BACKGROUND, TRANSITION, FOREGROUND = range(3)
TRANSITION_RADIUS = 0.02
"""By how much of the shorter side the transition is wider than the boundary: what the measures call unknown."""
LAPLACIAN_LEVELS = 3


def merged(glance: Tensor, focus: Tensor) -> Tensor:
    """The matte's logits (N,1,H,W), float32, of the classes' (N,3,H,W) and the detail's (N,1,H,W).

    With the classes' logits b, t, f and the detail x, alpha = (e^f + e^t sigmoid(x)) / (e^b + e^t + e^f), and alpha's
    logit is the difference of two logarithms of sums, which no value overflows or has to be clamped for:
    log(e^f + e^(t + log sigmoid(x))) - log(e^b + e^(t + log sigmoid(-x))).
    """
    background, transition, foreground = glance.float().split(1, 1)
    focus = focus.float()
    inside = _log_of_sum(foreground, transition - F.softplus(-focus))
    return inside - _log_of_sum(background, transition - F.softplus(focus))


def _log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a + e^b); `torch.logaddexp` in terms that every engine has."""
    return torch.maximum(a, b) + F.softplus(-(a - b).abs())


def trimap_of(target: Target) -> tuple[Tensor, Tensor]:
    """The class of each pixel, (N,H,W) int64, and how much it counts, (N,1,H,W).

    The transition is the boundary, dilated by `TRANSITION_RADIUS`. Near pixels of which is not known whether they are
    boundary (along a mask's edge) a class is not known either, unless a known boundary is near too.
    """
    radius = max(1, round(TRANSITION_RADIUS * min(target.matte.shape[-2:])))
    is_known = (target.boundary_weight > 0.5).float()
    transition = dilate((target.boundary > 0.5).float() * is_known, radius)
    sides = torch.where(target.matte > 0.5, FOREGROUND, BACKGROUND)
    classes = torch.where(transition > 0.5, TRANSITION, sides)
    weight = torch.maximum(transition, 1 - dilate(1 - is_known, radius)) * target.weight
    return classes[:, 0], weight


def losses(glance: Tensor, focus: Tensor, target: Target) -> dict[str, Tensor]:
    """Loss terms (N,) of the classes' logits (N,3,H,W) and of the detail's (N,1,H,W), as in both papers.

    The glance's cross-entropy, a mean over pixels, and the absolute error of the detail with that of its Laplacian
    pyramid, both means over the transition alone; 0 for a sample without one, such as a photo with a mask.
    """
    classes, weight = trimap_of(target)
    cross_entropy = F.cross_entropy(glance.float(), classes, reduction="none")[:, None]
    region = (classes == TRANSITION).float()[:, None] * target.weight
    error = (focus.float().sigmoid() - target.matte) * region
    detail = error.abs().mean((1, 2, 3)) + laplacian_l1(error, LAPLACIAN_LEVELS)
    share = region.mean((1, 2, 3)).clamp_min(1 / region[0].numel())
    return {"glance": (cross_entropy * weight).mean((1, 2, 3)), "focus": detail / share}
