"""AIM-500: a test set of natural pictures with mattes, of which 100 are portraits."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

from wsshm.config import Section
from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.annotations import read_json
from wsshm.data.layouts.folders import below, has, lacks, pair_up
from wsshm.data.manifest import Sample
from wsshm.errors import UserError

log = logging.getLogger(__name__)

LIST = "aim_category_type.json"
KEYS = ("type", "category")


class Options(Section):
    """Which pictures are listed."""

    category: Literal["all", "portrait", "animal", "fruit", "furniture", "plant", "toy", "transparent"] = "all"
    """List the pictures of one category only, by the JSON of types and categories."""


def read(root: Path, split: str, domain: str | None, options: Options) -> list[Sample]:
    """Photos with mattes and trimaps; `type` (SO, STM, NS) and `category` become attributes."""
    folder = _folder(root)
    if folder is None:
        raise lacks(root, "aim-500", "original/, mask/ and trimap/ or usr/")
    columns = {"image": "original", "matte": "mask", "trimap": "trimap"}
    places = {column: below(folder, name) for column, name in columns.items()}
    samples = pair_up(root, places, needs="matte", kind="photo", split="test", domain=domain)
    listed = _listed(root, folder)
    samples = [replace(s, attributes=listed.get(s.id, {})) for s in samples]
    if unknown := [s.id for s in samples if not s.attributes] if listed else []:
        log.warning("%d pictures have no type and category in the JSON, such as %s", len(unknown), unknown[0])
    if options.category == "all":
        return samples
    if not listed:
        raise UserError(f"{root} has no {LIST}, which says what is a {options.category}; put it there")
    return [s for s in samples if s.attributes.get("category") == options.category]


def fits(root: Path) -> bool:
    """Whether photos lie in original/, beside mask/."""
    return _folder(root) is not None


def _folder(root: Path) -> Path | None:
    for folder in (root, below(root, "validation")):
        if folder and has(folder, ["original"], ["mask"]) and has(folder, ["trimap", "usr"]):
            return folder
    return None


def _listed(root: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Type and category by id."""
    found = sorted({p for place in (root, folder) for p in place.glob("*.json") if not p.name.startswith(".")})
    if not found:
        log.info("%s has no %s, so types and categories are not known", root, LIST)
        return {}
    path = next((p for p in found if p.name == LIST), found[0])
    document = read_json(path)
    if not isinstance(document, dict) or not all(isinstance(entry, dict) for entry in document.values()):
        raise UserError(f"{path} is no list of types and categories; it must map a picture's name to both")
    return {name: {k: str(entry[k]) for k in KEYS if k in entry} for name, entry in document.items()}


register(
    Layout(
        "aim-500",
        "500 natural pictures with mattes to test on; of the category portrait 100",
        "ROOT/original/*.jpg, mask/*.png (the mattes), trimap/*.png, usr/*.png; optional aim_category_type.json\n"
        "`type` (SO, STM, NS) and `category` of the JSON become attributes, which `wsshm data split` can keep.",
        read,
        fits,
        terms="MIT, by the publishers' release agreement",
        source="AIM-500",
        obtained="https://github.com/JizhiziLi/AIM",
        domain="natural",
        options=Options,
    )
)
