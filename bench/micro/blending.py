"""What the blend costs: its neighbourhoods by running sums, by OpenCV, and by looking at every window whole."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.micro.mattes import hair
from bench.micro.training import table
from bench.provenance import device_name
from wsshm import blending
from wsshm.config import BlendConfig, LossConfig, ModelConfig
from wsshm.console import track
from wsshm.losses import Target, sample_losses
from wsshm.models.network import build_model
from wsshm.neighbourhood import ellipse_spans
from wsshm.terminal import print_whole


def run(sizes: list[int], bands: list[float], backbone: str, rounds: int, device: str) -> bool:
    """Print a line for each size and band; whether all three ways made the same labels, pixel by pixel."""
    print(f"{device_name(threads=1)}, float32, one picture, one thread, medians of {rounds} rounds")
    print(
        f"A step: a {backbone} teacher's prediction, and a student's loss and gradients, of one picture on {device};"
        " the last column is windows / ours."
    )
    form = table("px", "band", "ours ms", "OpenCV ms", "windows ms", "step ms", "of a step", "windows / ours", left=0)
    agreed = True
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for size in track(sizes, len(sizes), "timing"):
        step = _milliseconds([_step(size, backbone, device)], 1 if size > 512 else min(3, rounds), device)[0]
        for band in bands:
            config = BlendConfig(band=band)
            maps = _maps(size, device)
            ways = [partial(_blend, way, *maps, config) for way in (None, _opencv, _windows)]
            labels = [way() for way in ways]
            agreed = agreed and all(
                torch.equal(a, b) for other in labels[1:] for a, b in zip(labels[0], other, strict=True)
            )
            ours, library, windows = _milliseconds(ways, rounds, device)
            times = [f"{spent:.1f}" for spent in (ours, library, windows, step)]
            form.add_row(str(size), f"{band:g}", *times, f"{ours / step:.1%}", f"{windows / ours:.1f} x")
    print_whole(form)
    print("All labels are equal, pixel by pixel." if agreed else "The labels DIFFER.")
    return agreed


def _maps(size: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Mask, matte and boundary of hair whose teacher errs here and there, so that the veto has work."""
    matte, truth = (torch.from_numpy(alpha)[None, None].to(device) for alpha in hair(size))
    mask, boundary = (truth > 0.5).float(), blending.boundary_of(matte)
    matte[..., : size // 4, :] = 1 - matte[..., : size // 4, :]
    return mask, matte, boundary


@contextmanager
def _by(dilate: Callable[..., Tensor], window_sum: Callable[..., Tensor]) -> Iterator[None]:
    with mock.patch.object(blending, "dilate", dilate), mock.patch.object(blending, "window_sum", window_sum):
        yield


def _blend(way: tuple[Callable[..., Tensor], ...] | None, *maps: Any) -> blending.Blended:
    if way is None:
        return blending.blend(*maps)
    with _by(*way):
        return blending.blend(*maps)


def _dilate_whole(mask: Tensor, radius: int) -> Tensor:
    offsets = torch.arange(-radius, radius + 1).abs()
    kernel = (offsets[None] <= ellipse_spans(radius)[:, None]).to(mask)[None, None]
    return (F.conv2d(mask, kernel, padding=radius) > 0.5).to(mask.dtype)


def _sum_whole(values: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(values, size, stride=1, padding=size // 2, divisor_override=1)


def _dilate_opencv(mask: Tensor, radius: int) -> Tensor:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return _each(mask, lambda one: cv2.dilate(one.astype(np.uint8), kernel))


def _sum_opencv(values: Tensor, size: int) -> Tensor:
    border = cv2.BORDER_CONSTANT
    return _each(values, lambda one: cv2.boxFilter(one, cv2.CV_32F, (size, size), normalize=False, borderType=border))


def _each(maps: Tensor, change: Callable[[Any], Any]) -> Tensor:
    """A change of each picture's channel on the CPU, where OpenCV works."""
    channels = [torch.from_numpy(change(one).astype(np.float32)) for one in maps.flatten(0, 1).cpu().numpy()]
    return torch.stack(channels).view(maps.shape).to(maps.device)


_windows = (_dilate_whole, _sum_whole)
_opencv = (_dilate_opencv, _sum_opencv)


def _step(size: int, backbone: str, device: str) -> Callable[[], None]:
    config = ModelConfig(backbone=backbone, weights="none")
    teacher = build_model(config).to(device).eval()
    student = build_model(config).to(device).to(memory_format=torch.channels_last).train()
    image = torch.rand(1, 3, size, size, device=device).to(memory_format=torch.channels_last)
    mask, matte, boundary = _maps(size, device)
    target = Target(matte, boundary, torch.ones_like(mask), torch.ones_like(mask))

    def step() -> None:
        with torch.no_grad():
            teacher(image)
        sample_losses(student(image), target, LossConfig()).mean().backward()

    return step


def _milliseconds(ways: Sequence[Callable[[], Any]], rounds: int, device: str) -> list[float]:
    """The median of each way, one after the other in every round, after a call that warms up."""
    spent: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + 1):
        for way, times in zip(ways, spent, strict=True):
            _wait(device)
            start = time.perf_counter()
            way()
            _wait(device)
            if number:
                times.append(1000 * (time.perf_counter() - start))
    return [statistics.median(times) for times in spent]


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
