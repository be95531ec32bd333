"""Any pyramidal timm backbone as an encoder: feature maps at strides 2, 4, 8, 16, 32 (or from 4), NCHW."""

from __future__ import annotations

import functools
from typing import Any

import timm
import torch
from torch import Tensor, nn

from wsshm.errors import UserError, nearest

STRIDES = (2, 4, 8, 16, 32)


class Encoder(nn.Module):
    """A timm backbone that returns its maps from fine to coarse.

    `strides` and `channels` describe the maps. A map at the image's own resolution (VGG has one) is dropped: the
    decoder reads the image itself. Raises UserError for a backbone that timm does not know, or whose maps do not
    halve from stage to stage (plain vision transformers).
    """

    def __init__(self, backbone: str, backbone_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.body = create(backbone, backbone_kwargs or {}, features_only=True)
        info: Any = self.body.feature_info
        reductions = list(info.reduction())
        if reductions and reductions[0] == 1:
            reductions = reductions[1:]
        self.skip = len(info.reduction()) - len(reductions)
        if tuple(reductions) not in (STRIDES, STRIDES[1:]):
            raise UserError(
                f"the backbone {backbone!r} is not pyramidal (its maps have strides {reductions}, needed are"
                f" {list(STRIDES)} or {list(STRIDES[1:])}); choose a convolutional or hierarchical one such as"
                " 'mobilenetv3_large_100' or 'resnet34'"
            )
        self.strides = tuple(reductions)
        self.channels = tuple(info.channels()[self.skip :])
        # Some families (Swin, MambaOut) give NHWC maps and say so.
        self.gives_nhwc = getattr(self.body, "output_fmt", None) == "NHWC"

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of normalised images (N,3,H,W), H and W multiples of 32: (N,C_i,H/s_i,W/s_i) for s_i in `strides`."""
        maps = self.body(images)[self.skip :]
        return [m.permute(0, 3, 1, 2).contiguous() for m in maps] if self.gives_nhwc else maps


def create(backbone: str, kwargs: dict[str, Any], **more: Any) -> nn.Module:
    """`timm.create_model` without weights, with its errors as one sentence."""
    if not timm.is_model(backbone):
        raise UserError(
            f"timm {timm.__version__} has no backbone {backbone!r}; {nearest(backbone, timm.list_models())}"
        )
    try:
        return timm.create_model(backbone, pretrained=False, **more, **kwargs)
    except (RuntimeError, AttributeError, AssertionError) as error:
        raise UserError(
            f"the backbone {backbone!r} cannot give feature maps ({_first_line(error)}); choose a pyramidal one such as"
            " 'mobilenetv3_large_100' or 'resnet34'"
        ) from error
    except TypeError as error:
        raise UserError(f"model.backbone_kwargs do not fit {backbone!r}: {_first_line(error)}") from error


def normalisation(backbone: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation that timm's configuration gives for a backbone."""
    config = timm.get_pretrained_cfg(backbone)
    if config is None:
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return tuple(config.mean), tuple(config.std)


@functools.lru_cache(maxsize=256)
def check_backbone(backbone: str) -> None:
    """Raise UserError unless `backbone` is a pyramidal timm model; builds it without memory on the meta device."""
    with torch.device("meta"):
        Encoder(backbone)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
