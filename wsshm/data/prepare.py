"""From folders of your own to manifests to train and test on: what the plan `photos` reads, in one step."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from wsshm.data.composites import write_composites
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.split import hold_back
from wsshm.errors import UserError
from wsshm.files.whole import whole_folder

PARTS = {"photos": "pairs", "cutouts": "rgba", "backgrounds": "backgrounds"}
"""DATA's folders and their layouts."""
MANIFESTS = (*(f"{name}.parquet" for name in PARTS), "composites/composites.parquet")
"""What OUT holds."""
TABLE = "photos.csv"
"""In photos/: which of them are not to train on."""
RECORD = "prepared.json"
"""In OUT: what it was made of. With it OUT is whole."""
HELD_BACK = 5
"""Every N-th cut-out and background is for tests; of the photos to measure on, every N-th is for validation."""
EACH, SIZE, SEED = 4, 512, 0
"""Composites of a cut-out held back, their side in px, and the seed that they are drawn by."""

log = logging.getLogger(__name__)


def prepare(data: Path, out: Path, truth: str = "estimated", grade: str | None = None) -> bool:
    """Write OUT/photos.parquet, cutouts.parquet, backgrounds.parquet and composites/ from DATA's folders.

    DATA holds photos/ (images/, masks/, mattes/ of those to validate and test on), cutouts/ (RGBA) and backgrounds/. The
    photos to measure on are those that photos/photos.csv gives the split val or test; without that table all that have a
    matte. Every fifth of them is for validation, the others for tests. Every fifth cut-out and background is held back,
    and composites with exact mattes are made of them. `truth` says what the photos' mattes are and `grade` what their masks
    are, as in `import_layout`. OUT is there whole or not at all; returns False where it was made from the same data before.
    Raises UserError where DATA lacks something, or OUT holds anything else.
    """
    missing = [name for name in PARTS if not (data / name).is_dir()]
    if missing:
        raise UserError(
            f"{data} has no folder {missing[0]}/; put photos into photos/images/ and photos/masks/, cut-outs into"
            " cutouts/ and pictures without people into backgrounds/"
        )
    _check_free(out)
    sources = {name: _imported(data, name, truth, grade) for name in PARTS}
    made_of = {"truth": truth, **{name: manifest.fingerprint for name, manifest in sources.items()}}
    made_of |= {"grade": grade} if grade else {}
    if out.is_dir() and any(out.iterdir()):
        if _recorded(out) == made_of:
            return False
        raise UserError(
            f"{out} was prepared from other data, or {data} has changed since; give another folder by --out"
        )
    with whole_folder(out) as unfinished:
        _write(sources, unfinished)
        (unfinished / RECORD).write_text(json.dumps(made_of, indent=1))
    return True


def _recorded(out: Path) -> object:
    try:
        return json.loads((out / RECORD).read_text())
    except ValueError:
        return None


def _check_free(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise UserError(f"{out} holds other files, or an incomplete result (no {RECORD}); give another folder by --out")


def _imported(data: Path, name: str, truth: str, grade: str | None) -> Manifest:
    log.info("reading %s", data / name)
    domain = {"photos": "natural", "cutouts": "synthetic"}.get(name)
    truth_of, grade_of = (truth, grade) if name == "photos" else (None, None)
    found = import_layout(PARTS[name], data / name, truth_of, domain=domain, grade=grade_of)
    if len(found) < HELD_BACK:
        raise UserError(
            f"{data / name} has {len(found)} pictures, and at least {HELD_BACK} are needed, since every fifth is held back"
            " for tests; add some"
        )
    if name == "photos":
        if not (data / name / TABLE).exists():
            found = _with_mattes_measured_on(found)
        _check_measured(found, data / name)
    return found


def _with_mattes_measured_on(photos: Manifest) -> Manifest:
    """All photos with mattes moved out of those to train on, which learn from their masks alone."""
    samples = [replace(sample, split="val") if sample.matte else sample for sample in photos.samples]
    moved = sum(sample.matte is not None for sample in photos.samples)
    if moved:
        log.info("no %s says otherwise: the %d photos with mattes are those to validate and test on", TABLE, moved)
    return Manifest(photos.root, samples)


def _check_measured(photos: Manifest, folder: Path) -> None:
    """Raise UserError unless enough photos have mattes to be measured by; those that lack one are named."""
    measured_on = [sample for sample in photos.samples if sample.split != "train"]
    with_matte = sum(sample.matte is not None for sample in measured_on)
    if with_matte < HELD_BACK:
        others = sum(sample.matte is not None for sample in photos.samples) - with_matte
        remedy = "put more into mattes/, named as their photos"
        if others:
            remedy = f"give the {others} others with mattes the split val in {TABLE} (columns id and split)"
        raise UserError(
            f"{folder} has {with_matte} photos with mattes to validate and test on, and at least {HELD_BACK} are"
            f" needed; {remedy}"
        )
    if with_matte < len(measured_on):
        without = [sample.id for sample in measured_on if sample.matte is None]
        shown = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        log.warning(
            "no error is measured on %d photos of the split val or test, which have no matte: %s", len(without), shown
        )


def _write(sources: dict[str, Manifest], out: Path) -> None:
    cutouts, _ = hold_back(sources["cutouts"], "test", HELD_BACK)
    backgrounds, _ = hold_back(sources["backgrounds"], "test", HELD_BACK)
    photos = sources["photos"]
    if any(sample.split == "val" for sample in photos.samples):
        photos, _ = hold_back(photos, "test", 1, of=[("split", "val")])
    photos, _ = hold_back(photos, "val", HELD_BACK, of=[("split", "test")])
    for name, manifest in {"photos": photos, "cutouts": cutouts, "backgrounds": backgrounds}.items():
        manifest.write(out / f"{name}.parquet")
    write_composites(cutouts, backgrounds, out / "composites", each=EACH, size=SIZE, seed=SEED, split="test")
