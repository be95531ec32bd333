"""Whether a network runs at the sizes that it will meet, found out before anything is trained.

timm's families with windows or position tables are built without complaint and fail at the first picture of another
size than their own; `wsshm.models.families` says what each needs, and here it is tried.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any

import torch

from wsshm.config import ModelConfig
from wsshm.errors import UserError, first_line
from wsshm.models import ARCHITECTURES, Choice, checked, name_of, text_of
from wsshm.models.network import MattingModel, MattingOutput, build_model

Size = tuple[int, int]


def sizes_met(size: int, halved: bool, stride: int) -> tuple[Size, ...]:
    """(height, width) of what a network trained at `size` px sees: training, at half the size too if it is `halved`, and
    prediction, which keeps a picture's aspect and pads to any multiple of the network's `stride`."""
    square = ((size, size), (size // 2, size // 2)) if halved else ((size, size),)
    return (*square, (size, size + stride))


def stride_of(backbone: str, kwargs: dict[str, Any] | None = None, architecture: Choice = "unet") -> int:
    """What a network's pictures are padded to multiples of: its architecture's stride, and its encoder's coarsest."""
    return on_meta(backbone, kwargs or {}, architecture).stride


def check_backbone(
    backbone: str, kwargs: dict[str, Any] | None = None, sizes: Sequence[Size] = (), architecture: Choice = "unet"
) -> None:
    """Raise UserError unless `backbone` is a timm model with maps, whose network runs at all `sizes` (height, width).

    Tried on the meta device, without memory or arithmetic, where that tells.
    """
    _checked(backbone, json.dumps(kwargs or {}, sort_keys=True), tuple(sizes), text_of(architecture))


@functools.lru_cache(maxsize=256)
def _checked(backbone: str, kwargs: str, sizes: tuple[Size, ...], architecture: str) -> None:
    if found := failure(backbone, json.loads(kwargs), sizes, architecture):
        own = "" if name_of(checked(architecture)) in ARCHITECTURES.own else "correct the architecture's file, or "
        raise UserError(
            f"{found}; {own}choose another data.size or another backbone, such as 'mobilenetv3_large_100' or 'resnet34'"
        )


def failure(backbone: str, kwargs: dict[str, Any], sizes: Sequence[Size], architecture: Choice = "unet") -> str:
    """Why a network does not run at one of `sizes`, "" if it runs at all of them. UserError if it cannot be built."""
    model = on_meta(backbone, kwargs, architecture)
    network = _named(backbone, architecture)
    found = _fails(model, network, sizes)
    # Not all that a processor computes can be done without values; and only with values a position table ends.
    needs_values = "meta" in found if found else any("rel_pos_" in name for name in model.state_dict())
    return _fails(_built("cpu", backbone, kwargs, architecture), network, sizes) if needs_values else found


def on_meta(backbone: str, kwargs: dict[str, Any], architecture: Choice = "unet") -> MattingModel:
    """A network without memory, on the meta device. UserError if it cannot be built."""
    return _on_meta(backbone, json.dumps(kwargs, sort_keys=True), text_of(architecture))


@functools.lru_cache(maxsize=8)
def _on_meta(backbone: str, kwargs: str, architecture: str) -> MattingModel:
    return _built("meta", backbone, json.loads(kwargs), architecture)


def _built(device: str, backbone: str, kwargs: dict[str, Any], architecture: Choice) -> MattingModel:
    with torch.random.fork_rng([]), torch.device(device):  # what is drawn after it is not to depend on it
        config = ModelConfig(architecture=architecture, backbone=backbone, weights="none", backbone_kwargs=kwargs)
        try:
            return build_model(config, load_weights=False).eval()
        except UserError:
            raise
        except Exception as error:  # whatever an architecture of the user's own raises
            why = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"{_named(backbone, architecture)} cannot be built ({why}); correct its file") from error


def _fails(model: MattingModel, network: str, sizes: Sequence[Size]) -> str:
    for height, width in sizes:
        try:
            with torch.inference_mode(), model.mean.device:
                reason = _wrong(model(torch.zeros(1, 3, height, width)), (1, 1, height, width))
        except Exception as error:  # whatever a family raises: nothing of it is ours
            reason = first_line(error)
        if reason:
            return f"{network} does not run on pictures of {width}x{height} px ({reason})"
    return ""


def _wrong(output: object, expected: tuple[int, ...]) -> str:
    """What keeps an output from being a `MattingOutput` of this shape, "" if nothing does."""
    if not isinstance(output, MattingOutput):
        return f"it returns a {type(output).__name__}, not a MattingOutput"
    for name, logits in zip(MattingOutput._fields[:2], output, strict=False):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        if shape != expected:
            return f"its {name} have the shape {shape}, not {expected}"
    return ""


def _named(backbone: str, architecture: Choice) -> str:
    """What a message blames: the backbone, unless the architecture is not one of ours."""
    name = name_of(checked(architecture))
    over = "" if name in ARCHITECTURES.own else f"the architecture {name!r} over "
    return f"{over}the backbone {backbone!r}"
