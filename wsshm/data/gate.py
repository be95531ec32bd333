"""The gate before training: data that fail their check are not trained on, unless the configuration says so."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence

from wsshm.config import DataConfig
from wsshm.console import track
from wsshm.data.check import check
from wsshm.data.check_records import read_record
from wsshm.data.findings import BROKEN, Finding, errors
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask, read_size
from wsshm.data.sources import PROCEDURAL, Sources, open_manifest, place_of
from wsshm.errors import UserError, redacted

MASKS_LOOKED_AT = 8
log = logging.getLogger(__name__)


def check_data(config: DataConfig, sources: Sources) -> None:
    """Check all manifests of a configuration, whole, as `wsshm data check` does; raise UserError where it finds errors.

    What was found is kept: until a file is written to or a manifest changes, a picture is opened once. With
    `allow_faults` only samples that are used and cannot be read stop it, since nothing can be trained on these.

    Of the embedded data set the headers are read, and some masks. What lies on an object store or in packs would have to
    be fetched: where no earlier check is kept, only whether all files are there is looked at.
    """
    roles = [
        (config.mattes, sources.mattes),
        (config.backgrounds or config.mattes, sources.backgrounds),
        (config.masks, sources.masks),
        (config.val, sources.val),
        *sources.test.items(),
    ]
    embedded = [manifest for name, manifest in roles if name.startswith(PROCEDURAL)]
    _check_headers(embedded, sources.masks if config.masks.startswith(PROCEDURAL) else None)
    names = {name: redacted(place_of(name, config)) for name, _ in roles if not name.startswith(PROCEDURAL)}
    own = {told: open_manifest(name, config) for name, told in names.items()}
    for told, manifest in list(own.items()):
        if manifest.stored_apart and len(read_record(manifest)) < len(manifest):
            own.pop(told).check_present()
            log.info(
                "%s is not checked, since its pictures are not here; `wsshm data check %s` does",
                told,
                shlex.quote(told),
            )
    if not own:
        return
    found = check(*own.values(), names=list(own), remembered=True)
    command = shlex.join(["wsshm", "data", "check", *own])
    faults = errors(found)
    if warnings := len(found) - len(faults):
        log.info("`%s` finds %s", command, f"{warnings:,} warning{'s' * (warnings > 1)}")
    used = {(names.get(name), sample.id) for name, manifest in roles for sample in manifest.samples}
    stopping = [f for f in faults if f.kind in BROKEN and (f.manifest, f.id) in used] if config.allow_faults else faults
    if stopping:
        may_be_allowed = not config.allow_faults and any(fault.kind not in BROKEN for fault in stopping)
        allow = ", or train all the same with data.allow_faults: true" if may_be_allowed else ""
        raise UserError(f"the data fail their check: {_told(stopping, own)}; see with `{command}`{allow}")
    if faults:
        log.warning("training although the data fail their check: %s", _told(faults, own))


def _check_headers(manifests: Sequence[Manifest], masks: Manifest | None) -> None:
    """Open every file's header and decode some of `masks`. Raises UserError naming the first that cannot be used."""
    files = {manifest.path(s, column): None for manifest in manifests for s in manifest.samples for column in s.files}
    for path in track(files, len(files), "checking pictures"):
        read_size(path)
    if masks is not None:
        for sample in masks.samples[:: max(1, len(masks) // MASKS_LOOKED_AT)]:
            read_mask(masks.path(sample, "mask"))


def _told(faults: Sequence[Finding], manifests: Mapping[str, Manifest]) -> str:
    """The first fault, and how many there are."""
    first = faults[0]
    more = f" (the first of {len(faults):,} errors)" if len(faults) > 1 else ""
    return f"{redacted(manifests[first.manifest].root / first.path)}: {first.problem}{more}"
