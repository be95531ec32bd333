"""Who is drawn: a person's body, hair, clothes, belongings and pose, sampled before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsshm.data.procedural.texture import HAIR_COLOURS, SKIN_TONES, Array, Material, any_colour, any_fabric, hsv

HAIR_STYLES = {
    "short": 0.12,
    "bob": 0.11,
    "long": 0.16,
    "wavy": 0.13,
    "curly": 0.1,
    "afro": 0.08,
    "ponytail": 0.07,
    "braids": 0.04,
    "bun": 0.05,
    "spiky": 0.06,
    "bald": 0.05,
}
HATS = {"none": 0.86, "beanie": 0.05, "sun hat": 0.03, "cap": 0.03, "headscarf": 0.03}
HELD = {
    "none": 0.70,
    "bag": 0.06,
    "book": 0.05,
    "phone": 0.05,
    "umbrella": 0.03,
    "guitar": 0.03,
    "ball": 0.03,
    "flowers": 0.03,
    "cup": 0.02,
}
TOPS = {"shirt": 0.45, "jacket": 0.2, "coat": 0.1, "dress": 0.13, "poncho": 0.06, "robe": 0.06}
BOTTOMS = {"trousers": 0.6, "shorts": 0.15, "skirt": 0.25}
ARM_POSES = {
    "hanging": 0.42,
    "hip": 0.14,
    "pocket": 0.1,
    "belly": 0.1,
    "crossed": 0.05,
    "wave": 0.05,
    "chin": 0.04,
    "behind head": 0.03,
    "pointing": 0.03,
    "forward": 0.04,
}


def choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """One key, by weight."""
    p = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=p / p.sum()))


@dataclass(frozen=True)
class Body:
    """Measures in head heights and angles in radians. `yaw` 0 faces the viewer, positive turns to the right."""

    shoulder: float
    chest: float
    waist: float
    hip: float
    bust: float
    girth: float
    neck: float
    yaw: float
    lean: float
    legs: tuple[tuple[float, float], tuple[float, float]]
    arms: tuple[str, str]
    arm_shift: Array


@dataclass(frozen=True)
class Face:
    """The head: `yaw` is absolute (body and neck together), `width` and `jaw` are half-widths in head heights."""

    yaw: float
    tilt: float
    width: float
    jaw: float
    smile: float
    brow: float
    eye: Array
    lips: float
    beard: str
    glasses: str


@dataclass(frozen=True)
class Hair:
    """Hair style and its numbers; lengths in head heights."""

    style: str
    colour_name: str
    colour: Array
    length: float
    volume: float
    curl: float
    wind: float
    flyaways: float
    parting: float
    fringe: bool


@dataclass(frozen=True)
class Clothes:
    """What is worn: kinds by name, and the fabric of each."""

    top: str
    top_fabric: Material
    inner_fabric: Material
    sleeve: float
    bottom: str
    bottom_fabric: Material
    bottom_length: float
    flare: float
    shoe: Array
    scarf: str
    scarf_fabric: Material
    hat: str
    neckline: float
    backpack: bool


@dataclass(frozen=True)
class Person:
    """Everything about one person that does not depend on where they stand. `seed` settles the small things."""

    skin_index: int
    skin: Array
    body: Body
    face: Face
    hair: Hair
    clothes: Clothes
    held: str
    seed: int

    @property
    def seen_from_behind(self) -> bool:
        return abs(self.face.yaw) > 1.9

    def attributes(self) -> dict[str, str]:
        """What a manifest row says about the person."""
        c = self.clothes
        return {
            "hair": "covered" if c.hat == "headscarf" else self.hair.style,
            "hair_colour": self.hair.colour_name,
            "skin_tone": str(self.skin_index + 1),
            "clothing": c.top if c.top in ("dress", "robe") else f"{c.top} and {c.bottom}",
            "scarf": c.scarf,
            "hat": c.hat,
            "glasses": self.face.glasses,
            "beard": self.face.beard,
            "held": self.held,
            "facing": "away" if self.seen_from_behind else "aside" if abs(self.face.yaw) > 0.6 else "front",
        }


def sample_person(rng: np.random.Generator) -> Person:
    """A random person."""
    soft = (
        rng.random() < 0.5
    )  # the softer of two body types; hair, clothes and pose are drawn independently of most of it
    skin_index = int(rng.integers(len(SKIN_TONES)))
    body = _body(rng, soft)
    hair = _hair(rng, soft)
    held = choose(rng, HELD)
    clothes = _clothes(rng, soft)
    away = abs(body.yaw) > 1.9
    neck_turn = 0.0 if away else float(np.clip(rng.normal(0, 0.3), -0.7, 0.7))
    face_yaw = body.yaw + neck_turn if away else float(np.clip(body.yaw * 0.6 + neck_turn, -1.0, 1.0))
    face = Face(
        yaw=face_yaw,
        tilt=rng.normal(0, 0.08),
        width=rng.uniform(0.33, 0.37) if soft else rng.uniform(0.345, 0.385),
        jaw=rng.uniform(0.62, 0.75) if soft else rng.uniform(0.74, 0.92),
        smile=rng.uniform(-0.01, 0.045),
        brow=rng.uniform(-0.01, 0.02),
        eye=hsv(rng.choice([0.07, 0.08, 0.3, 0.57]), rng.uniform(0.3, 0.7), rng.uniform(0.15, 0.5)),
        lips=rng.uniform(0.5, 1.0) if soft else rng.uniform(0.2, 0.6),
        beard="none"
        if soft or clothes.hat == "headscarf"
        else choose(rng, {"none": 0.62, "full": 0.2, "goatee": 0.08, "stubble": 0.1}),
        glasses=choose(rng, {"none": 0.78, "round": 0.09, "square": 0.08, "sunglasses": 0.05}),
    )
    return Person(
        skin_index=skin_index,
        skin=np.clip(SKIN_TONES[skin_index] * rng.uniform(0.93, 1.05), 0, 1),
        body=body,
        face=face,
        hair=hair,
        clothes=clothes,
        held=held,
        seed=int(rng.integers(1 << 30)),
    )


def _body(rng: np.random.Generator, soft: bool) -> Body:
    girth = rng.uniform(0.88, 1.2)
    side = rng.choice([-1.0, 1.0])
    turn = rng.random()
    if turn < 0.5:
        yaw = side * abs(rng.normal(0, 0.25))
    elif turn < 0.93:
        yaw = side * rng.uniform(0.35, 1.15)
    else:
        yaw = side * rng.uniform(2.4, 3.1)
    walking = rng.random() < 0.3
    legs = tuple(
        (rng.uniform(0.02, 0.22), rng.uniform(-0.75, 0.75) if walking else rng.uniform(-0.12, 0.2)) for _ in range(2)
    )
    return Body(
        shoulder=rng.uniform(0.78, 0.9) if soft else rng.uniform(0.9, 1.06),
        chest=(rng.uniform(0.62, 0.72) if soft else rng.uniform(0.74, 0.86)) * girth**0.6,
        waist=(rng.uniform(0.48, 0.6) if soft else rng.uniform(0.6, 0.72)) * girth,
        hip=(rng.uniform(0.66, 0.8) if soft else rng.uniform(0.62, 0.7)) * girth**0.7,
        bust=rng.uniform(0.04, 0.14) if soft else rng.uniform(0, 0.04),
        girth=girth,
        neck=rng.uniform(0.17, 0.2) if soft else rng.uniform(0.2, 0.245),
        yaw=float(yaw),
        lean=rng.normal(0, 0.045),
        legs=(legs[0], legs[1]),
        arms=(choose(rng, ARM_POSES), choose(rng, ARM_POSES)),
        arm_shift=rng.normal(0, 0.09, (2, 3)),
    )


def _hair(rng: np.random.Generator, soft: bool) -> Hair:
    weights = dict(HAIR_STYLES)
    for style, factor in {"short": 0.4, "bald": 0.15, "spiky": 0.6}.items():
        weights[style] *= factor if soft else 1.6
    for style in ("bob", "long", "wavy", "ponytail", "braids", "bun"):
        weights[style] *= 1.4 if soft else 0.5
    names = list(HAIR_COLOURS)
    colour_name = str(rng.choice(names, p=[0.2, 0.17, 0.15, 0.1, 0.06, 0.06, 0.07, 0.08, 0.05, 0.04, 0.02]))
    colour = np.array(HAIR_COLOURS[colour_name]) * rng.uniform(0.85, 1.15)
    if colour_name == "dyed":
        colour = hsv(rng.random(), 0.6, 0.7)
    windy = rng.random() < 0.16
    return Hair(
        style=choose(rng, weights),
        colour_name=colour_name,
        colour=np.clip(colour, 0.04, 0.95),
        length=rng.uniform(0.75, 1.35),
        volume=rng.uniform(0.7, 1.25),
        curl=rng.random(),
        wind=rng.choice([-1, 1]) * rng.uniform(0.5, 1.0) if windy else rng.normal(0, 0.06),
        flyaways=rng.uniform(0.4, 1.4),
        parting=rng.uniform(-0.5, 0.5),
        fringe=bool(rng.random() < 0.25),
    )


def _clothes(rng: np.random.Generator, soft: bool) -> Clothes:
    tops = TOPS if soft else {**TOPS, "dress": 0.0, "shirt": 0.6}
    bottoms = BOTTOMS if soft else {**BOTTOMS, "skirt": 0.02}
    bottom = choose(rng, bottoms)
    top = choose(rng, tops)
    return Clothes(
        top=top,
        top_fabric=any_fabric(rng),
        inner_fabric=any_fabric(rng),
        sleeve=1.0 if top in ("jacket", "coat", "robe") else float(rng.choice([0.0, 0.25, 0.3, 0.55, 1.0, 1.0])),
        bottom=bottom,
        bottom_fabric=any_fabric(rng),
        bottom_length=rng.uniform(0.9, 2.6),
        flare=rng.uniform(0.15, 0.7),
        shoe=any_colour(rng, 0.6, 0.1, 0.8),
        scarf=choose(rng, {"none": 0.84, "fringed": 0.09, "fur": 0.04, "lace": 0.03}),
        scarf_fabric=any_fabric(rng),
        hat=choose(rng, HATS),
        neckline=rng.uniform(0.04, 0.36),
        backpack=bool(rng.random() < 0.06),
    )
