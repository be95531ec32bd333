"""From a tree of pictures to a manifest: a layout lists the samples, and their files give sizes and hashes."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsshm.data.decoding import header_of
from wsshm.data.label_files import count, shown
from wsshm.data.layouts import AUTO, LAYOUTS, Drawing, Layout, recognised
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.manifest_table import DOMAINS, SPLITS
from wsshm.data.mask_import import check_free, judged, write_binary, write_drawn
from wsshm.data.parallel import each
from wsshm.data.pictures import format_classes
from wsshm.data.sample import grade_of
from wsshm.data.sample_table import with_table
from wsshm.data.skeleton import skeleton
from wsshm.errors import UserError, nearest
from wsshm.files.location import Location
from wsshm.grades import ATTRIBUTE, GRADES

log = logging.getLogger(__name__)

TRUTHS = ("exact", "estimated")
"""What a matte may be: the alpha that a picture was made with, or what somebody took it to be."""
MASKS_AS = ("mask", "matte")
"""What a folder named masks/ may hold: P3M and AIM publish their mattes in one."""


@dataclass(frozen=True)
class Listed:
    """What a layout says of a tree from names and annotations alone: samples without sizes and hashes.

    `drawings` are the masks to be drawn, by the samples' ids; `classes` are the person's if masks hold class indices.
    """

    layout: Layout
    samples: list[Sample]
    drawings: Mapping[str, Drawing]
    classes: Collection[int] | None = None


def import_layout(
    name: str,
    root: Path | str | Location,
    truth: str | None = None,
    *,
    classes: Collection[int] | None = None,
    masks_as: str | None = None,
    converted: Path | Location | None = None,
    split: str | None = None,
    domain: str | None = None,
    options: Mapping[str, Any] | None = None,
    grade: str | None = None,
) -> Manifest:
    """The manifest of the tree at `root`, laid out as the layout `name` expects (`wsshm.data.layouts`; `auto`: as it fits).

    `split` takes the place of published splits, and of `train` where none is published; `domain` that of the layout's. A
    row of the folder's table (`sample_table`) goes before both. `truth` (exact or estimated, see `TRUTHS`) becomes an
    attribute of all that have a matte and none of their own. `masks_as` says what masks/ holds (see `MASKS_AS`). With
    `classes` masks are class indices: those of the person are written as masks of 0 and 255 to the folder `converted`,
    which the manifest then lists in their place; masks that are annotations are drawn and written there, too. `options`
    are the layout's own. `grade` (`wsshm.grades`) becomes an attribute of all that have a mask and no grade of their own. Of
    a `root` on an object store, every picture is fetched into the node's cache to be measured.

    Raises UserError for an unknown layout or option, a missing folder, labels without a photo, unreadable pictures,
    files that lie outside of `root`, masks of class indices without `classes`, masks that look like mattes without
    `masks_as`, and annotations that do not fit their pictures.
    """
    if not str(root):
        raise UserError("the data set's folder is empty text, as of a variable that is not set; give the folder")
    place = Location.of(root)
    tree = nullcontext(place.local) if place.local is not None else skeleton(place)
    with tree as folder:
        listed = list_samples(
            name,
            folder,
            truth,
            classes=classes,
            masks_as=masks_as,
            split=split,
            domain=domain,
            options=options,
            grade=grade,
        )
        masks = Location.of(converted) if converted is not None else None
        if place.local is None:
            if masks is not None and (listed.classes is not None or listed.drawings):
                check_free(Manifest(place, []), masks)  # before all pictures are fetched
            found = Manifest(place, listed.samples).hashed()
        else:
            found = Manifest(place.local.resolve(), listed.samples)
            _refuse_links(found.folder, listed.samples)
        return _imported(found, listed, masks_as, masks)


def _imported(found: Manifest, listed: Listed, masks_as: str | None, converted: Location | None) -> Manifest:
    """The manifest of what a layout listed: sizes, hashes, and masks that were written or judged."""
    name = Location.of(found.root).name
    measured = [row for _, row in each(lambda s: _measured(found, s), found.samples, f"reading {name}")]
    manifest = Manifest(found.root, (sample for sample, _ in measured))
    _warn_of_orientations([sample for sample, alike in measured if not alike])
    if listed.classes is not None or listed.drawings:
        assert converted is not None, "masks of classes and annotations are written, so there is a folder for them"
    if converted is not None and listed.classes is not None:
        manifest = write_binary(manifest, listed.classes, converted)
    elif converted is not None and listed.drawings:
        manifest = write_drawn(manifest, listed.drawings, converted)
    else:
        judged(manifest, may_be_soft=masks_as == "mask")
    if manifest.remote:
        return manifest.hashed()  # those of samples with new masks
    hashed = each(manifest.content_hash, manifest.samples, f"hashing {name}")
    return Manifest(manifest.root, [replace(sample, sha256=digest) for sample, digest in hashed])


def list_samples(
    name: str,
    root: Path,
    truth: str | None = None,
    *,
    classes: Collection[int] | None = None,
    masks_as: str | None = None,
    split: str | None = None,
    domain: str | None = None,
    options: Mapping[str, Any] | None = None,
    grade: str | None = None,
) -> Listed:
    """The first part of `import_layout`, by names, annotations and tables alone: no picture is opened."""
    layout = LAYOUTS.get(name) if name != AUTO else None
    if truth is not None and truth not in TRUTHS:
        raise UserError(f"there is no truth {truth!r}; {nearest(truth, TRUTHS)}")
    for option, value, choices in (
        ("--split", split, SPLITS),
        ("--domain", domain, DOMAINS),
        ("--grade", grade, GRADES),
    ):
        if value is not None and value not in choices:
            raise UserError(f"{option} cannot be {value!r}; {nearest(value, choices)}")
    if masks_as is not None and masks_as not in MASKS_AS:
        raise UserError(f"masks/ cannot hold {masks_as!r}; {nearest(masks_as, MASKS_AS)}")
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the folder that holds the data set")
    root = root.resolve()
    if layout is None:
        layout = recognised(root)
        log.info("%s is laid out as %s", root, layout.name)
    found = layout.lists(root, split or "train", domain or layout.domain, options or {})
    if not found.samples:
        expected = layout.expects.splitlines()[0]
        raise UserError(f"{root} holds nothing that is laid out as {layout.name}, which expects {expected}")
    if classes is not None and found.drawings:
        raise UserError(
            f"--class {format_classes(classes)} is for masks of class indices, and {layout.name} has annotations;"
            " leave it out"
        )
    if masks_as is not None and (found.drawings or layout.classes):
        what = "annotations" if found.drawings else "masks of class indices"
        raise UserError(f"--masks-as is for masks and mattes, and {layout.name} has {what}; leave it out")
    samples = [_credited(s, layout, split) for s in found.samples]
    samples = with_table(root, samples, named=not layout.general)
    if masks_as == "matte":
        samples = [_mask_as_matte(s) for s in samples]
    if truth is not None:
        samples = [replace(s, attributes={"truth": truth, **s.attributes}) if s.matte else s for s in samples]
    masked = set(found.drawings) | {s.id for s in samples if s.mask}
    for sample in samples:
        grade_of(sample)  # of the folder's table
    if grade is not None:
        if not masked:
            raise UserError(f"--grade {grade} is of masks, and {root} has none; leave it out")
        samples = [replace(s, attributes={ATTRIBUTE: grade, **s.attributes}) if s.id in masked else s for s in samples]
    return Listed(layout, samples, found.drawings, classes or layout.classes)


def _credited(sample: Sample, layout: Layout, split: str | None) -> Sample:
    source, licence = sample.source or layout.source, sample.licence or layout.terms
    return replace(sample, split=split or sample.split, source=source, licence=licence)


def _mask_as_matte(sample: Sample) -> Sample:
    if sample.mask and sample.matte:
        raise UserError(
            f"{sample.id} has a matte in another folder, so masks/ cannot hold mattes too; leave --masks-as out"
        )
    return replace(sample, matte=sample.mask or sample.matte, mask=None)


def _refuse_links(root: Path, samples: list[Sample]) -> None:
    """UserError for a file that a link leads out of `root`: a manifest's paths stay below its root."""
    homes: dict[str, bool] = {}
    top = os.path.join(root, "")
    for path in (os.path.join(root, file) for sample in samples for file in sample.files.values()):
        folder = os.path.dirname(path)
        if folder not in homes:
            homes[folder] = f"{os.path.realpath(folder)}{os.sep}".startswith(top)
        if homes[folder] and not (os.path.islink(path) and not os.path.realpath(path).startswith(top)):
            continue
        parts = Path(path).relative_to(root).parts
        links = [p for p in (root.joinpath(*parts[: n + 1]) for n in range(len(parts))) if p.is_symlink()]
        what = f"{links[0]} is a link to {os.path.realpath(links[0])}, which" if links else path
        raise UserError(
            f"{what} lies outside of {root}; give a folder that holds both, or put the files themselves into {root}"
        )


def _measured(manifest: Manifest, sample: Sample) -> tuple[Sample, bool]:
    """The sample with its picture's size, and whether all its files have the same orientation."""
    picture = sample.image or sample.foreground
    if picture is None:
        raise UserError(f"the layout gave the sample {sample.id!r} neither an image nor a foreground; correct its file")
    with manifest.told_by_address(sample):
        headers = {file: header_of(manifest.path(sample, column)) for column, file in sample.files.items()}
    alike = len({header.orientation for header in headers.values()}) == 1
    return replace(sample, width=headers[picture].width, height=headers[picture].height), alike


def _warn_of_orientations(unlike: list[Sample]) -> None:
    """Log the pictures that are turned by their tag and whose labels are not, or the other way round."""
    if unlike:
        log.warning(
            "%s turned by an orientation tag that the label does not have, or has alone: %s; each file is read upright, "
            "see with `wsshm data preview` that they fit",
            count(unlike, "picture"),
            shown([Path(s.id) for s in unlike]),
        )
