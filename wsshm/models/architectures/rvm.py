"""RVM, robust video matting: a decoder that remembers what it saw of the frames before.

"Robust High-Resolution Video Matting with Temporal Guidance", Shanchuan Lin, Linjie Yang, Imran Saleemi, Soumyadip
Sengupta, WACV 2022, arXiv 2108.11515. A still is the first frame of a video; `step` goes from frame to frame.

The suite trains on stills. States that are zero whenever the network is trained would teach the recurrence nothing, and
a video's second frame would be unlike all that it has seen. So every training picture is the last of `frames` frames, the
ones before being the same picture moved at random (shifted, turned, scaled, by up to `MOTION` a frame); each sample's
sequence begins at a frame drawn at random, so that with two frames half of the samples are first frames, as stills are.
The motion teaches that what is remembered may lie elsewhere. It is the camera's: how people move the suite's data does
not show. Only the last frame is in the loss; gradients go back through all states, not into the encoder of earlier
frames.

Ours is written from the paper's description and differs in these points:

- any encoder, unchanged; the paper's is a MobileNetV3-Large or ResNet-50 whose last stage is dilated to stride 16. The
  recurrence begins at the encoder's last stride, and where an encoder has no map at a stride, the decoder sees the
  image's pixels;
- trained on stills as above instead of videos, without the loss of temporal coherence between frames;
- no foreground residual; beside the matte the boundary, which every network here predicts, by heads of 3x3;
- LR-ASPP without batch norm, which the coarsest map may be too small for;
- how much smaller the network sees the picture is an option of the network, a whole number, and trained with. The
  deep guided filter is guided by the three colours and makes logits instead of values that are clamped to [0,1];
- the segmentation head learns from every sample, in the same step; in the paper from pictures with masks alone, in
  steps of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.config import Section
from wsshm.losses import Target
from wsshm.models import Architecture, register
from wsshm.models.blocks import convolution, scaled, upsampled
from wsshm.models.encoder import Encoder
from wsshm.models.network import MattingOutput, Network, State

BOTTLENECK = 128
"""Channels at the encoder's last stride."""
WIDTHS = {32: 96, 16: 80, 8: 64, 4: 40, 2: 32, 1: 16}
"""Channels of the decoder at each finer stride."""
MOTION = 0.06
"""The most that a picture moves from one training frame to the next: a share of its side, of its size, or radians."""


class RVMOptions(Section):
    """Options of RVM."""

    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    """By how much wider the decoder is; its channels are rounded to multiples of 8."""
    downsample: Literal[1, 2, 4] = 1
    """How many times smaller the network sees the picture; above 1 a deep guided filter restores its resolution."""
    frames: Annotated[int, Field(ge=1, le=8)] = 2
    """Frames that a training picture is made into, so that the recurrence is trained; 1 trains on stills alone."""


class ConvGRU(nn.Module):
    """A gated recurrent unit whose products are 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.candidate = nn.Conv2d(2 * width, width, 3, padding=1)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """The next state of x and the state before, all (N,C,H,W)."""
        reset, update = self.gates(torch.cat([x, state], 1)).sigmoid().chunk(2, 1)
        candidate = self.candidate(torch.cat([x, reset * state], 1)).tanh()
        return (1 - update) * state + update * candidate


class HalfRecurrent(nn.Module):
    """Half of a map's channels through a `ConvGRU`, the other half as they are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gru = ConvGRU(width // 2)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """A map (N,C,H,W) and the state (N,C/2,H,W), None for zeros; the map and the next state."""
        passed, remembered = x.chunk(2, 1)
        state = self.gru(remembered, torch.zeros_like(remembered) if state is None else state)
        return torch.cat([passed, state], 1), state


class LRASPP(nn.Module):
    """Lite reduced atrous spatial pyramid pooling (MobileNetV3's): the coarsest map, gated by what the whole picture is."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(inputs, width, 1)
        self.gate = nn.Linear(inputs, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N,inputs,H,W) to (N,width,H,W)."""
        return self.local(x).relu() * self.gate(x.mean((2, 3))).sigmoid()[..., None, None]


