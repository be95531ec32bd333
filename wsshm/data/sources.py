"""From a configuration's names to manifests: the embedded data set or the user's own, and nested label budgets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsshm.commandline import track
from wsshm.config import Budget, DataConfig
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_size
from wsshm.errors import UserError, nearest

PROCEDURAL = "procedural/"


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


def open_sources(config: DataConfig) -> Sources:
    """Open every manifest of a configuration, drawing the embedded data set first where it is asked for and missing.

    Raises UserError naming the key where a source is missing, or holds no usable sample.
    """
    mattes = open_manifest(config.mattes, config)
    backgrounds = open_manifest(config.backgrounds, config) if config.backgrounds else mattes
    sources = Sources(
        mattes=mattes.where(lambda s: s.split == "train" and s.matte is not None and s.kind != "background"),
        backgrounds=backgrounds.where(lambda s: s.split == "train" and s.kind == "background"),
        masks=open_manifest(config.masks, config).where(lambda s: s.split == "train" and s.mask is not None),
        val=open_manifest(config.val, config).where(lambda s: s.split == "val" and s.matte is not None),
        test={
            n: open_manifest(n, config).where(lambda s: s.split == "test" and s.matte is not None) for n in config.test
        },
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


def open_manifest(name: str, config: DataConfig) -> Manifest:
    """The manifest behind a source's name: `procedural/PART`, or a path (relative ones under `data.root`)."""
    if not name.startswith(PROCEDURAL):
        return Manifest.read(Path(config.root or ".") / name).hashed()
    from wsshm.data import procedural

    part = name.removeprefix(PROCEDURAL)
    if part not in procedural.PARTS:
        raise UserError(
            f"there is no embedded data set {name!r}; {nearest(name, [PROCEDURAL + p for p in procedural.PARTS])}"
        )
    drawn = config.procedural
    counts = {key: getattr(drawn, key) for key in procedural.DEFAULT_COUNTS}
    return procedural.embedded(procedural.Recipe(part, config.size, drawn.seed, drawn.mask_coarseness), counts)


def budgeted(manifest: Manifest, count: int | None, seed: int, label: str) -> tuple[Sample, ...]:
    """The first `count` samples in an order drawn by `seed`: a smaller budget is contained in a larger one.

    The order is over sorted ids, so it does not depend on how the manifest is sorted. UserError where there are fewer.
    """
    samples = sorted(manifest.samples, key=lambda s: s.id)
    if count is None:
        count = len(samples)
    if count > len(samples):
        raise UserError(
            f"the budget asks for {count} {label} but the data set has {len(samples)}; lower budget.{label}"
        )
    order = np.random.default_rng([seed, *label.encode()]).permutation(len(samples))
    return tuple(samples[i] for i in order[:count])


def check_files(sources: Sources) -> None:
    """Open every file's header, so that a missing or foreign file is named before anything is trained.

    Raises UserError naming the first; `wsshm data check` decodes them whole.
    """
    manifests = [sources.mattes, sources.backgrounds, sources.masks, sources.val, *sources.test.values()]
    files = {m.root / relative: None for m in manifests for s in m.samples for relative in s.files.values()}
    for path in track(files, len(files), "checking pictures"):
        read_size(path)


def available(budget: Budget, sources: Sources) -> tuple[int, int]:
    """(mattes, masks) that a budget comes to: where it says nothing, all there are."""
    mattes = len(sources.mattes) if budget.mattes is None else budget.mattes
    masks = len(sources.masks) if budget.masks is None else budget.masks
    return mattes, masks


def check_budget(budget: Budget, sources: Sources) -> None:
    """Raise UserError where a budget asks for more labels than there are."""
    budgeted(sources.mattes, budget.mattes, 0, "mattes")
    budgeted(sources.masks, budget.masks, 0, "masks")
