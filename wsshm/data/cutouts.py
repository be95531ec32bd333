"""Cut-outs from photos that have mattes: the person's own colours, which are estimated, and alpha.

Where a pixel of a photo is partly transparent, what was behind shows in its colours; composited over something else they
would have its halo. Estimated colours (`wsshm.prediction.foreground`) do not.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsshm.data import pictures
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.names import readable_name
from wsshm.data.parallel import Room, each
from wsshm.errors import UserError

MARGIN = 0.02
"""Of the person's longer side, kept around it where the photo goes on."""

log = logging.getLogger(__name__)


def write_cutouts(manifest: Manifest, out: Path) -> Path:
    """Write a cut-out (RGBA PNG) of every photo with a matte to OUT/images; returns its manifest, OUT/NAME.parquet.

    NAME is OUT's. Splits, sources and licences are the photos'; the attribute `foreground` says `estimated`. A file's
    name changes with its photo's content, so those that are there already are kept; the manifest is written last. Photos
    without anybody are left out, with a warning. Raises UserError where no photo has a matte, or a picture cannot be read.
    """
    manifest = manifest.hashed()
    photos = [sample for sample in manifest.samples if sample.kind == "photo" and sample.matte is not None]
    if not photos:
        raise UserError("no photo of the manifest has a matte to cut it out by; import photos with mattes")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; give a folder by --out")
    room = Room()

    def made(photo: Sample) -> Sample | None:
        file = out / "images" / f"{readable_name(photo.id, f'{photo.id}{chr(0)}{photo.sha256}')}.png"
        if not file.exists():
            with room.taken((photo.width or 0) * (photo.height or 0)):
                if not _write(manifest, photo, file):
                    return None
        width, height = pictures.read_size(file)
        relative = file.relative_to(out).as_posix()
        row = Sample(
            id=photo.id,
            split=photo.split,
            kind="cutout",
            domain="synthetic",
            foreground=relative,
            matte=relative,
            width=width,
            height=height,
            source=photo.source,
            licence=photo.licence,
            attributes={**photo.attributes, "foreground": "estimated"},
        )
        return replace(row, sha256=content_hash(out, row))

    rows = [(photo, row) for photo, row in each(made, photos, "cutting out")]
    if empty := [photo.id for photo, row in rows if row is None]:
        log.warning("%d mattes are empty and give no cut-out, the first: %s", len(empty), empty[0])
    if len(empty) == len(rows):
        raise UserError("all mattes of the manifest are empty; `wsshm data preview` shows them")
    listed = out / f"{out.name}.parquet"
    Manifest(out, [row for _, row in rows if row is not None]).write(listed)
    return listed


def _write(manifest: Manifest, photo: Sample, file: Path) -> bool:
    """Write a photo's cut-out; False, and no file, where its matte is empty."""
    from wsshm.prediction.foreground import foreground_of  # only now: it brings a compiler

    image = pictures.read_image(manifest.path(photo, "image"))
    matte = pictures.read_matte(manifest.path(photo, "matte"))
    pictures.check_same_size(image, matte, manifest.path(photo, "matte"))
    alpha = np.rint(matte * 255).astype(np.uint8)
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return False
    margin = round(MARGIN * max(np.ptp(rows), np.ptp(columns)))
    part = tuple(slice(max(0, at[0] - margin), at[-1] + 1 + margin) for at in (rows, columns))
    # The whole photo's colours: of its edges alone, what is around the person says less.
    colours = foreground_of(image, matte, "multilevel")
    pictures.write_png(file, np.dstack([colours[part], alpha[part]]))
    return True