class RecurrentDecoder(nn.Module):
    """From the coarsest map to features at full resolution, with a state at every stride but the last."""

    def __init__(self, channels: Mapping[int, int], factor: float) -> None:
        super().__init__()
        self.coarsest = max(channels)
        bottleneck, widths = scaled({self.coarsest: BOTTLENECK}, factor)[self.coarsest], scaled(WIDTHS, factor)
        self.aspp = LRASPP(channels[self.coarsest], bottleneck)
        self.recurrent = nn.ModuleDict({str(self.coarsest): HalfRecurrent(bottleneck)})
        self.stages = nn.ModuleDict()
        width = bottleneck
        for stride in (stride for stride in widths if 1 < stride < self.coarsest):
            beside = channels.get(stride, 3 * stride**2) + 3
            self.stages[str(stride)] = convolution(width + beside, widths[stride], 1)
            width = widths[stride]
            self.recurrent[str(stride)] = HalfRecurrent(width)
        self.last = convolution(width + 3, widths[1])
        self.width = widths[1]

    def forward(self, images: Tensor, maps: Mapping[int, Tensor], state: State) -> tuple[Tensor, State]:
        """images (N,3,H,W) normalised, maps {stride: (N,C,H/stride,W/stride)}, the states by stride from coarse to fine, ()
        at first; features (N,C,H,W) and the next states."""
        before = dict(zip(self.recurrent, state, strict=True)) if state else {}
        x, after = self.aspp(maps[self.coarsest]), []
        for key, recurrent in self.recurrent.items():
            if key in self.stages:
                stride = int(key)
                own = maps[stride] if stride in maps else F.pixel_unshuffle(images, stride)
                x = self.stages[key](torch.cat([upsampled(x), own, F.avg_pool2d(images, stride)], 1))
            x, remembered = recurrent(x, before.get(key))
            after.append(remembered)
        return self.last(torch.cat([upsampled(x), images], 1)), tuple(after)


