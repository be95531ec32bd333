"""A timm backbone as an encoder: feature maps at halving strides, from fine to coarse, NCHW."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Collection
from typing import Any

import timm
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.errors import UserError, nearest
from wsshm.models import families
from wsshm.models.families import Sizes

NECK_STRIDES = (4, 8, 16, 32)
NECK_CHANNELS = 128
"""Channels of the neck's maps: half of ViTDet's, whose heads detect; the decoders here are narrower still."""
NOT_OURS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only"}
"""Arguments of `timm.create_model` that would load weights from elsewhere (also pickles), or change what we ask for."""


class Encoder(nn.Module):
    """A timm backbone that returns its maps from fine to coarse.

    `strides` and `channels` describe the maps. Strides are powers of two that begin at 2, 4, 8 or 16 and end at 16, 32 or
    64. A map at the image's own resolution (VGG has one) is dropped: the decoder reads the image itself. A plain
    transformer, whose maps have one stride, gets a neck that makes 4, 8, 16 and 32 of its last map. Patches of 14 px, or
    another number that is no power of two, see the image resized so that their grid is that of the next one, 16.

    Families that are tied to some sizes run at any (`wsshm.models.families`). Raises UserError for a backbone that timm
    does not know or that gives no maps.
    """

    def __init__(self, backbone: str, backbone_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__()
        kwargs = backbone_kwargs or {}
        self.body = create(backbone, kwargs, features_only=True)
        info: Any = self.body.feature_info
        reductions, channels = list(info.reduction()), list(info.channels())
        powers = [2 ** max(0, round(math.log2(reduction))) for reduction in reductions]
        last = {power: index for index, power in enumerate(powers) if power > 1}
        if not last or list(last) != sorted(last):
            raise UserError(
                f"the backbone {backbone!r} is not pyramidal (its maps have strides {reductions}); choose another such as"
                " 'mobilenetv3_large_100' or 'resnet34'"
            )
        self.kept = tuple(last.values())
        self.strides: tuple[int, ...] = tuple(last)
        self.channels: tuple[int, ...] = tuple(channels[index] for index in self.kept)
        family = families.family_of(backbone)
        self.apart, self.idles = family.apart, False
        for name, parameter in self.body.named_parameters():
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in family.idle):
                parameter.requires_grad_(False)
        self.sizes = family.sizes
        side = families.square_of(backbone, kwargs)
        self.square: tuple[int, int] = (side, side) if isinstance(side, int) else (side[0], side[1])
        self.multiple = self.square if self.sizes is Sizes.WINDOWS else (family.multiple, family.multiple)
        # What the image is resized by: 14/16 for patches of 14 px
        whole = self.sizes in (Sizes.SQUARE, Sizes.OWN_SQUARE)
        self.scale = (1, 1) if whole else (reductions[self.kept[-1]], powers[self.kept[-1]])
        # Some families (Swin, MambaOut) give NHWC maps and say so.
        self.gives_nhwc = getattr(self.body, "output_fmt", None) == "NHWC"
        self.neck: SimplePyramid | None = None
        if len(self.strides) == 1:
            self.neck = SimplePyramid(self.strides[0], self.channels[0])
            self.strides, self.channels = NECK_STRIDES, (NECK_CHANNELS,) * len(NECK_STRIDES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of normalised images (N,3,H,W), H and W multiples of the last stride: (N,C_i,H/s_i,W/s_i), s_i in `strides`."""
        height, width = images.shape[-2:]
        maps = self.body(self._as_the_body_takes_it(images))
        maps = [maps[index] for index in self.kept]
        if self.gives_nhwc:
            maps = [m.permute(0, 3, 1, 2).contiguous() for m in maps]
        if self.neck is not None:
            maps = self.neck(maps[-1])
        return [
            self._placed(m, height // stride, width // stride) for m, stride in zip(maps, self.strides, strict=True)
        ]

    def give_only(self, strides: Collection[int]) -> None:
        """Give no maps but those at `strides`, for a decoder that reads no others; a neck makes no others either.

        `idles` then says whether parameters of the backbone may be left without a gradient.
        """
        places = [place for place, stride in enumerate(self.strides) if stride in strides]
        self.idles = self.apart and len(places) < len(self.strides)
        if self.neck is None:
            self.kept = tuple(self.kept[place] for place in places)
        else:
            self.neck.levels = nn.ModuleList(self.neck.levels[place] for place in places)
        self.strides = tuple(self.strides[place] for place in places)
        self.channels = tuple(self.channels[place] for place in places)

    def _as_the_body_takes_it(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        # A comparison of sizes binds an exported graph to its outcome, so only families that need one ask.
        if self.sizes in (Sizes.SQUARE, Sizes.OWN_SQUARE) or (
            self.sizes is Sizes.UP_TO and (height > self.square[0] or width > self.square[1])
        ):
            return images if (height, width) == self.square else _resized(images, *self.square)
        below, right = -height % self.multiple[0], -width % self.multiple[1]
        if self.multiple != (1, 1) and (below or right):
            return F.pad(images, (0, right, 0, below))
        seen, of = self.scale
        return images if seen == of else _resized(images, height * seen // of, width * seen // of)

    def _placed(self, values: Tensor, rows: int, columns: int) -> Tensor:
        """A map without what was padded; one of a resized image, or some cells short (Inception), over the whole image."""
        if self.multiple != (1, 1):
            values = values[..., :rows, :columns]
        if values.shape[-2:] == (rows, columns):
            return values
        return F.interpolate(values, size=(rows, columns), mode="bilinear", align_corners=False)


class SimplePyramid(nn.Module):
    """The simple feature pyramid of ViTDet (arXiv 2203.16527): maps at strides 4, 8, 16 and 32 of one map alone.

    Finer ones by transposed convolutions of stride 2, coarser ones by maxima of 2 x 2, and on each a 1 x 1 and a 3 x 3
    convolution.
    """

    def __init__(self, stride: int, width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for target in NECK_STRIDES:
            layers: list[nn.Module] = []
            channels, at = width, stride
            while at > target:
                layers += [LayerNorm2d(channels), nn.GELU()] if layers else []
                layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
                channels, at = channels // 2, at // 2
            if at < target:
                layers.append(nn.MaxPool2d(target // at))
            layers += [nn.Conv2d(channels, NECK_CHANNELS, 1, bias=False), LayerNorm2d(NECK_CHANNELS)]
            layers += [nn.Conv2d(NECK_CHANNELS, NECK_CHANNELS, 3, padding=1, bias=False), LayerNorm2d(NECK_CHANNELS)]
            self.levels.append(nn.Sequential(*layers))

    def forward(self, single: Tensor) -> list[Tensor]:
        """A map (N,C,H/s,W/s) of the stride s; those of `NECK_STRIDES`."""
        return [level(single) for level in self.levels]


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=True)


def create(backbone: str, kwargs: dict[str, Any], **more: Any) -> nn.Module:
    """`timm.create_model` without weights, with what the family needs, and with its errors as one sentence."""
    if not timm.is_model(backbone):
        raise UserError(
            f"timm {timm.__version__} has no backbone {backbone!r}; {nearest(backbone, timm.list_models())}"
        )
    if refused := sorted(kwargs.keys() & NOT_OURS):
        raise UserError(f"model.backbone_kwargs has {refused[0]!r}, which is not an option of a network; leave it out")
    try:
        return timm.create_model(backbone, pretrained=False, **more, **families.options_of(backbone, kwargs))
    except (RuntimeError, AttributeError, AssertionError, ArithmeticError, LookupError, ValueError) as error:
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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
