"""An architecture from outside, as a user would write it: options, a stride of its own, an auxiliary output with its loss.

Its heads read the coarsest map and its mean over 2 x 2 cells, so that sides must be multiples of 64. While it trains, a
third head says at stride 32 where people are. The tests name this file in WSSHM_PLUGINS; nothing imports it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from wsshm.config import Section
from wsshm.models import Architecture, register
from wsshm.models.network import MattingOutput, Network


class Options(Section):
    """Options of the pyramid."""

    width: int = 8
    """Channels of the decoder."""
    people: float = 1.0
    """Weight of the auxiliary head's loss."""


class Pyramid(Network):
    """Two scales of the coarsest map, enlarged to the picture."""

    stride = 64

    def __init__(self, encoder, options):
        super().__init__(encoder)
        self.weight = options.people
        self.merge = nn.Conv2d(2 * encoder.channels[-1], options.width, 1)
        self.heads = nn.Conv2d(options.width, 2, 1)
        self.people = nn.Conv2d(options.width, 1, 1)

    def forward(self, images):
        coarse = self.encoder(images)[-1]
        coarser = F.interpolate(F.avg_pool2d(coarse, 2), scale_factor=2.0)
        merged = self.merge(torch.cat([coarse, coarser], 1)).relu()
        logits = F.interpolate(self.heads(merged), size=images.shape[-2:], mode="bilinear", align_corners=False)
        auxiliary = {"people": self.people(merged)} if self.training else {}
        return MattingOutput(logits[:, :1], logits[:, 1:], auxiliary)

    def auxiliary_losses(self, output, target):
        logits = output.auxiliary["people"].float()
        truth = F.adaptive_avg_pool2d(target.matte, logits.shape[-2:])
        people = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))
        return {"people": self.weight * people}


register(Architecture("pyramid", Pyramid, Options))
