"""Matting networks: what an architecture's is, what it returns, and how one is built from its configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from wsshm.config import ModelConfig
from wsshm.models import ARCHITECTURES, name_of, options_of
from wsshm.models import weights as weights_of
from wsshm.models.encoder import Encoder, normalisation

if TYPE_CHECKING:
    from wsshm.losses import Target

NOTHING: Mapping[str, Tensor] = MappingProxyType({})
State = tuple[Tensor, ...]
"""What a recurrent network hands from one frame of a video to the next; () before the first."""


class MattingOutput(NamedTuple):
    """What a matting network predicts: logits (N,1,H,W) of the matte and of the boundary (0.05 < alpha < 0.95).

    `auxiliary` are further outputs by name, which only the network's own loss terms read; it may leave them out in eval
    mode.
    """

    matte_logits: Tensor
    boundary_logits: Tensor
    auxiliary: Mapping[str, Tensor] = NOTHING

    @property
    def matte(self) -> Tensor:
        """The matte in [0,1], float32."""
        return self.matte_logits.float().sigmoid()

    @property
    def boundary(self) -> Tensor:
        """The probability that a pixel belongs to the boundary, float32."""
        return self.boundary_logits.float().sigmoid()


class Network(nn.Module):
    """What an architecture's file subclasses: normalised images (N,3,H,W) in, `MattingOutput` out.

    It is made as `cls(encoder, options)`, `options` being None unless the architecture has some. H and W are multiples of
    `stride`: pictures are padded to it for prediction and timing, and it is tried out before training. A class names what
    it needs itself; over an encoder whose coarsest map is coarser still (LeViT has stride 64), a network's is a multiple.
    """

    stride: int = 32

    def __init__(self, encoder: Encoder, options: Any = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.stride = math.lcm(type(self).stride, encoder.strides[-1])

    def forward(self, images: Tensor) -> MattingOutput:
        """Predict for normalised images (N,3,H,W), stills."""
        raise NotImplementedError

    def step(self, frames: Tensor, state: State) -> tuple[MattingOutput, State]:
        """Predict for the next frame (N,3,H,W) of N videos; a recurrent architecture overrides it.

        `state` is what the step before gave, () at the first frame, which is predicted as a still is.
        """
        return self(frames), ()

    def auxiliary_losses(self, output: MattingOutput, target: Target) -> Mapping[str, Tensor]:
        """Loss terms of the auxiliary outputs by name, each (N,): one value a sample, weighted, float32.

        They are added to the terms that every network has (`wsshm.losses`). Only `output` may be used, no parameter:
        with several workers gradients are shared for what `forward` returns.
        """
        return NOTHING


class MattingModel(nn.Module):
    """A network with its normalisation inside: images (N,3,H,W) float in [0,1] in, `MattingOutput` out.

    H and W must be multiples of `stride`; `wsshm.prediction` pads pictures of any size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.stride = network.stride
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> MattingOutput:
        return self.network(self._normalised(images))

    def step(self, frames: Tensor, state: State = ()) -> tuple[MattingOutput, State]:
        """As `Network.step`, for frames in [0,1]."""
        return self.network.step(self._normalised(frames), state)

    def _normalised(self, images: Tensor) -> Tensor:
        if images.shape[-2] % self.stride or images.shape[-1] % self.stride:
            raise ValueError(f"height and width must be multiples of {self.stride}, not {tuple(images.shape[-2:])}")
        return (images - self.mean) / self.std


def build_model(config: ModelConfig, *, load_weights: bool = True) -> MattingModel:
    """Make a network from its configuration, with pretrained weights from `config.weights`.

    `load_weights=False` skips them, for a network whose own weights are loaded right after. Raises UserError for an
    unknown or unsuitable backbone, wrong `backbone_kwargs`, or weights that cannot be had.
    """
    encoder = Encoder(config.backbone, config.backbone_kwargs)
    mean, std = normalisation(config.backbone)
    if load_weights:
        origin = weights_of.resolve(config.backbone, config.weights)
        mean, std = weights_of.load_into(encoder, config.backbone, config.backbone_kwargs, origin)
    architecture = ARCHITECTURES.get(name_of(config.architecture))
    return MattingModel(architecture.network(encoder, options_of(config.architecture)), mean, std)
