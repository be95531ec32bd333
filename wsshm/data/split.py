"""Holding samples back: a second manifest of the same files, with some rows moved to another split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from wsshm.data.manifest import Manifest, Sample
from wsshm.data.manifest_table import SPLITS
from wsshm.errors import UserError, nearest

COLUMNS = ("id", "split", "domain", "kind", "source", "licence")
Condition = tuple[str, str]


def hold_back(
    manifest: Manifest, to: str, every: int, *, of: Iterable[Condition] = (), keep: Iterable[Condition] = ()
) -> tuple[Manifest, int]:
    """The manifest with every `every`-th sample, in order of id, moved to the split `to`, and how many were moved.

    Only samples that meet all conditions `of` are counted and moved, and samples that do not meet all of `keep` are
    left out. A condition is (column or attribute, value). What is held back depends on ids alone, so that every
    machine holds back the same. Raises UserError for an unknown split or key, or where nothing would be moved.
    """
    if to not in SPLITS:
        raise UserError(f"there is no split {to!r}; {nearest(to, SPLITS)}")
    kept = sorted(filter(_meets(manifest, keep), manifest.samples), key=lambda sample: sample.id)
    meeting = list(filter(_meets(manifest, of), kept))
    moved = {s.id for s in meeting[every - 1 :: every]}
    if not meeting:
        raise UserError(f"no sample meets the conditions, so none would go to {to}; ask for others")
    if not moved:
        raise UserError(f"fewer than {every} samples meet the conditions, so none would go to {to}; ask for fewer")
    samples = (replace(sample, split=to) if sample.id in moved else sample for sample in kept)
    return Manifest(manifest.root, samples), len(moved)


def _meets(manifest: Manifest, conditions: Iterable[Condition]) -> Callable[[Sample], bool]:
    wanted = list(conditions)
    known = {*COLUMNS, *(key for sample in manifest.samples for key in sample.attributes)}
    for key, _ in wanted:
        if key not in known:
            raise UserError(f"no sample of the manifest has a {key!r}; {nearest(key, known)}")
    return lambda sample: all(_value(sample, key) == value for key, value in wanted)


def _value(sample: Sample, key: str) -> str | None:
    value: str | None = getattr(sample, key) if key in COLUMNS else sample.attributes.get(key)
    return value
