"""P3M-10k: portraits with mattes, faces blurred but for one of its two test sets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from wsshm.config import Section
from wsshm.data.label_files import find_folder
from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import below, has, joined, lacks, pair_up
from wsshm.data.manifest import Sample
from wsshm.errors import UserError

log = logging.getLogger(__name__)

IMAGES = ("blurred_image", "original_image")
MATTES = ("mask",)
TESTS = ("P3M-500-P", "P3M-500-NP")


class Options(Section):
    """What is listed."""

    rows: Literal["photos", "cutouts"] = "photos"
    """List the photos with their mattes, or the people of train/fg (colours estimated by the publishers, without what was
    behind them) as cut-outs to composite on other backgrounds. A matte counts once in either."""


def read(root: Path, split: str, domain: str | None, options: Options) -> list[Sample]:
    """Photos of the training set and both test sets, or cut-outs of the training set."""
    parts = {"train": below(root, "train"), **{name: _test(root, name) for name in TESTS}}
    if options.rows == "cutouts":
        train, colours = parts["train"], below(root, "train", "fg")
        if train is None or colours is None:
            raise UserError(f"{root} has no folder train/fg, which rows=cutouts lists; leave the option out")
        folders = {"foreground": colours, "matte": find_folder(train, MATTES)}
        return pair_up(root, folders, needs="matte", kind="cutout", split="train", domain="synthetic")
    if not any(parts.values()):
        raise lacks(root, "p3m-10k", "train/, P3M-500-P/ or P3M-500-NP/")
    if missing := [name for name, folder in parts.items() if folder is None]:
        log.warning("%s has no %s, so that part is not listed", root, " and no ".join(missing))
    found = {}
    for name, folder in parts.items():
        if folder:
            columns = {"image": IMAGES, "matte": MATTES, "trimap": ("trimap",)}
            places = {column: find_folder(folder, names) for column, names in columns.items()}
            if not (places["image"] and places["matte"]):
                raise UserError(f"{folder} lacks the folder {IMAGES[0]}/ or {MATTES[0]}/; fetch it again")
            found[name] = pair_up(
                root,
                places,
                needs="matte",
                kind="photo",
                split="train" if name == "train" else "test",
                domain=domain,
                attributes={"part": name},
            )
    return joined(found)


def fits(root: Path) -> bool:
    """Whether the training set or one of the test sets is there."""
    return has(below(root, "train"), IMAGES, MATTES) or any(_test(root, name) for name in TESTS)


def _test(root: Path, name: str) -> Path | None:
    return below(root, "validation", name) or below(root, name)


register(
    Layout(
        "p3m-10k",
        "portraits with mattes: 9,421 to train on, and test sets of 500 with faces blurred (P) or not (NP)",
        "ROOT/train/blurred_image/*.jpg, train/mask/*.png (the mattes), optional train/fg\n"
        "ROOT/validation/P3M-500-P/{blurred_image,mask,trimap}, with or without the level validation/\n"
        "ROOT/validation/P3M-500-NP/{original_image,mask,trimap}\n"
        "Any of the three may be missing; both test sets go to the split test, the attribute `part` names them.",
        read,
        fits,
        terms="MIT, by the publishers' release agreement",
        source="P3M-10k",
        obtained="https://github.com/JizhiziLi/P3M",
        domain="natural",
        options=Options,
    )
)
