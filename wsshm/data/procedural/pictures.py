"""One picture at a time: what is in it (a plan, cheap to make) and how it looks (drawn from the plan at any size)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wsshm.data.procedural import camera
from wsshm.data.procedural.canvas import Canvas, Light
from wsshm.data.procedural.draw import draw_person
from wsshm.data.procedural.person import Person, choose, sample_person
from wsshm.data.procedural.scene import draw_scene
from wsshm.data.procedural.skeleton import pose
from wsshm.data.procedural.texture import Array

FRAMINGS = {"portrait": 0.45, "half": 0.4, "full": 0.15}
CUTOUT_SCALE = 1.75  # cut-outs are this much larger than the pictures, so that a composite may zoom in


@dataclass(frozen=True)
class Standing:
    """A person and their place: the base of the neck and the head's height, as shares of the picture's side."""

    person: Person
    x: float
    y: float
    head: float


@dataclass(frozen=True)
class Photo:
    """The plan of a natural picture; lengths and blurs are shares of the picture's side."""

    people: tuple[Standing, ...]  # from back to front
    light: Light
    framing: str
    setting: str
    horizon: float
    blur: str
    blur_size: float
    blur_angle: float
    depth_of_field: float
    cast: Array
    seed: int

    def attributes(self) -> dict[str, str]:
        """What the manifest says of the picture: its scene, and the person in front."""
        return {
            **self.people[-1].person.attributes(),
            "people": str(len(self.people)),
            "framing": self.framing,
            "setting": self.setting,
            "blur": self.blur,
            "background": "blurred" if self.depth_of_field > 0.004 else "sharp",
            "light": _light_name(self.light),
        }


@dataclass(frozen=True)
class Cutout:
    """The plan of a cut-out person under studio light."""

    person: Standing
    light: Light
    framing: str

    def attributes(self) -> dict[str, str]:
        return {
            **self.person.person.attributes(),
            "people": "1",
            "framing": self.framing,
            "light": _light_name(self.light),
        }


def _light_name(light: Light) -> str:
    side = "left" if light.direction[0] < -0.3 else "right" if light.direction[0] > 0.3 else "front"
    return f"{side}, {'soft' if light.ambient > light.diffuse * 0.8 else 'hard'}"


def _light(rng: np.random.Generator, sideways: float) -> Light:
    direction = np.array([rng.normal(0, sideways), -rng.uniform(0.2, 0.9), rng.uniform(0.5, 1.1)])
    ambient = rng.uniform(0.35, 0.58)
    return Light(direction / np.linalg.norm(direction), ambient, rng.uniform(0.9, 1.12) - ambient, np.ones(3))


def _stand(rng: np.random.Generator, person: Person, framing: str) -> Standing:
    if framing == "portrait":
        head, y = rng.uniform(0.28, 0.38), rng.uniform(0.56, 0.7)
    elif framing == "half":
        head, y = rng.uniform(0.17, 0.26), rng.uniform(0.36, 0.5)
    else:
        head, y = rng.uniform(0.108, 0.122), rng.uniform(0.19, 0.23)
    return Standing(person, rng.uniform(0.34, 0.66), y, head)


def plan_photo(rng: np.random.Generator) -> Photo:
    """Sample what a natural picture shows."""
    framing, light = choose(rng, FRAMINGS), _light(rng, 0.7)
    first = _stand(rng, sample_person(rng), framing)
    people = [first]
    extra = 0 if rng.random() > 0.2 else 1 + int(rng.random() < 0.25)
    side = float(rng.choice([-1, 1]))
    for k in range(extra):
        head = first.head * rng.uniform(0.78, 0.97)
        gap = side * (-1 if k else 1) * first.head * rng.uniform(1.5, 2.4)
        feet = first.y + 5.9 * first.head - (first.head - head) * 1.5
        level = feet - 5.9 * head if framing == "full" else first.y + rng.uniform(-0.02, 0.04)
        people.insert(0, Standing(sample_person(rng), first.x + gap, level, head))
    blur = choose(rng, {"none": 0.66, "defocus": 0.22, "motion": 0.12})
    horizon = rng.uniform(0.6, 0.76) if framing == "full" else rng.uniform(0.68, 1.1)
    return Photo(
        people=tuple(people),
        light=light,
        framing=framing,
        setting=str(rng.choice(["indoor", "outdoor"])),
        horizon=horizon,
        blur=blur,
        blur_size=rng.uniform(0.003, 0.0065) if blur == "defocus" else rng.uniform(0.015, 0.045),
        blur_angle=rng.uniform(0, np.pi),
        depth_of_field=rng.uniform(0.002, 0.017) if rng.random() < 0.6 else 0.0,
        cast=1 + rng.normal(0, 0.06, 3),
        seed=int(rng.integers(1 << 30)),
    )


