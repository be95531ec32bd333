"""From a configuration's names to manifests: the embedded data set or the user's own, and nested label budgets."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from wsshm.config import Budget, DataConfig
from wsshm.data.fetching import patiently
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.sample import grade_of
from wsshm.errors import UserError, nearest, redacted, without_hidden
from wsshm.files.filesystems import RemoteError
from wsshm.files.location import Location
from wsshm.grades import DEFAULT, GRADES, counted

PROCEDURAL = "procedural/"
MASKS = "masks"


@dataclass(frozen=True)
class Sources:
    """A run's manifests. `test` is keyed by the name under which scores are stored."""

    mattes: Manifest
    backgrounds: Manifest
    masks: Manifest
    val: Manifest
    test: dict[str, Manifest]

    @property
    def fingerprint(self) -> str:
        """Hash over all manifests' fingerprints (first 16 hex digits)."""
        parts = [self.mattes, self.backgrounds, self.masks, self.val, *self.test.values()]
        return hashlib.sha256(" ".join(m.fingerprint for m in parts).encode()).hexdigest()[:16]


def open_sources(config: DataConfig, drawn: bool = True) -> Sources:
    """Open every manifest of a configuration, drawing the embedded data set first where it is asked for and missing.

    Not `drawn`, the embedded set's samples and identities are the same, but there are no files: enough to plan by.
    A process opens a manifest once and keeps it, until its file is replaced. Raises UserError naming the key where a
    source is missing, or holds no usable sample.
    """
    opened = functools.partial(open_manifest, config=config, drawn=drawn)
    mattes = opened(config.mattes)
    backgrounds = opened(config.backgrounds) if config.backgrounds else mattes
    test = tuple((redacted(name), opened(name)) for name in config.test)
    return _selected(mattes, backgrounds, opened(config.masks), opened(config.val), test)


@functools.lru_cache(maxsize=16)
def _selected(
    mattes: Manifest, backgrounds: Manifest, masks: Manifest, val: Manifest, test: tuple[tuple[str, Manifest], ...]
) -> Sources:
    """The samples that each source is for. Manifests are equal only to themselves."""
    sources = Sources(
        mattes=mattes.where(lambda s: s.split == "train" and s.matte is not None and s.kind != "background"),
        backgrounds=backgrounds.where(lambda s: s.split == "train" and s.kind == "background"),
        masks=masks.where(lambda s: s.split == "train" and s.mask is not None),
        val=val.where(lambda s: s.split == "val" and s.matte is not None),
        test={name: each.where(lambda s: s.split == "test" and s.matte is not None) for name, each in test},
    )
    for key, manifest, need in (
        ("data.mattes", sources.mattes, "a train sample with a matte"),
        ("data.masks", sources.masks, "a train sample with a mask"),
        ("data.val", sources.val, "a val sample with a matte"),
        *(("data.test", manifest, "a test sample with a matte") for manifest in sources.test.values()),
    ):
        if not len(manifest):
            raise UserError(
                f"{key} needs at least {need}, and its manifest has none; check its split and label columns"
            )
    if any(s.kind == "cutout" for s in sources.mattes.samples) and not len(sources.backgrounds):
        raise UserError(
            "the cut-outs of data.mattes need backgrounds; set data.backgrounds to a manifest that has some"
        )
    return sources


def open_manifest(name: str, config: DataConfig, drawn: bool = True) -> Manifest:
    """The manifest behind a source's name: `procedural/PART`, a path (relative ones under `data.root`), or an address.

    `drawn` as for `open_sources`.
    """
    if not name.startswith(PROCEDURAL):
        place = place_of(name, config)
        return _read(place, _state_of(place))
    from wsshm.data import procedural

    part = name.removeprefix(PROCEDURAL)
    if part not in procedural.PARTS:
        raise UserError(
            f"there is no embedded data set {name!r}; {nearest(name, [PROCEDURAL + p for p in procedural.PARTS])}"
        )
    asked = config.procedural
    counts = asked.model_dump(include=set(procedural.DEFAULT_COUNTS)) | {procedural.SHIFTED: asked.test}
    recipe = procedural.Recipe(part, config.size, asked.seed, asked.masks)
    return procedural.embedded(recipe, counts) if drawn else procedural.outline(recipe, counts)


