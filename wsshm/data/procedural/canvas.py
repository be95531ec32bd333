"""A supersampled canvas on which everything is drawn opaquely, so that alpha after downsampling is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from wsshm.data.procedural.texture import Array, Material

SHIFT = 4  # fractional bits of the coordinates handed to OpenCV
SHADOW_REACH = 0.16  # how far a part's contact shadow falls, in units of the pen


@dataclass(frozen=True)
class Light:
    """One directional light plus ambient light. `direction` is a unit vector to the light: x right, y down, z to us."""

    direction: Array
    ambient: float
    diffuse: float
    colour: Array

    def on(self, normals: Array) -> Array:
        """Brightness of surfaces with unit `normals` (..., 3), without colour: (...)."""
        return self.ambient + self.diffuse * np.maximum(normals @ self.direction, 0)

    @property
    def level(self) -> float:
        """Brightness of a surface that faces the viewer, tilted a little towards the light."""
        return self.ambient + 0.8 * self.diffuse


@dataclass(frozen=True)
class Patch:
    """A shape as a mask (uint8, 0 or 1) whose top left corner lies at (x, y) of the canvas, possibly outside of it."""

    mask: Array
    x: int
    y: int


class Canvas:
    """RGBA float32 (H*s, W*s, 4) in [0, 1] at `supersample` s times the size that `resolve` gives."""

    def __init__(self, height: int, width: int, supersample: int, light: Light) -> None:
        self.rgba: Array = np.zeros((height * supersample, width * supersample, 4), np.float32)
        self.supersample = supersample
        self.light = light

    def resolve(self) -> Array:
        """Premultiplied RGBA (H, W, 4): the area mean, which makes alpha the exact covered fraction of each pixel."""
        height, width = (n // self.supersample for n in self.rgba.shape[:2])
        return cv2.resize(self.rgba, (width, height), interpolation=cv2.INTER_AREA)

    def patch(self, polygons: Sequence[Array], margin: int) -> Patch | None:
        """The union of polygons (n, 2) in canvas pixels, with room around it; None where it lies off the canvas."""
        points = np.concatenate(list(polygons))
        height, width = self.rgba.shape[:2]
        low = np.maximum(np.floor(points.min(0)).astype(int), 0) - margin
        high = np.minimum(np.ceil(points.max(0)).astype(int) + 1, (width, height)) + margin
        if high[0] - low[0] <= 2 * margin or high[1] - low[1] <= 2 * margin:
            return None
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        for polygon in polygons:
            cv2.fillPoly(mask, [_fixed(polygon - low)], 1, cv2.LINE_8, SHIFT)
        return Patch(mask, int(low[0]), int(low[1]))

    def overlap(self, patch: Patch) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Index of the part of the canvas under a patch, and of the patch over the canvas."""
        height, width = self.rgba.shape[:2]
        top, left = max(patch.y, 0), max(patch.x, 0)
        bottom = min(patch.y + patch.mask.shape[0], height)
        right = min(patch.x + patch.mask.shape[1], width)
        here = (slice(top, bottom), slice(left, right))
        return here, (slice(top - patch.y, bottom - patch.y), slice(left - patch.x, right - patch.x))