def draw_photo(plan: Photo, size: int) -> tuple[Array, Array]:
    """Image (size, size, 3) and alpha (size, size), both uint8, of a natural picture."""
    rng = np.random.default_rng(plan.seed)
    scene = draw_scene(rng, size, plan.light, plan.setting, plan.horizon)
    figure = draw_figures(plan, size)
    alpha = figure[..., 3:]
    scene = camera.defocus(scene * (1 - shadow(rng, plan, alpha[..., 0]))[..., None], plan.depth_of_field * size)
    image = camera.photograph(rng, figure[..., :3] + scene * (1 - alpha), plan.cast)
    return image, camera.to_8bit(alpha[..., 0])


def draw_figures(plan: Photo, size: int) -> Array:
    """The people of a picture without what is behind them: premultiplied RGBA (size, size, 4) in [0, 1]."""
    supersample = 3 if size <= 192 else 2
    canvas = Canvas(size, size, supersample, plan.light)
    for standing in plan.people:
        _draw(canvas, standing, size)
    figure = canvas.resolve()
    if plan.blur == "defocus":
        figure = camera.defocus(figure, plan.blur_size * size)
    elif plan.blur == "motion":
        figure = camera.motion(figure, plan.blur_size * size, plan.blur_angle)
    return np.clip(figure, 0, 1)


def _draw(canvas: Canvas, standing: Standing, size: int) -> None:
    scale = size * canvas.supersample
    draw_person(canvas, standing.person, np.array([standing.x, standing.y]) * scale, standing.head * scale)


def shadow(rng: np.random.Generator, plan: Photo, alpha: Array) -> Array:
    """How much darker the scene is (H, W) where the people's shadow falls: on the floor, or on what is behind them."""
    size, front = alpha.shape[0], plan.people[-1]
    x, y, head = (np.array([front.x, front.y, front.head]) * size).tolist()
    aside = -float(plan.light.direction[0])
    if plan.framing == "full":
        feet = min(y + 5.95 * head, size - 1.0)
        source = np.array([[0, y - head], [size, y - head], [x, feet]], np.float32)
        reach, level = aside * 0.35 * size, feet - (feet - y) * rng.uniform(0.06, 0.28)
        goal = np.array([[reach, level], [size + reach, level], [x, feet]], np.float32)
        move = cv2.getAffineTransform(source, goal)
        return 0.45 * cv2.GaussianBlur(cv2.warpAffine(alpha, move, alpha.shape[::-1]), (0, 0), 0.012 * size)
    move = np.array([[1, 0, aside * head * 0.5], [0, 1, head * 0.15]], np.float32)
    cast = cv2.GaussianBlur(cv2.warpAffine(alpha, move, alpha.shape[::-1]), (0, 0), head * 0.14)
    return rng.uniform(0.05, 0.4) * cast


def plan_cutout(rng: np.random.Generator) -> Cutout:
    """Sample one person for a cut-out, placed so that nothing but the lower body leaves the picture."""
    person, framing = sample_person(rng), choose(rng, FRAMINGS)
    head = {"portrait": rng.uniform(0.24, 0.32), "half": rng.uniform(0.15, 0.22), "full": rng.uniform(0.105, 0.12)}[
        framing
    ]
    skeleton = pose(person.body, person.held)
    above = 3.1 if person.held == "umbrella" else 2.0
    beside = max(skeleton.reach + 0.25, 2.2 if person.held == "umbrella" else 1.5)
    head = min(head, 0.5 / beside)
    if framing == "full":
        head = min(head, 0.97 / (above + skeleton.foot_y))
        y = 0.98 - head * skeleton.foot_y
    else:
        y = max(above * head, 0.55 if framing == "portrait" else 0.4)
    return Cutout(Standing(person, 0.5, y, head), _light(rng, 0.45), framing)


def draw_cutout(plan: Cutout, size: int) -> tuple[Array, Array]:
    """Straight foreground colours (S, S, 3) and alpha (S, S), uint8, S = round(1.75 x size).

    Colours go on a little beyond the outline, so that resampling does not pull in black.
    """
    side = round(size * CUTOUT_SCALE)
    canvas = Canvas(side, side, 2, plan.light)
    _draw(canvas, plan.person, side)
    figure = np.clip(canvas.resolve(), 0, 1)
    alpha = figure[..., 3:]
    wide = cv2.GaussianBlur(figure, (0, 0), 0.012 * side)
    beyond = wide[..., :3] / np.maximum(wide[..., 3:], 1e-4)
    colours = np.where(alpha > 0, figure[..., :3] / np.maximum(alpha, 1e-4), beyond)
    return camera.to_8bit(colours), camera.to_8bit(alpha[..., 0])
