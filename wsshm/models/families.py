"""What timm's families need to run on pictures of any size: one line a family, for all that is not plain convolution.

A window, a table of positions or a mixer's matrix ties a network to the size that it was built for. A family of this table
is run on any picture all the same, in the way that its line says; a family that it does not name runs on any size by
itself.
"""

from __future__ import annotations

import enum
import fnmatch
import functools
from dataclasses import dataclass, field
from typing import Any

import timm
import timm.models

IMG_SIZE = "img_size"
OWN_SIZE = 224  # of a network whose configuration names none


class Sizes(enum.Enum):
    """At which sizes a family's networks run."""

    ANY = "any"
    MULTIPLES = "multiples"
    """Of so many px; pictures are padded to them with the mean colour."""
    WINDOWS = "windows"
    """Multiples of the network's own size, by which its windows are chosen; pictures are padded."""
    SQUARE = "square"
    """One square of the side `img_size`, the training size unless the configuration sets it; pictures are resized."""
    OWN_SQUARE = "own square"
    """One square whose side is the network's own and cannot be chosen; pictures are resized."""
    UP_TO = "up to"
    """Up to a square of the side `img_size`; larger pictures are resized to it."""


@dataclass(frozen=True)
class Family:
    """A line of the table: which networks, by timm's module and name, and what they need."""

    pattern: str
    sizes: Sizes = Sizes.ANY
    multiple: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    """Parameters that no map depends on: workers that train together share gradients, and these would have none."""
    apart: bool = False
    """Whether some parameters serve one map alone; a decoder that does not read that map gives them no gradient."""


DYNAMIC, LENIENT = {"dynamic_img_size": True}, {"strict_img_size": False}
FAMILIES = (  # the first that fits counts
    Family("beit.*", Sizes.SQUARE),
    Family("byoanet.*bot*", Sizes.SQUARE),
    Family("byoanet.lambda*rpt*", Sizes.SQUARE),
    Family("byoanet.haloregnetz*", Sizes.MULTIPLES, 224),
    Family("byoanet.*halo*", Sizes.MULTIPLES, 256),
    Family("byobnet.bat*", Sizes.MULTIPLES, 256),
    Family("cait.*", Sizes.SQUARE),
    Family("coat.*", Sizes.SQUARE, apart=True),
    Family("convit.*", Sizes.SQUARE),
    Family("crossvit.*", Sizes.OWN_SQUARE, idle=("*.blocks.2.*projs.0.*", "*.blocks.2.fusion.0.*")),
    Family("deit.*", options=DYNAMIC),
    Family("efficientformer.*", Sizes.OWN_SQUARE),
    Family("efficientformer_v2.*", Sizes.SQUARE),
    Family("eva.*", options=DYNAMIC),
    Family("gcvit.*", Sizes.SQUARE),
    Family("hiera.*", Sizes.SQUARE),
    Family("hrnet.*", apart=True),
    Family("levit.*", Sizes.SQUARE),
    Family("maxxvit.*coat*", Sizes.SQUARE),
    Family("maxxvit.*", Sizes.WINDOWS),
    Family("mlp_mixer.*", Sizes.SQUARE),
    Family("mobilevit.mobilevitv2*", Sizes.MULTIPLES, 64),
    Family("mvitv2.*", Sizes.UP_TO),
    Family("nest.*", Sizes.SQUARE),
    Family("pit.*", Sizes.SQUARE, idle=("body.norm.*",)),
    Family("swin_transformer.*", options=LENIENT),
    Family("swin_transformer_v2.*", options=LENIENT),
    Family("swin_transformer_v2_cr.*", options=LENIENT),
    Family("tnt.*", Sizes.SQUARE),
    Family("vision_transformer.*", options=DYNAMIC),
    Family("vision_transformer_hybrid.*", options=DYNAMIC),
    Family("vision_transformer_relpos.*", Sizes.SQUARE),
    Family("visformer.*", Sizes.SQUARE),
    Family("vitamin.*", options=DYNAMIC),
    Family("volo.*", Sizes.SQUARE),
)


@functools.lru_cache(maxsize=1024)
def family_of(backbone: str) -> Family:
    """The line of the table that a backbone falls under; a name that timm does not know, under none."""
    name = backbone.partition(".")[0]
    if not timm.is_model(name):
        return Family("*")
    place = f"{timm.models.model_entrypoint(name).__module__.rpartition('.')[2]}.{name}"
    return next((family for family in FAMILIES if fnmatch.fnmatchcase(place, family.pattern)), Family("*"))


def options_of(backbone: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `timm.create_model`: what the family needs, and `kwargs`, which come first."""
    family = family_of(backbone)
    size = {IMG_SIZE: own_size(backbone)} if family.sizes is Sizes.SQUARE else {}
    return family.options | size | kwargs


def fitted(backbone: str, kwargs: dict[str, Any], size: int) -> dict[str, Any]:
    """`kwargs` for training at `size` px: with the square that pictures are resized to, where the family has one.

    Nothing is added that the configuration sets, or that is the network's own size.
    """
    family = family_of(backbone)
    chosen = family.sizes is Sizes.SQUARE and size != own_size(backbone)
    grown = family.sizes is Sizes.UP_TO and size > own_size(backbone)
    return kwargs | {IMG_SIZE: size} if (chosen or grown) and IMG_SIZE not in kwargs else kwargs


def own_size(backbone: str) -> int:
    """The side in px that a network is made for, as timm's configuration has it."""
    config = timm.get_pretrained_cfg(backbone)
    return config.input_size[-1] if config is not None else OWN_SIZE


def square_of(backbone: str, kwargs: dict[str, Any]) -> int | tuple[int, int]:
    """`img_size` as it is given, or the network's own."""
    return kwargs.get(IMG_SIZE, own_size(backbone))


def described(backbone: str, kwargs: dict[str, Any]) -> str:
    """How pictures of any size are brought to one that the network runs at, in words."""
    family = family_of(backbone)
    side = square_of(backbone, kwargs)
    square = f"to {side}x{side} px" if isinstance(side, int) else f"to {side[1]}x{side[0]} px"
    chosen = "the size of training unless backbone_kwargs.img_size says another"
    return {
        Sizes.ANY: "any",
        Sizes.MULTIPLES: f"any; padded to multiples of {family.multiple} px for the backbone",
        Sizes.WINDOWS: f"any; padded to multiples of {side} px for the backbone",
        Sizes.SQUARE: f"any; resized {square} for the backbone, {chosen}",
        Sizes.OWN_SQUARE: f"any; resized {square} for the backbone",
        Sizes.UP_TO: f"any; larger ones resized {square} for the backbone, {chosen}",
    }[family.sizes]
