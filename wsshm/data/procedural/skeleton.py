"""Joints in three dimensions: a pose becomes points, turned by the body's yaw and seen without perspective.

Axes: x to the viewer's right, y down, z to the viewer; the origin is the base of the neck, the unit the head's height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsshm.data.procedural.person import Body
from wsshm.data.procedural.texture import Array

UPPER_ARM, FOREARM, HAND = 1.32, 1.08, 0.62
THIGH, SHIN = 1.82, 1.72
HIP_Y, ANKLE_Y = 2.35, 5.8
SHOULDER_Y = 0.41

# For a right-hand side (+x): where the wrist goes, whether counted from the shoulder, and where the elbow points.
_ARM_TARGETS: dict[str, tuple[tuple[float, float, float], bool, tuple[float, float, float]]] = {
    "hanging": ((0.22, 2.28, 0.12), True, (0.4, 0, -1)),
    "hip": ((0.78, 1.95, 0.12), False, (1, 0, -0.5)),
    "pocket": ((0.72, 2.3, 0.25), False, (0.8, 0, -1)),
    "belly": ((-0.05, 1.62, 0.55), False, (1, 0.5, -0.4)),
    "crossed": ((-0.42, 1.08, 0.55), False, (0.9, 0.8, 0.2)),
    "wave": ((1.5, -0.55, 0.25), False, (0.5, 1, -0.2)),
    "chin": ((0.16, -0.02, 0.6), False, (0.6, 1, 0.1)),
    "behind head": ((0.45, -0.75, -0.3), False, (1, 0.1, -0.2)),
    "pointing": ((2.4, 0.2, 0.4), True, (0.2, 1, 0)),
    "forward": ((0.4, 1.25, 0.9), False, (0.7, 1, -0.3)),
    "holding low": ((0.25, 2.25, 0.2), True, (0.4, 0, -1)),
    "reading": ((0.26, 1.15, 0.8), False, (1, 0.8, -0.2)),
    "ear": ((0.44, -0.5, 0.2), False, (1, 1, 0.3)),
    "umbrella": ((0.55, 0.75, 0.6), False, (0.8, 1, -0.2)),
    "strumming": ((-0.1, 1.7, 0.6), False, (1, 0.3, -0.3)),
    "fretting": ((1.35, 0.95, 0.55), False, (0.5, 1, -0.1)),
}
_HELD_POSES: dict[str, tuple[str | None, str]] = {
    "bag": (None, "holding low"),
    "book": ("reading", "reading"),
    "phone": (None, "reading"),
    "umbrella": (None, "umbrella"),
    "guitar": ("strumming", "fretting"),
    "ball": ("belly", "belly"),
    "flowers": (None, "belly"),
    "cup": (None, "forward"),
}


@dataclass(frozen=True)
class Arm:
    """Shoulder, elbow, wrist and finger tips (4, 3); `side` is -1 or 1, the sign of x when facing the viewer."""

    joints: Array
    side: int
    pose: str

    @property
    def depth(self) -> float:
        return float(self.joints[1:, 2].mean())


@dataclass(frozen=True)
class Leg:
    """Hip, knee, ankle and toes (4, 3)."""

    joints: Array
    side: int

    @property
    def depth(self) -> float:
        return float(self.joints[1:, 2].mean())


@dataclass(frozen=True)
class Skeleton:
    arms: tuple[Arm, Arm]
    legs: tuple[Leg, Leg]

    @property
    def reach(self) -> float:
        """The largest distance of a hand from the middle, to either side."""
        return float(max(np.abs(arm.joints[:, 0]).max() for arm in self.arms))

    @property
    def foot_y(self) -> float:
        return float(max(leg.joints[:, 1].max() for leg in self.legs)) + 0.1


def turned(points: Array, yaw: float) -> Array:
    """Points (..., 3) turned about the vertical axis."""
    c, s = np.cos(yaw), np.sin(yaw)
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([x * c + z * s, y, -x * s + z * c], -1)


def two_bones(start: Array, target: Array, upper: float, lower: float, pole: Array) -> tuple[Array, Array]:
    """Joint and end of two bones that reach for `target`, the joint bent towards `pole` (law of cosines)."""
    gap = target - start
    distance = float(np.clip(np.linalg.norm(gap), abs(upper - lower) + 0.35, (upper + lower) * 0.995))
    along = gap / (np.linalg.norm(gap) + 1e-6)
    across = pole - along * (pole @ along)
    across /= np.linalg.norm(across) + 1e-6
    foot = (upper**2 - lower**2 + distance**2) / (2 * distance)
    rise = np.sqrt(max(upper**2 - foot**2, 0.0))
    return start + along * foot + across * rise, start + along * distance


def pose(body: Body, held: str) -> Skeleton:
    """All joints of a body, in the viewer's axes."""
    free, busy = _HELD_POSES.get(held, (None, ""))
    arms, legs = [], []
    for i, side in enumerate((-1, 1)):
        name = body.arms[i]
        if busy and side == 1:
            name = busy
        elif free:
            name = free
        arms.append(_arm(body, side, name, body.arm_shift[i]))
        legs.append(_leg(body, side, *body.legs[i]))
    return Skeleton((arms[0], arms[1]), (legs[0], legs[1]))


def _arm(body: Body, side: int, name: str, shift: Array) -> Arm:
    mirror = np.array([side, 1, 1])
    wrist, relative, pole = _ARM_TARGETS[name]
    shoulder = np.array([(body.shoulder - 0.18) * side, SHOULDER_Y, 0.0])
    target = np.array(wrist) * mirror + np.asarray(shift) * (0.5 if name in _BUSY else 1.0)
    if relative:
        target = target + shoulder
    elbow, hand = two_bones(shoulder, target, UPPER_ARM, FOREARM, np.array(pole) * mirror)
    onward = hand - elbow
    if name in ("hip", "belly", "crossed", "pocket"):
        onward = onward + np.array([-side * 0.25, 0.35, 0.15])
    elif name in ("wave", "chin"):
        onward = onward + np.array([0, -0.4, 0.0])
    tips = hand + onward / np.linalg.norm(onward) * HAND
    return Arm(turned(np.stack([shoulder, elbow, hand, tips]), body.yaw), side, name)


_BUSY = {"holding low", "reading", "ear", "umbrella", "strumming", "fretting"}


def _leg(body: Body, side: int, apart: float, ahead: float) -> Leg:
    hip = np.array([side * body.hip * 0.5, HIP_Y, 0.0])
    lift = 0.12 if ahead < -0.3 else 0.0
    target = np.array([side * (body.hip * 0.42 + apart), ANKLE_Y - lift, ahead])
    knee, ankle = two_bones(hip, target, THIGH, SHIN, np.array([side * 0.25, 0, 1.0]))
    toes = ankle + np.array([side * 0.16, 0.2, 0.62])
    return Leg(turned(np.stack([hip, knee, ankle, toes]), body.yaw), side)