def place_of(name: str, config: DataConfig) -> Location:
    """Where the manifest of a source lies that is not embedded."""
    place = Location.of(without_hidden(name))
    if place.local is not None and config.root and not name.startswith(("/", "~")):
        return Location.of(without_hidden(config.root)).joined(name)
    return place


@functools.lru_cache(maxsize=16)
def _read(place: Location, state: tuple[int, ...] | None) -> Manifest:
    return Manifest.read(place).hashed()


def _state_of(place: Location) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written to; None if the file is missing."""
    try:
        if place.local is None:
            return patiently(place.state)
        found = os.stat(place.local)
    except RemoteError:
        raise
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def budgeted(manifest: Manifest, count: int | None, seed: int, label: str) -> tuple[Sample, ...]:
    """The first `count` samples in an order drawn by `seed`: a smaller budget is contained in a larger one.

    The order is over sorted ids, so it does not depend on how the manifest is sorted. UserError where there are fewer.
    """
    _check_count(len(manifest), count, label)
    return _in_order(manifest.samples, seed, label)[:count]


def budgeted_masks(sources: Sources, budget: Budget, seed: int) -> tuple[Sample, ...]:
    """The pictures whose masks (or which without them) a budget pays for: of each grade the first of an order of its own.

    A picture has a mask of one grade, so the grades' pictures are disjoint, and a smaller budget is contained in a larger
    one whatever the grades. UserError where there are fewer.
    """
    check_budget(budget, sources)
    chosen: list[Sample] = []
    for grade, count in masks_by_grade(budget, sources).items():
        own = [sample for sample in sources.masks.samples if grade_of(sample) == grade]
        chosen += _in_order(own, seed, MASKS if grade == DEFAULT else f"{MASKS}.{grade}")[:count]
    return tuple(chosen)


def _in_order(samples: Iterable[Sample], seed: int, label: str) -> tuple[Sample, ...]:
    by_id = sorted(samples, key=lambda s: s.id)
    return tuple(by_id[i] for i in np.random.default_rng([seed, *label.encode()]).permutation(len(by_id)))


def masks_by_grade(budget: Budget, sources: Sources) -> dict[str, int]:
    """Numbers of masks by grade, none of them 0, that a budget comes to: where it says nothing, all there are."""
    if budget.masks is None:
        return grades_of(sources.masks)
    return {grade: int(count) for grade, count in counted(budget.masks).items()}


def grades_of(manifest: Manifest) -> dict[str, int]:
    """How many masks of each grade a manifest lists."""
    return dict(_grades_of(manifest))


@functools.lru_cache(maxsize=16)
def _grades_of(manifest: Manifest) -> tuple[tuple[str, int], ...]:
    found = Counter(grade_of(sample) for sample in manifest.samples if sample.mask is not None)
    return tuple((grade, found[grade]) for grade in GRADES if found[grade])


def available(budget: Budget, sources: Sources) -> tuple[int, int]:
    """(mattes, masks) that a budget comes to, masks of whatever grade: where it says nothing, all there are."""
    mattes = len(sources.mattes) if budget.mattes is None else budget.mattes
    return mattes, sum(masks_by_grade(budget, sources).values())


def check_budget(budget: Budget, sources: Sources) -> None:
    """Raise UserError where a budget asks for more labels than there are."""
    _check_count(len(sources.mattes), budget.mattes, "mattes")
    there = grades_of(sources.masks)
    if not set(there) | set(masks_by_grade(budget, sources)) <= {DEFAULT}:
        for grade, count in masks_by_grade(budget, sources).items():
            if count > there.get(grade, 0):
                listed = ", ".join(f"{number} {name}" for name, number in there.items())
                raise UserError(
                    f"the budget asks for {count} {grade} masks but the data set has {there.get(grade, 0)} ({listed}); set"
                    f" budget.masks to what there is, by grade, or add masks (of the embedded set by data.procedural.natural)"
                )
    else:
        _check_count(len(sources.masks), available(budget, sources)[1], MASKS)


def _check_count(there: int, count: int | None, label: str) -> None:
    if count is not None and count > there:
        raise UserError(f"the budget asks for {count} {label} but the data set has {there}; lower budget.{label}")
