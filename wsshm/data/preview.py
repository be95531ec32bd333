"""A contact sheet of a manifest: what the labels really look like, over a checkerboard."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wsshm.console import track
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_image, read_mask, read_matte, read_trimap, write_png
from wsshm.errors import UserError

PANELS = ("image", "cut-out", "mask", "matte", "trimap")
PAGE, INK, FAINT = (250, 250, 250), (30, 30, 30), (120, 120, 120)
GAP, MARGIN, LINE = 4, 20, 15
CAPTION = 2 * LINE + 10  # id; domain, split and kind
MAX_SHEET_WIDTH = 2400

UInt8 = NDArray[np.uint8]


def preview(manifest: Manifest, out: Path, count: int = 24, seed: int = 0, cell: int = 192) -> Path:
    """Write a PNG that shows `count` samples drawn at random, each as a strip of panels at most `cell` px a side.

    Panels: the image, the cut-out (by the matte, else the mask) over a checkerboard, mask, matte and trimap; what no
    drawn sample has is left out. Raises UserError for an empty manifest and for files that cannot be read.
    """
    if not manifest.samples:
        raise UserError("the manifest lists no samples, so there is nothing to show; import a folder with pictures")
    if out.suffix.lower() != ".png":
        raise UserError(
            f"the contact sheet {out} would not be named a PNG; write for example {out.with_suffix('.png')}"
        )
    chosen = np.random.default_rng(seed).permutation(len(manifest))[: max(1, count)]
    samples = [manifest.samples[i] for i in sorted(chosen)]
    width, height = _panel_size(samples, cell)
    strips = [
        _panels(manifest, sample, width, height) for sample in track(manifest.in_turn(samples), len(samples), "drawing")
    ]
    names = [name for name in PANELS if any(name in strip for strip in strips)]

    strip_width = len(names) * (width + GAP) - GAP
    columns = max(1, min(len(samples), (MAX_SHEET_WIDTH - MARGIN) // (strip_width + MARGIN)))
    columns = min(columns, max(1, math.ceil(math.sqrt(len(samples) * (height + CAPTION) / strip_width))))
    rows = math.ceil(len(samples) / columns)
    row_height = height + CAPTION + GAP
    sheet = Image.new(
        "RGB", (MARGIN + columns * (strip_width + MARGIN), MARGIN + LINE + GAP + rows * row_height + MARGIN), PAGE
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for column in range(columns):
        for k, name in enumerate(names):
            x = MARGIN + column * (strip_width + MARGIN) + k * (width + GAP)
            draw.text((x, MARGIN), name, fill=FAINT, font=font)
    for i, (sample, strip) in enumerate(zip(samples, strips, strict=True)):
        x = MARGIN + i % columns * (strip_width + MARGIN)
        y = MARGIN + LINE + GAP + i // columns * row_height
        for k, name in enumerate(names):
            if name in strip:
                sheet.paste(Image.fromarray(strip[name]), (x + k * (width + GAP), y))
        about = " · ".join(filter(None, (sample.domain, sample.split, None if sample.kind == "photo" else sample.kind)))
        for line, (text, ink) in enumerate(((sample.id, INK), (about, FAINT))):
            at = (x, y + height + 2 + line * LINE)
            draw.text(at, shortened(draw, font, text, strip_width), fill=ink, font=font)
    return write_png(out, np.asarray(sheet))


def checkerboard(height: int, width: int, square: int = 8) -> UInt8:
    """Light grey squares as H x W x 3 uint8, what stands for transparency."""
    rows, columns = np.indices((height, width)) // square
    grey = np.where((rows + columns) % 2, 205, 240).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _panel_size(samples: list[Sample], cell: int) -> tuple[int, int]:
    """(width, height) of a panel: the samples' median shape, its longer side `cell` px."""
    shapes = [s.width / s.height for s in samples if s.width and s.height]
    aspect = float(np.clip(np.median(shapes), 0.5, 2.0)) if shapes else 1.0
    return (cell, round(cell / aspect)) if aspect > 1 else (round(cell * aspect), cell)


def _panels(manifest: Manifest, sample: Sample, width: int, height: int) -> dict[str, UInt8]:
    """The sample's panels, each height x width x 3 uint8, shrunk to fit and centred on the page's colour."""
    with manifest.told_by_address(sample):
        return _drawn(manifest, sample, width, height)


def _drawn(manifest: Manifest, sample: Sample, width: int, height: int) -> dict[str, UInt8]:
    files = {column: manifest.path(sample, column) for column in sample.files}
    panels: dict[str, UInt8] = {}
    colours = opacity = None
    if "image" in files:
        panels["image"] = colours = _fit(read_image(files["image"]), width, height)
    if "foreground" in files:
        colours = _fit(read_image(files["foreground"]), width, height)
    if "mask" in files:
        opacity = _fit(read_mask(files["mask"]).astype(np.float32), width, height)
        panels["mask"] = _grey(opacity)
    if "trimap" in files:
        panels["trimap"] = _grey(_fit(read_trimap(files["trimap"]).astype(np.float32) / 255, width, height))
    if "matte" in files:
        opacity = _fit(read_matte(files["matte"]), width, height)
        panels["matte"] = _grey(opacity)
    if colours is not None and opacity is not None and colours.shape[:2] == opacity.shape:
        over = opacity[..., None] * colours + (1 - opacity[..., None]) * checkerboard(*opacity.shape)
        panels["cut-out"] = np.rint(over).astype(np.uint8)
    return {name: _centred(panel, width, height) for name, panel in panels.items()}


def _fit(pixels: NDArray, width: int, height: int) -> NDArray:
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _grey(values: NDArray) -> UInt8:
    return np.repeat(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def _centred(pixels: UInt8, width: int, height: int) -> UInt8:
    panel = np.full((height, width, 3), PAGE, np.uint8)
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    panel[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return panel


def shortened(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str, width: int
) -> str:
    """A text cut to `width` px, with dots where something is left out."""
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
