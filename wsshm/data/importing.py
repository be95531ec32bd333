"""From a tree of pictures to a manifest: a layout lists the samples, and their files give sizes and hashes."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from wsshm.console import track
from wsshm.data.label_files import count, shown
from wsshm.data.layouts import LAYOUTS
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.mask_import import judged, write_binary
from wsshm.data.pictures import read_orientation, read_size
from wsshm.errors import UserError, nearest

log = logging.getLogger(__name__)

TRUTHS = ("exact", "estimated")
"""What a matte may be: the alpha that a picture was made with, or what somebody took it to be."""
MASKS_AS = ("mask", "matte")
"""What a folder named masks/ may hold: P3M and AIM publish their mattes in one."""


def import_layout(
    name: str,
    root: Path | str,
    truth: str | None = None,
    *,
    classes: Collection[int] | None = None,
    masks_as: str | None = None,
    converted: Path | None = None,
    split: str = "train",
    domain: str | None = None,
) -> Manifest:
    """The manifest of the tree at `root`, laid out as the layout `name` expects (`wsshm.data.layouts`).

    `split` and `domain` hold for every picture whose table's row names none. `truth` (exact or estimated, see `TRUTHS`)
    becomes an attribute of all that have a matte and none of their own. `masks_as` says what masks/ holds (see
    `MASKS_AS`). With `classes` masks are class indices: those of the person are written as masks of 0 and 255 to the
    folder `converted`, which the manifest then lists in their place.

    Raises UserError for an unknown layout, a missing folder, labels without a photo, unreadable pictures, masks of class
    indices without `classes`, and masks that look like mattes without `masks_as`.
    """
    layout = LAYOUTS.get(name)
    if truth is not None and truth not in TRUTHS:
        raise UserError(f"there is no truth {truth!r}; {nearest(truth, TRUTHS)}")
    if masks_as is not None and masks_as not in MASKS_AS:
        raise UserError(f"masks/ cannot hold {masks_as!r}; {nearest(masks_as, MASKS_AS)}")
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the folder that holds the data set")
    root = root.resolve()
    samples = layout.read(root, split, domain)
    if not samples:
        raise UserError(f"{root} holds nothing that is laid out as {name}, which expects {layout.expects}")
    if masks_as == "matte":
        samples = [_mask_as_matte(s) for s in samples]
    if truth is not None:
        samples = [replace(s, attributes={"truth": truth, **s.attributes}) if s.matte else s for s in samples]
    manifest = Manifest(root, [_measured(root, s) for s in track(samples, len(samples), f"reading {root.name}")])
    _warn_of_orientations(manifest)
    if classes is not None:
        assert converted is not None, "masks of classes are rewritten, so there is a folder for them"
        manifest = write_binary(manifest, classes, converted)
    else:
        judged(manifest, may_be_soft=masks_as == "mask")
    return manifest.hashed()


def _mask_as_matte(sample: Sample) -> Sample:
    if sample.mask and sample.matte:
        raise UserError(
            f"{sample.id} has a matte in another folder, so masks/ cannot hold mattes too; leave --masks-as out"
        )
    return replace(sample, matte=sample.mask or sample.matte, mask=None)


def _measured(root: Path, sample: Sample) -> Sample:
    picture = sample.image or sample.foreground
    if picture is None:
        raise UserError(f"the layout gave the sample {sample.id!r} neither an image nor a foreground; correct its file")
    width, height = read_size(root / picture)
    return replace(sample, width=width, height=height)


def _warn_of_orientations(manifest: Manifest) -> None:
    """Log the pictures that are turned by their tag and whose labels are not, or the other way round."""
    unlike = [s for s in manifest.samples if len({read_orientation(manifest.root / f) for f in s.files.values()}) > 1]
    if unlike:
        log.warning(
            "%s turned by an orientation tag that the label does not have, or has alone: %s; each file is read upright, "
            "see with `wsshm data preview` that they fit",
            count(unlike, "picture"),
            shown([Path(s.id) for s in unlike]),
        )
