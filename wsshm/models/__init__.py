"""Matting networks: `build_model` makes one from its configuration; its output is typed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from wsshm.config import ModelConfig
from wsshm.models import weights as weights_of
from wsshm.models.encoder import Encoder, normalisation
from wsshm.models.unet import UNet

ARCHITECTURES = {"unet": UNet}


class MattingOutput(NamedTuple):
    """What a matting network predicts, each (N,1,H,W): logits of the matte and of the boundary (0.05 < alpha < 0.95)."""

    matte_logits: Tensor
    boundary_logits: Tensor

    @property
    def matte(self) -> Tensor:
        """The matte in [0,1], float32."""
        return self.matte_logits.float().sigmoid()

    @property
    def boundary(self) -> Tensor:
        """The probability that a pixel belongs to the boundary, float32."""
        return self.boundary_logits.float().sigmoid()


class MattingModel(nn.Module):
    """A network with its normalisation inside: images (N,3,H,W) float in [0,1] in, `MattingOutput` out.

    H and W must be multiples of 32; `wsshm.predict` pads pictures of any size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> MattingOutput:
        if images.shape[-2] % 32 or images.shape[-1] % 32:
            raise ValueError(f"height and width must be multiples of 32, not {tuple(images.shape[-2:])}")
        logits = self.network((images - self.mean) / self.std)
        return MattingOutput(logits[:, :1], logits[:, 1:])


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
    return MattingModel(ARCHITECTURES[config.architecture](encoder), mean, std)