@dataclass(frozen=True)
class Pen:
    """Draws on a canvas in its own coordinates: `origin` and `unit` in canvas pixels, turned by `angle`."""

    canvas: Canvas
    origin: Array
    unit: float
    angle: float = 0.0

    def at(self, points: Array | Sequence) -> Array:
        """Points (..., 2) in units to canvas pixels."""
        return np.asarray(points, np.float32) @ self._matrix + self.origin

    @cached_property
    def _matrix(self) -> Array:
        c, s = np.cos(self.angle), np.sin(self.angle)
        return (self.unit * np.array([[c, s], [-s, c]])).astype(np.float32)

    def units(self, pixels: Array) -> Array:
        """Canvas pixels (..., 2) to points in units; the inverse of `at`."""
        return (pixels - self.origin) @ np.linalg.inv(self._matrix)

    def moved(self, to: Array | Sequence, turn: float = 0.0, scale: float = 1.0) -> Pen:
        """A pen whose origin is this pen's point `to`, turned and scaled further."""
        return replace(self, origin=self.at(to), angle=self.angle + turn, unit=self.unit * scale)

    def width(self, units: float) -> int:
        """A line width in pixels, at least one."""
        return max(1, round(units * self.unit))

    def fill(
        self,
        shapes: Sequence[Array],
        material: Material,
        dome: float = 0.2,
        gain: float = 1.0,
        shadow: float = 0.0,
        holes: Sequence[Array] = (),
    ) -> None:
        """Paint the union of polygons (in units) as one solid part.

        The surface rises from the outline like a dome of radius `dome` and is lit from that shape. `shadow` darkens
        what lies below around the part, away from the light.
        """
        margin = int(max(dome, SHADOW_REACH * 2 if shadow else 0) * self.unit) + 2
        patch = self.canvas.patch([self.at(shape) for shape in shapes], margin)
        if patch is None:
            return
        for hole in holes:
            cv2.fillPoly(patch.mask, [_fixed(self.at(hole) - (patch.x, patch.y))], 0, cv2.LINE_8, SHIFT)
        here, there = self.canvas.overlap(patch)
        target = self.canvas.rgba[here]
        if shadow:
            self._cast(target, patch.mask, there, shadow)
        inside = patch.mask[there] > 0
        if not inside.any():
            return
        cv2.copyTo(self._shaded(patch, there, material, dome, gain), patch.mask[there], target)

    def _cast(self, target: Array, mask: Array, there: tuple[slice, slice], strength: float) -> None:
        reach = SHADOW_REACH * self.unit
        dx, dy = -self.canvas.light.direction[:2] * reach
        small = cv2.resize(mask * np.uint8(255), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), max(reach * 0.12, 0.4))
        move = np.array([[4, 0, dx + 1.5], [0, 4, dy + 1.5]], np.float32)
        soft = cv2.warpAffine(small, move, mask.shape[::-1])[there]
        target[..., :3] *= (1 - np.float32(strength / 255) * soft)[..., None]

    def _shaded(self, patch: Patch, there: tuple[slice, slice], material: Material, dome: float, gain: float) -> Array:
        light = self.canvas.light
        radius = max(dome * self.unit, 2.0)
        # The surface is smooth: half the resolution is enough for it, and four times as fast.
        step = 2 if radius > 8 else 1
        mask = patch.mask[::step, ::step]
        near = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)[1:-1, 1:-1] * step
        rise = np.minimum(near / radius, 1)
        height = np.sqrt(np.maximum(1 - (1 - rise) ** 2, 0)) * (radius / step)
        height = cv2.GaussianBlur(height, (0, 0), max(radius / step * 0.14, 0.7))
        gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        x, y, z = light.direction.tolist()  # Python floats keep the arrays at float32
        facing = (z - gx * x - gy * y) / np.sqrt(gx * gx + gy * gy + 1)
        bright = (light.ambient + light.diffuse * np.maximum(facing, 0)) * gain
        rows, columns = mask.shape
        u = (np.arange(columns, dtype=np.float32) * step + (patch.x - self.origin[0])) / self.unit
        v = (np.arange(rows, dtype=np.float32) * step + (patch.y - self.origin[1])) / self.unit
        colour = material.colours(u, v) * (bright[..., None] * light.colour.astype(np.float32))
        if step > 1:
            full = patch.mask.shape
            colour = cv2.resize(colour, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
            colour = colour[: full[0], : full[1]]
        part = colour[there]
        out = np.ones((*part.shape[:2], 4), np.float32)
        np.clip(part, 0, 1, out=out[..., :3])
        return out

    def flat(self, shape: Array | Sequence, colour: Array) -> None:
        """Fill one polygon (in units) with one colour, unlit."""
        cv2.fillPoly(self.canvas.rgba, [_fixed(self.at(shape))], _scalar(colour), cv2.LINE_8, SHIFT)

    def flats(self, shapes: Array, colours: Array) -> None:
        """Fill polygons (n, k, 2) in order, each with its colour (n, 3), unlit."""
        for points, colour in zip(_fixed(self.at(shapes)), colours, strict=True):
            cv2.fillPoly(self.canvas.rgba, [points], _scalar(colour), cv2.LINE_8, SHIFT)

    def line(self, path: Array | Sequence, colour: Array, width: float, closed: bool = False) -> None:
        """A line of constant width (in units) and colour through points, unlit."""
        points = _fixed(self.at(path))
        cv2.polylines(self.canvas.rgba, [points], closed, _scalar(colour), self.width(width), cv2.LINE_8, SHIFT)

    def strands(self, paths: Array, shades: Array, colour: Array, width: float, levels: int = 12) -> None:
        """Thin lines. `paths` (n, k, 2) in units, `shades` (n,) multiply `colour`; darker ones are drawn below."""
        if not len(paths):
            return
        points = _fixed(self.at(paths))
        level = np.clip(np.round(shades * levels / 2), 0, levels).astype(int)
        for step in np.unique(level):
            tint = np.asarray(colour) * (step * 2 / levels) + 0.012
            chosen = list(points[level == step])
            cv2.polylines(self.canvas.rgba, chosen, False, _scalar(tint), self.width(width), cv2.LINE_8, SHIFT)


def _fixed(points: Array) -> Array:
    return np.rint(points * np.float32(1 << SHIFT)).astype(np.int32)


def _scalar(colour: Array | Sequence) -> tuple[float, float, float, float]:
    red, green, blue = np.asarray(colour).tolist()
    return min(max(red, 0.0), 1.0), min(max(green, 0.0), 1.0), min(max(blue, 0.0), 1.0), 1.0


CIRCLE: Array = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 24, endpoint=False)), np.sin(t)], 1).astype(np.float32)


def ellipse(centre: Sequence[float] | Array, rx: float, ry: float, angle: float = 0.0) -> Array:
    """An ellipse as a polygon (24, 2)."""
    c, s = np.cos(angle), np.sin(angle)
    return CIRCLE * (rx, ry) @ np.array([[c, s], [-s, c]]) + np.asarray(centre)


def shifted(points: Array, dx: float, dy: float) -> Array:
    """Points (..., 2) moved by (dx, dy)."""
    return points + np.array([dx, dy])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Array:
    """An upright rectangle as a polygon (4, 2)."""
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


def limb(points: Array, radii: Sequence[float]) -> list[Array]:
    """A chain of tapered capsules through points (n, 2) with a radius at each: n - 1 convex polygons."""
    parts = []
    for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        cloud = np.concatenate([a + ra * CIRCLE, b + rb * CIRCLE]).astype(np.float32)
        parts.append(cv2.convexHull(cloud)[:, 0])
    return parts


def smooth(points: Array | Sequence, rounds: int = 2) -> Array:
    """Chaikin's corner cutting of a closed polygon (n, 2), `rounds` times."""
    p = np.asarray(points, np.float32)
    for _ in range(rounds):
        after = np.roll(p, -1, 0)
        p = np.stack([0.75 * p + 0.25 * after, 0.25 * p + 0.75 * after], 1).reshape(-1, 2)
    return p
