"""Opening and checking every file of manifests, before a long training trips over one.

`check_sample` looks at one sample, `near_duplicates` finds pictures that are alike; `findings` says what can be found.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wsshm.console import track
from wsshm.data.check_records import read_record, write_record
from wsshm.data.check_sample import Look, look, main_column, state_of
from wsshm.data.decoding import most_pixels
from wsshm.data.fetching import at_once
from wsshm.data.findings import Finding
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.manifest_table import SPLITS
from wsshm.data.near_duplicates import Likenesses
from wsshm.data.parallel import Room, on_threads

FETCHED = 64
"""Samples that are asked for together."""


def check(*manifests: Manifest, names: Sequence[str] = (), remembered: bool = False) -> list[Finding]:
    """All that is wrong with manifests (`findings.KINDS`), in their order; empty if nothing is.

    Each sample is looked at by itself. Then pictures are compared: with all of their own split and manifest, and across
    splits with those of all manifests. Two manifests may list one picture for the same split.

    What was found of each sample is kept in the cache. With `remembered`, samples that are kept there and whose files
    have the same size and time of change are not opened. UserError where `WSSHM_MAX_PIXELS` is no number.
    """
    most_pixels()  # an impossible limit is no fault of the files
    called = names or [""] * len(manifests)
    rows: list[_Row] = []
    for number, manifest in enumerate(manifests):
        if manifest.stored_apart:
            manifest = manifest.hashed()
        looks = _looks(manifest, remembered, posixpath.basename(called[number].partition("?")[0]))
        rows += [_Row(number, *each) for each in zip(manifest.samples, looks, strict=True)]
    found: dict[int, list[Finding]] = defaultdict(list)
    for place, row in enumerate(rows):
        found[place] += row.look.findings
    for place, finding in _alike(rows):
        found[place].append(finding)
    return [_named(each, rows[place], called) for place in range(len(rows)) for each in found[place]]


@dataclass(frozen=True)
class _Row:
    """A sample of one of the manifests, which are counted from 0, and what it looks like."""

    manifest: int
    sample: Sample
    look: Look

    @property
    def file(self) -> str | None:
        """The picture's; several samples of a split may have one, such as one for each person."""
        return self.sample.files.get(main_column(self.sample))


def _looks(manifest: Manifest, remembered: bool, name: str) -> list[Look]:
    known = read_record(manifest) if remembered else {}
    if known:
        state = _states(manifest)
        known = {name: each for name, each in known.items() if each.state and each.state == state[name]}
    todo = [sample for sample in manifest.samples if sample.id not in known]
    room = Room()

    def looked_at(sample: Sample) -> Look:
        with room.taken(sample.width * sample.height):
            return look(manifest, sample)

    looked = track(on_threads(looked_at, manifest.in_turn(todo, FETCHED)), len(todo), f"checking {name}".strip())
    new = {sample.id: each for sample, each in zip(todo, looked, strict=True)}
    looks = [new[s.id] if s.id in new else known[s.id] for s in manifest.samples]
    if new:
        write_record(manifest, looks)
    return looks


def _states(manifest: Manifest) -> dict[str, str]:
    """`state_of` every sample, by id; several are asked at once, since a mounted disk answers slowly."""
    parts = [manifest.samples[start : start + FETCHED] for start in range(0, len(manifest), FETCHED)]
    found = at_once(lambda part: [(sample.id, state_of(manifest, sample)) for sample in part], parts)
    return {name: state for part in found for name, state in part}


def _alike(rows: Sequence[_Row]) -> Iterator[tuple[int, Finding]]:
    """Pictures that are the same as another one, or nearly: (the later one's place in `rows`, what is found)."""
    exact = set()
    for place, other in _same_bytes(rows):
        exact.add((place, rows[other].sample.split))
        kind = "duplicate" if rows[place].sample.split == rows[other].sample.split else "leak"
        yield place, _finding(rows, place, other, kind, "the same picture as", 0)
    likenesses = Likenesses([row.look.likeness for row in rows])
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    splits: dict[str, list[int]] = defaultdict(list)
    listed = set()
    for place, row in enumerate(rows):
        if (row.manifest, row.sample.split, row.file) not in listed:
            groups[row.manifest, row.sample.split].append(place)
            listed.add((row.manifest, row.sample.split, row.file))
        splits[row.sample.split].append(place)
    compared = [(likenesses.among(_places(group)), "duplicate") for group in groups.values()]
    compared += [
        (likenesses.between(_places(splits[later]), _places(splits[earlier])), "leak")
        for earlier, later in combinations(SPLITS, 2)
    ]
    for twins, kind in compared:
        for twin in twins:
            if (twin.row, rows[twin.other].sample.split) not in exact:
                words = "the same picture, saved again, as" if twin.copy else "nearly the same picture as"
                full_kind = kind if twin.copy else f"near-{kind}"
                yield twin.row, _finding(rows, twin.row, twin.other, full_kind, words, twin.distance)


def _same_bytes(rows: Sequence[_Row]) -> Iterator[tuple[int, int]]:
    """(place, twin's place) of pictures whose files are equal: in a split of a manifest, and across splits."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if row.look.digest:
            places[row.look.digest].append(place)
    for group in places.values():
        first: dict[tuple[int, str], int] = {}
        for place in group if len(group) > 1 else ():
            row = rows[place]
            twin = first.setdefault((row.manifest, row.sample.split), place)
            if row.file != rows[twin].file:
                yield place, twin
        by_split = {split: place for (_, split), place in reversed(first.items())}
        for earlier, later in combinations(SPLITS, 2):
            if earlier in by_split:
                yield from ((place, by_split[earlier]) for place in group if rows[place].sample.split == later)


def _finding(rows: Sequence[_Row], place: int, twin: int, kind: str, words: str, distance: int) -> Finding:
    sample, other = rows[place].sample, rows[twin].sample
    column = main_column(sample)
    problem = f"{words} {other.id} ({other.split})"
    return Finding(
        *(sample.id, sample.split, column, sample.files[column], kind, problem),
        twin=other.id,
        twin_split=other.split,
        twin_manifest=str(rows[twin].manifest),
        distance=distance,
    )


def _named(finding: Finding, row: _Row, names: Sequence[str]) -> Finding:
    """A finding with the manifests' names in place of their numbers."""
    name = names[row.manifest]
    if finding.twin_manifest is None:
        return replace(finding, manifest=name)
    twin = names[int(finding.twin_manifest)]
    problem = finding.problem if twin == name else f"{finding.problem.removesuffix(')')} of {twin})"
    return replace(finding, manifest=name, twin_manifest=twin, problem=problem)


def _places(places: list[int]) -> NDArray[np.intp]:
    return np.array(places, np.intp)
