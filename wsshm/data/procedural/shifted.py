"""The shifted test set: people as natural as those to train on, seen as no picture to train on shows anybody.

What has moved: faces close to the camera, clothes and headwear of `wardrobe`, light that is coloured, low or from one side,
places that are dark or empty, and the cameras of `cameras`. Bodies, hair, and how alpha comes about are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from wsshm.data.procedural import camera, cameras
from wsshm.data.procedural.canvas import Light
from wsshm.data.procedural.person import Person, choose, sample_person
from wsshm.data.procedural.pictures import Photo, Standing, draw_figures, shadow
from wsshm.data.procedural.scene import draw_scene
from wsshm.data.procedural.texture import Array, any_colour, hsv, value_noise
from wsshm.data.procedural.wardrobe import HATS, NECKLINES, SLEEVES, TOPS, any_new_fabric

SETTINGS = {"indoor": 0.3, "outdoor": 0.3, "studio": 0.2, "night": 0.2}
LIGHTS = {"neon": 0.25, "sunset": 0.2, "from the side": 0.25, "from below": 0.15, "overcast": 0.15}
ARMS = ("hanging", "hip", "belly", "crossed", "chin", "behind head")
HEADWEAR = 0.45  # the share of people with something of `HATS`
SECOND = 0.15  # the share of pictures with a second person, further back


@dataclass(frozen=True)
class ShiftedPhoto(Photo):
    """The plan of a picture of the shifted set."""

    lit: str
    camera: str

    def attributes(self) -> dict[str, str]:
        """What the manifest says of the picture: as of others, the light by its name, and the camera."""
        return {**super().attributes(), "light": self.lit, "camera": self.camera}


def plan_shifted(rng: np.random.Generator) -> ShiftedPhoto:
    """Sample what a picture of the shifted set shows."""
    lit, head = choose(rng, LIGHTS), rng.uniform(0.42, 0.6)
    first = Standing(_dressed(rng), rng.uniform(0.38, 0.62), rng.uniform(-0.03, 0.1) + 1.25 * head, head)
    people = [first]
    if rng.random() < SECOND:
        smaller, side = head * rng.uniform(0.55, 0.75), float(rng.choice([-1, 1]))
        people.insert(0, Standing(_dressed(rng), first.x + side * head * rng.uniform(0.85, 1.1), first.y, smaller))
    blur = choose(rng, {"none": 0.75, "defocus": 0.15, "motion": 0.1})
    return ShiftedPhoto(
        people=tuple(people),
        light=_light(rng, lit),
        framing="close-up",
        setting=choose(rng, SETTINGS),
        horizon=rng.uniform(0.75, 1.1),
        blur=blur,
        blur_size=rng.uniform(0.003, 0.006) if blur == "defocus" else rng.uniform(0.015, 0.035),
        blur_angle=rng.uniform(0, np.pi),
        depth_of_field=rng.uniform(0.0, 0.035),
        cast=np.ones(3),
        seed=int(rng.integers(1 << 30)),
        lit=lit,
        camera=str(rng.choice(list(cameras.CAMERAS))),
    )


def draw_shifted(plan: ShiftedPhoto, size: int) -> tuple[Array, Array]:
    """Image (size, size, 3) and alpha (size, size), both uint8, of a picture of the shifted set."""
    rng = np.random.default_rng(plan.seed)
    figure = draw_figures(plan, size)
    alpha = figure[..., 3:]
    scene = _place(rng, plan, size) * (1 - shadow(rng, plan, alpha[..., 0]))[..., None]
    light = figure[..., :3] + camera.defocus(scene.astype(np.float32), plan.depth_of_field * size) * (1 - alpha)
    return cameras.photograph(rng, light, plan.camera), camera.to_8bit(alpha[..., 0])


def _dressed(rng: np.random.Generator) -> Person:
    """A person who faces the camera more or less, empty-handed, in clothes of `wardrobe`."""
    person = sample_person(rng)
    while person.seen_from_behind:
        person = sample_person(rng)
    top, arms = str(rng.choice(list(TOPS))), (str(rng.choice(ARMS)), str(rng.choice(ARMS)))
    clothes = replace(
        person.clothes,
        top=top,
        top_fabric=any_new_fabric(rng),
        inner_fabric=any_new_fabric(rng),
        scarf_fabric=any_new_fabric(rng),
        sleeve=SLEEVES.get(top, 1.0),
        neckline=NECKLINES.get(top, 0.0),
        scarf="none",
        hat=str(rng.choice(list(HATS))) if rng.random() < HEADWEAR else "none",
        backpack=False,
    )
    return replace(person, clothes=clothes, body=replace(person.body, arms=arms), held="none")


def _light(rng: np.random.Generator, lit: str) -> Light:
    """One light by its name; the colours of a light are 1 in the mean, but for what a lamp of one colour lacks."""
    side, white = float(rng.choice([-1, 1])), np.ones(3)
    direction, ambient, level, colour = {
        "neon": ((side * 0.6, -0.2, 0.6), 0.45, 1.1, 0.65 + 0.5 * hsv(rng.random(), rng.uniform(0.6, 1), 1.0)),
        "sunset": ((side * 0.8, -0.15, 0.4), 0.35, 1.05, np.array([1.2, 0.88, rng.uniform(0.5, 0.65)])),
        "from the side": ((side, -0.1, 0.15), rng.uniform(0.2, 0.28), 1.25, white),
        "from below": ((side * 0.2, 0.75, 0.5), 0.3, 1.1, np.array([1.05, 0.97, 0.88])),
        "overcast": ((0.0, -0.9, 0.2), 0.72, 0.9, np.array([0.86, 0.97, 1.12])),
    }[lit]
    towards = np.array(direction) + rng.normal(0, 0.08, 3)
    return Light(towards / np.linalg.norm(towards), ambient, level - ambient, np.asarray(colour))


def _place(rng: np.random.Generator, plan: ShiftedPhoto, size: int) -> Array:
    """What is behind the people, under the same light: float32 (size, size, 3)."""
    if plan.setting == "studio":
        return _backdrop(rng, size) * (0.5 + 0.5 * plan.light.colour)
    if plan.setting == "night":
        return _night(rng, size)
    return draw_scene(rng, size, plan.light, plan.setting, plan.horizon) * (0.4 + 0.6 * plan.light.colour)


def _backdrop(rng: np.random.Generator, size: int) -> Array:
    """Painted cloth, with a pool of light on it."""
    colour = any_colour(rng, 0.6, 0.15, 0.85)
    yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) / size
    centre = rng.uniform(0.2, 0.8, 2)
    pool = np.exp(-((xx - centre[0]) ** 2 + (yy - centre[1]) ** 2) / rng.uniform(0.15, 0.5))[..., None]
    cloth = 0.85 + 0.3 * value_noise(rng, size, size, 3, 4)
    return np.clip(colour * (0.45 + 0.75 * pool) * cloth, 0, 1)


def _night(rng: np.random.Generator, size: int) -> Array:
    """A street at night: dark walls and lamps out of focus."""
    scene = np.full((size, size, 3), 0.06, np.float32) * (0.6 + value_noise(rng, size, size, 4, 3, channels=3))
    scene += hsv(rng.uniform(0.55, 0.7), 0.5, 0.14) * np.linspace(1, 0.3, size, dtype=np.float32)[:, None, None]
    for _ in range(int(rng.integers(14, 40))):
        spot = np.zeros((size, size), np.float32)
        at, radius = rng.uniform(0, size, 2).astype(int).tolist(), max(1, round(size * rng.uniform(0.012, 0.05)))
        cv2.circle(spot, at, radius, rng.uniform(0.3, 0.9), -1, cv2.LINE_AA)
        hue = rng.choice([0.08, 0.13, 0.0, 0.5, 0.6, 0.85])
        scene += spot[..., None] * hsv(hue + rng.normal(0, 0.03), rng.uniform(0.3, 0.9), 1.0)
    return np.clip(scene, 0, 1)
