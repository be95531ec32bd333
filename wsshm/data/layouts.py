"""Layouts: how data sets lie on disk, and the readers that turn a tree into a manifest.

A reader lists what it finds as samples without size or hash; `import_layout` fills those in from the files. A folder's
own `FOLDER.csv` (inside it or next to it; columns id, split, domain, source, licence, anything else) adds what the
tree cannot say: unknown columns become attributes.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsshm.commandline import track
from wsshm.data.manifest import Manifest, Sample, content_hash
from wsshm.data.pictures import find_pictures, read_size
from wsshm.errors import UserError, nearest

log = logging.getLogger(__name__)

PHOTO_FOLDERS = ("images", "image", "photos", "photo")
LABEL_FOLDERS = {
    "mask": ("masks", "mask"),
    "matte": ("mattes", "matte", "alphas", "alpha"),
    "trimap": ("trimaps", "trimap"),
}
MEASURED_COLUMNS = ("id", "width", "height", "sha256")
TRUTHS = ("exact", "estimated")
"""What a matte may be: the alpha that a picture was made with, or what somebody took it to be."""
SAMPLE_COLUMNS = ("split", "domain", "source", "licence")

Reader = Callable[..., list[Sample]]


def import_layout(name: str, root: Path | str, truth: str | None = None, **options: Any) -> Manifest:
    """The manifest of the tree at `root`, laid out as `LAYOUTS[name]` says.

    `split` (default train) and `domain` (default unknown) hold for every picture whose CSV row names none. `truth`
    (exact or estimated, see `TRUTHS`) becomes an attribute of all that have a matte and none of their own. Raises
    UserError for an unknown layout, a missing folder, labels without a photo, and unreadable pictures.
    """
    if name not in LAYOUTS:
        raise UserError(f"there is no layout {name!r}; {nearest(name, LAYOUTS)}")
    root = Path(root).resolve()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the folder that holds the data set")
    samples = LAYOUTS[name](root, **options)
    if truth is not None:
        if truth not in TRUTHS:
            raise UserError(f"there is no truth {truth!r}; {nearest(truth, TRUTHS)}")
        samples = [replace(s, attributes={"truth": truth, **s.attributes}) if s.matte else s for s in samples]
    return Manifest(root, [_measured(root, s) for s in track(samples, len(samples), f"reading {root.name}")])


def read_pairs(root: Path, *, split: str = "train", domain: str | None = None) -> list[Sample]:
    """Photos in images/ and labels of the same stem in any of masks/, mattes/ and trimaps/."""
    images = _find_folder(root, PHOTO_FOLDERS)
    if images is None:
        raise UserError(f"{root} has no folder of photos; name it {PHOTO_FOLDERS[0]}/, beside masks/ or mattes/")
    photos = _by_stem(images)
    labels: dict[str, dict[str, Path]] = {}
    for column, names in LABEL_FOLDERS.items():
        folder = _find_folder(root, names)
        labels[column] = _by_stem(folder) if folder else {}
        orphans = sorted(set(labels[column]) - set(photos))
        if folder and orphans:
            raise UserError(
                f"{_count(orphans, 'label')} in {folder} without a photo of the same name in {images.name}/, the first "
                f"is {labels[column][orphans[0]].name}; add the photos or take the labels away"
            )
    unlabelled = [stem for stem in photos if not any(stem in found for found in labels.values())]
    if len(unlabelled) == len(photos):
        raise UserError(f"no photo in {images} has a label; put masks into masks/ or mattes into mattes/ beside it")
    if unlabelled:
        shown = ", ".join(photos[stem].name for stem in unlabelled[:5]) + (", ..." if len(unlabelled) > 5 else "")
        log.warning("skipped %s without a label: %s", _count(unlabelled, "photo"), shown)
    samples = []
    for stem in photos.keys() - set(unlabelled):
        sample = Sample(id=stem, split=split, domain=domain, kind="photo", image=_relative(root, photos[stem]))
        found: dict[str, Any] = {c: _relative(root, paths[stem]) for c, paths in labels.items() if stem in paths}
        samples.append(replace(sample, **found))
    return _with_table(root, samples)


def read_rgba(root: Path, *, split: str = "train", domain: str | None = None) -> list[Sample]:
    """Cut-outs: RGBA pictures in `root` or in its images/; each file is both the foreground and the matte."""
    return _with_table(
        root,
        [
            Sample(id=stem, split=split, domain=domain, kind="cutout", foreground=path, matte=path)
            for stem, path in _loose_pictures(root)
        ],
    )


def read_backgrounds(root: Path, *, split: str = "train", domain: str | None = None) -> list[Sample]:
    """Pictures without a person, in `root` or in its images/."""
    return _with_table(
        root,
        [
            Sample(id=stem, split=split, domain=domain, kind="background", image=path)
            for stem, path in _loose_pictures(root)
        ],
    )


LAYOUTS: dict[str, Reader] = {"pairs": read_pairs, "rgba": read_rgba, "backgrounds": read_backgrounds}


def _loose_pictures(root: Path) -> list[tuple[str, str]]:
    folder = _find_folder(root, PHOTO_FOLDERS) or root
    pictures = _by_stem(folder)
    if not pictures:
        raise UserError(f"{folder} holds no pictures (jpg, png, webp, bmp, tif); give the folder that holds them")
    return [(stem, _relative(root, path)) for stem, path in pictures.items()]


def _find_folder(root: Path, names: Iterable[str]) -> Path | None:
    found = [root / name for name in names if (root / name).is_dir()]
    if len(found) > 1:
        raise UserError(f"{root} has both {found[0].name}/ and {found[1].name}/; keep the one that is meant")
    return found[0] if found else None


def _by_stem(folder: Path) -> dict[str, Path]:
    pictures: dict[str, Path] = {}
    for path in find_pictures(folder):
        if path.stem in pictures:
            raise UserError(f"{pictures[path.stem]} and {path.name} have the same name; rename or remove one of them")
        pictures[path.stem] = path
    return pictures


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _measured(root: Path, sample: Sample) -> Sample:
    picture = sample.image or sample.foreground
    assert picture is not None  # every reader gives one of the two
    width, height = read_size(root / picture)
    return replace(sample, width=width, height=height, sha256=content_hash(root, sample))


def _with_table(root: Path, samples: list[Sample]) -> list[Sample]:
    """The samples in order of id, completed by the rows of the root's CSV where there is one."""
    samples = sorted(samples, key=lambda s: s.id)
    table = next((p for p in (root / f"{root.name}.csv", root.parent / f"{root.name}.csv") if p.is_file()), None)
    if table is None:
        return samples
    rows = _read_rows(table)
    unused = sorted(set(rows) - {s.id for s in samples})
    if unused:
        log.warning("unused in %s: %s without a picture, the first is %r", table, _count(unused, "row"), unused[0])
    return [_completed(sample, rows[sample.id]) if sample.id in rows else sample for sample in samples]


def _read_rows(table: Path) -> dict[str, dict[str, str]]:
    with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        if "id" not in (reader.fieldnames or ()):
            raise UserError(f"{table} has no column 'id'; its first line must name the columns, id among them")
        rows: dict[str, dict[str, str]] = {}
        for row in reader:
            if row["id"] in rows:
                raise UserError(f"{table} lists the id {row['id']!r} twice; keep one row for each picture")
            rows[row["id"]] = {key: value for key, value in row.items() if key and value}
    return rows


def _completed(sample: Sample, row: dict[str, str]) -> Sample:
    known: dict[str, Any] = {k: row[k] for k in SAMPLE_COLUMNS if k in row}
    attributes = {k: v for k, v in row.items() if k not in MEASURED_COLUMNS + SAMPLE_COLUMNS}
    return replace(sample, attributes=attributes, **known)


def _count(items: list[str], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
