"""Mattes for photos that have none: several opinions say where the person is, closed-form matting what is between.

What comes out is an estimate. Its errors are others than those of mattes that were made from the masks alone, so that a
method which learnt from the masks has no advantage by it; networks whose opinions made it do.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wsshm.data import pictures
from wsshm.data.closed_form import SIDE, matte_in_band
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.names import readable_name
from wsshm.data.parallel import Room, each
from wsshm.data.preview import preview
from wsshm.data.roots import common_root
from wsshm.data.unknown_band import band, fault
from wsshm.errors import UserError, nearest

VERSION = "1"
"""Part of the files' names: raised whenever a change of code changes what is estimated."""
ON_SHEET = 60
"""Photos on a contact sheet, drawn at random where there are more."""
LEFT_OUT = "-left-out"
NAMED, UNSOLVED = "--leave-out names them", "closed-form matting found no solution"
AT_ONCE = 4
"""Photos of the largest working size that are solved at once, as memory allows."""


class Adviser(Protocol):
    """Somebody who mattes a photo (H, W, 3) uint8: (H, W) float32 in [0, 1]. `identity` changes with what they say."""

    @property
    def name(self) -> str: ...

    @property
    def identity(self) -> str: ...

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Estimated:
    """The manifest that was written and how many photos it lists; why others were left out, by their ids, and the manifest
    that lists them, if there are any."""

    manifest: Path
    kept: int
    left_out: Mapping[str, str]
    unlisted: Path


def estimate_mattes(
    manifest: Manifest,
    advisers: Sequence[Adviser],
    out: Path,
    split: str | None = None,
    leave_out: Collection[str] = (),
) -> Estimated:
    """Estimate mattes of a manifest's photos (of `split`) into OUT/mattes, their bands into OUT/trimaps, and list them in
    OUT/NAME.parquet, with NAME that of OUT.

    A photo's mask is an opinion beside those of the advisers; at least two are needed. Where they do not agree on who is
    there (`unknown_band.fault`), the photo is left out, as those whose ids are in `leave_out` are, and listed with its band
    in OUT/NAME-left-out.parquet. Beside each manifest lies a contact sheet (.png). Rows have the attributes `truth:
    estimated` and `truth_by`; a matte or trimap that a photo had is not listed. Files' names change with the photo and the
    advisers, so what is there already is kept; manifests are written last.

    Raises UserError where no photo can be estimated or has two opinions, or a picture cannot be read.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder by --out")
    manifest = manifest.rooted(common_root(manifest.folder, out)).hashed()
    photos = [s for s in manifest.samples if s.kind == "photo" and s.image and split in (None, s.split)]
    _check(photos, advisers, split, leave_out)
    work = _Work(manifest, advisers, out, leave_out)
    found = {photo.id: (row, why) for photo, (row, why) in each(work.estimated, photos, "estimating mattes")}
    kept = [row for row, why in found.values() if why is None]
    left = [
        replace(row, attributes=row.attributes | {"left_out": why}) for row, why in found.values() if why is not None
    ]
    reasons = {row.id: row.attributes["left_out"] for row in left}
    listed, unlisted = (out / f"{out.name}{ending}.parquet" for ending in ("", LEFT_OUT))
    for rows, file in ((left, unlisted), (kept, listed)):
        if rows:
            made = Manifest(manifest.root, rows)
            preview(made, file.with_suffix(".png"), count=ON_SHEET)
            made.write(file)
        else:  # of an earlier call
            file.unlink(missing_ok=True)
            file.with_suffix(".png").unlink(missing_ok=True)
    if not kept:
        raise UserError(
            f"no matte could be estimated: all {len(left)} photos were left out ({next(iter(reasons.values()))});"
            f" {unlisted.with_suffix('.png')} shows them"
        )
    return Estimated(listed, len(kept), reasons, unlisted)


def _check(photos: list[Sample], advisers: Sequence[Adviser], split: str | None, leave_out: Collection[str]) -> None:
    if not photos:
        of = f" of the split {split}" if split else ""
        raise UserError(f"the manifest lists no photo{of}; import some with wsshm data import")
    if unknown := sorted(set(leave_out) - {photo.id for photo in photos}):
        raise UserError(
            f"--leave-out names no photo {unknown[0]!r}; {nearest(unknown[0], [photo.id for photo in photos])}"
        )
    alone = next((photo.id for photo in photos if len(advisers) + (photo.mask is not None) < 2), None)
    if alone is not None:
        raise UserError(
            f"the photo {alone!r} has one opinion alone, since it has no mask; give a second --peer, or photos with masks"
        )


class _Work:
    """What is the same for all photos of a call. Threads share it."""

    def __init__(self, manifest: Manifest, advisers: Sequence[Adviser], out: Path, leave_out: Collection[str]) -> None:
        self.manifest, self.advisers, self.out, self.leave_out = manifest, advisers, out, leave_out
        self.recipe = "\0".join([VERSION, *sorted(adviser.identity for adviser in advisers)])
        self.asking = threading.Lock()  # not every engine may be asked by several threads, and each uses all cores
        self.room = Room(AT_ONCE * SIDE * SIDE)

    def estimated(self, photo: Sample) -> tuple[Sample, str | None]:
        """A photo's row, and why it is left out, if it is; its row has no matte then."""
        name = readable_name(photo.id, f"{photo.id}\0{photo.sha256}\0{self.recipe}") + ".png"
        drawn, estimated = self.out / "trimaps" / name, self.out / "mattes" / name
        with self.manifest.told_by_address(photo):
            trimap = pictures.read_trimap(drawn) if drawn.is_file() else self._band(photo, drawn)
            why = NAMED if photo.id in self.leave_out else fault(trimap)
            if why is None and not estimated.is_file():
                image = pictures.read_image(self.manifest.path(photo, "image"))
                with self.room.taken(min(trimap.size, SIDE * SIDE)):
                    try:
                        matte = matte_in_band(image, trimap)
                    except ValueError:  # pymatting's own: neither preconditioned nor solved
                        why = UNSOLVED
                    else:
                        pictures.write_png(estimated, np.rint(matte * 255).astype(np.uint8))
        return self._row(photo, drawn, None if why else estimated), why

    def _band(self, photo: Sample, file: Path) -> NDArray[np.uint8]:
        image = pictures.read_image(self.manifest.path(photo, "image"))
        with self.asking:
            opinions = [adviser(image) for adviser in self.advisers]
        if photo.mask is not None:
            mask = pictures.read_mask(self.manifest.path(photo, "mask")).astype(np.float32)
            pictures.check_same_size(image, mask, self.manifest.path(photo, "mask"))
            opinions.append(mask)
        trimap = band(opinions)
        pictures.write_png(file, trimap)
        return trimap

    def _row(self, photo: Sample, trimap: Path, matte: Path | None) -> Sample:
        root = self.manifest.folder
        width, height = pictures.read_size(trimap)
        asked = [adviser.name for adviser in self.advisers]
        by = ", ".join([*(["mask"] if photo.mask else []), *asked])
        row = replace(
            photo,
            matte=None if matte is None else self._below(matte),
            trimap=self._below(trimap),
            width=width,
            height=height,
            attributes=photo.attributes
            | {"truth": "estimated", "truth_by": f"closed-form matting between the opinions of {by}"},
        )
        return replace(row, sha256=content_hash(root, row))

    def _below(self, file: Path) -> str:
        """A file's path below the manifest's root."""
        return file.resolve().relative_to(self.manifest.folder).as_posix()