class DeepGuidedFilter(nn.Module):
    """The small picture's logits y at the whole picture's resolution, as y = A I + b with the picture's colours I.

    A guided filter takes A of the covariance of I and y and the variance of I around a pixel; here convolutions make it
    of these and of the decoder's features, and b = mean(y) - A mean(I). Both are enlarged, then applied.
    """

    def __init__(self, features: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        layers: list[nn.Module] = []
        for inputs in (3 + 2 * 3 + features, features):
            layers += [nn.Conv2d(inputs, features, 1, bias=False), nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
        self.slopes = nn.Sequential(*layers, nn.Conv2d(features, 2 * 3, 1))

    def forward(self, images: Tensor, small: Tensor, logits: Tensor, features: Tensor) -> Tensor:
        """images (N,3,H,W), and smaller by the factor the same, logits (N,2,h,w), features (N,C,h,w); (N,2,H,W)."""
        guide, logits = small.float(), logits.float()
        mean_guide, mean_logits, covariance, variance = guided_statistics(guide, logits)
        seen = torch.cat([covariance, variance], 1).to(features.dtype)
        slopes = self.slopes(torch.cat([seen, features], 1)).float()
        shifts = mean_logits - along_colours(slopes, mean_guide)
        slopes, shifts = upsampled(slopes, self.factor), upsampled(shifts, self.factor)
        return along_colours(slopes, images.float()) + shifts


def guided_statistics(guide: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of windows of 3x3, those at the border being smaller: the means of a guide (N,3,H,W) and of values (N,2,H,W), their
    covariances (N,6,H,W), those of the first value first, and the guide's variances (N,3,H,W)."""
    mean_guide, mean_values = _window_mean(guide), _window_mean(values)
    covariance = [
        _window_mean(guide * value) - mean_guide * mean_value
        for value, mean_value in zip(values.split(1, 1), mean_values.split(1, 1), strict=True)
    ]
    return mean_guide, mean_values, torch.cat(covariance, 1), _window_mean(guide * guide) - mean_guide * mean_guide


def along_colours(slopes: Tensor, colours: Tensor) -> Tensor:
    """slopes (N,6,H,W) times colours (N,3,H,W), summed over colours: (N,2,H,W)."""
    return torch.cat([(part * colours).sum(1, keepdim=True) for part in slopes.split(3, 1)], 1)


def _window_mean(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)


class RVM(Network):
    """Encoder, recurrent decoder and, for a picture that is seen smaller, the deep guided filter."""

    def __init__(self, encoder: Encoder, options: RVMOptions) -> None:
        super().__init__(encoder)
        self.downsample, self.frames = options.downsample, options.frames
        self.stride *= self.downsample
        channels = dict(zip(encoder.strides, encoder.channels, strict=True))
        self.decoder = RecurrentDecoder(channels, options.width)
        # Of 3x3, not 1x1 as the paper's: the logits of 16 weights alone stay small for hundreds of steps, mattes grey.
        self.heads = nn.Conv2d(self.decoder.width, 2, 3, padding=1)
        self.people = nn.Conv2d(self.decoder.width, 1, 3, padding=1)
        self.refine = DeepGuidedFilter(self.decoder.width, self.downsample) if self.downsample > 1 else None

    def forward(self, images: Tensor) -> MattingOutput:
        return self.step(images, self._seen_before(images) if self.training else ())[0]

    def step(self, frames: Tensor, state: State) -> tuple[MattingOutput, State]:
        small = self._smaller(frames)
        features, state = self.decoder(small, self._maps(small), state)
        logits = self.heads(features)
        if self.refine is not None:
            logits = self.refine(frames, small, logits, features)
        auxiliary = {"people": self.people(features)} if self.training else {}
        return MattingOutput(logits[:, :1], logits[:, 1:], auxiliary), state

    def auxiliary_losses(self, output: MattingOutput, target: Target) -> Mapping[str, Tensor]:
        """The segmentation head's cross-entropy with what is mostly opaque, at the resolution that it sees."""
        logits = output.auxiliary["people"].float()
        truth, weight = (self._smaller(values) for values in ((target.matte > 0.5).float(), target.weight))
        people = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        return {"people": (people * weight).mean((1, 2, 3))}

    def _smaller(self, images: Tensor) -> Tensor:
        return images if self.downsample == 1 else F.avg_pool2d(images, self.downsample)

    def _maps(self, images: Tensor) -> dict[int, Tensor]:
        return dict(zip(self.encoder.strides, self.encoder(images), strict=True))

    def _seen_before(self, images: Tensor) -> State:
        """States after made-up frames before training pictures (N,3,H,W), zeros for samples that are first frames."""
        small = self._smaller(images)
        number, device = len(images), images.device
        first = torch.randint(self.frames, (number, 1, 1, 1), device=device)
        # Squares, so that many videos hardly move.
        motion = MOTION * (2 * torch.rand(number, 4, device=device) - 1) * torch.rand(number, 1, device=device) ** 2
        state: State = ()
        for frame in range(self.frames - 1):
            moved = _moved(small, motion * (self.frames - 1 - frame))
            maps = {stride: values.detach() for stride, values in self._maps(moved).items()}
            state = self.decoder(moved, maps, state)[1]
            state = tuple(values * (first <= frame) for values in state)
        return state


def _moved(images: Tensor, motion: Tensor) -> Tensor:
    """Images (N,3,H,W) shifted, scaled and turned by motion (N,4): shares of the sides and of the size, radians."""
    right, down, larger, turn = motion.unbind(1)
    scale, aspect = 1 + larger, images.shape[-1] / images.shape[-2]
    cosine, sine = turn.cos() * scale, turn.sin() * scale
    rows = (torch.stack([cosine, -sine / aspect, 2 * right], 1), torch.stack([sine * aspect, cosine, 2 * down], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


register(Architecture("rvm", RVM, RVMOptions))
