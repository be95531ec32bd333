"""Arms, hands and legs, with sleeves, trouser legs and shoes."""

from __future__ import annotations

import numpy as np

from wsshm.data.procedural.canvas import limb, shifted
from wsshm.data.procedural.figure import Figure
from wsshm.data.procedural.skeleton import Arm, Leg
from wsshm.data.procedural.texture import plain


def draw_arm(figure: Figure, arm: Arm) -> None:
    """Arm, hand and sleeve."""
    clothes, girth = figure.person.clothes, figure.person.body.girth**0.5
    joints = arm.joints[:, :2]
    radii = np.array([0.175, 0.13, 0.085]) * girth
    figure.pen.fill(limb(joints[:3], list(radii)), figure.skin, 0.15, shadow=0.2)
    _hand(figure, arm)
    if clothes.top == "poncho" or clothes.sleeve == 0:
        return
    fabric = figure.cloth(clothes.top_fabric)
    ease = 0.045 if clothes.top in ("jacket", "coat", "robe") else 0.025
    flare = 0.16 if clothes.top == "robe" else 0.0
    cuff = min(clothes.sleeve, 1.0) * 2
    if cuff <= 1:
        end = joints[0] + (joints[1] - joints[0]) * cuff
        path, widths = np.stack([joints[0], end]), [radii[0], radii[0] * (1 - cuff) + radii[1] * cuff + 0.02]
    else:
        end = joints[1] + (joints[2] - joints[1]) * (cuff - 1) * 0.97
        path, widths = np.stack([joints[0], joints[1], end]), [radii[0], radii[1], radii[2] + flare]
    figure.pen.fill(limb(path, [w + ease for w in widths]), fabric, 0.19, shadow=0.22)


def _hand(figure: Figure, arm: Arm) -> None:
    wrist, tips = arm.joints[2, :2], arm.joints[3, :2]
    along = tips - wrist
    reach = float(np.clip(np.linalg.norm(along), 0.4, 0.62))
    along = along / (np.linalg.norm(along) + 1e-6)
    across = np.array([-along[1], along[0]]) * arm.side
    busy = figure.person.held != "none" and arm.side == 1
    spread = 0.17 if arm.pose == "wave" else 0.05
    length = 0.2 if busy or arm.pose in ("hip", "pocket", "crossed") else 0.46
    knuckles = wrist + along * reach * 0.5
    parts = limb(np.stack([wrist, wrist + along * 0.12, knuckles]), [0.08, 0.105, 0.115])
    for i, size in enumerate((0.88, 1.0, 0.97, 0.78)):
        turn = (i - 1.5) * spread - (0 if arm.pose == "wave" else 0.12) * arm.side
        c, s = np.cos(turn), np.sin(turn)
        aim = np.array([along[0] * c - along[1] * s, along[0] * s + along[1] * c])
        base = knuckles + across * (i - 1.5) * 0.052
        parts += limb(np.stack([base, base + aim * reach * length * size]), [0.036, 0.026])
    thumb = wrist + along * 0.1 - across * 0.07
    parts += limb(np.stack([thumb, thumb + (along * 0.75 - across * 0.6) * 0.2]), [0.045, 0.03])
    figure.pen.fill(parts, figure.skin, 0.09, shadow=0.25)


def draw_leg(figure: Figure, leg: Leg) -> None:
    """Leg, shoe and trouser leg."""
    clothes, girth = figure.person.clothes, figure.person.body.girth**0.6
    hip, knee, ankle, toes = leg.joints[:, :2]
    if figure.pen.at(hip)[1] - figure.pen.unit > figure.pen.canvas.rgba.shape[0]:
        return
    calf = knee + (ankle - knee) * 0.35 + np.array([-0.02 * leg.side, 0])
    path = np.stack([hip, knee, calf, ankle])
    radii = np.array([0.33, 0.215, 0.2, 0.115]) * girth
    figure.pen.fill(limb(path, list(radii)), figure.skin, 0.25, shadow=0.3)
    sole = limb(np.stack([shifted(ankle, 0, 0.07), shifted(toes, 0, -0.02)]), [0.13, 0.1])
    figure.pen.fill(sole, figure.cloth(plain(clothes.shoe, 0.05)), 0.1)
    if clothes.bottom == "trousers":
        cuff = 0.05 + 0.12 * clothes.flare
        widths = [*(radii[:3] + np.array([0.03, 0.045, 0.04 + cuff * 0.4])), radii[3] + cuff]
        figure.pen.fill(limb(path * (1, 0.995), widths), figure.cloth(clothes.bottom_fabric), 0.27, shadow=0.3)
    elif clothes.bottom == "shorts":
        end = hip + (knee - hip) * min(0.35 + 0.25 * clothes.bottom_length, 0.95)
        widths = [radii[0] + 0.04, radii[1] + 0.11]
        figure.pen.fill(limb(np.stack([hip, end]), widths), figure.cloth(clothes.bottom_fabric), 0.3)
