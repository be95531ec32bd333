"""What a check keeps: a report for people, and in the cache what was found of each sample, so that it is not repeated."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wsshm.data.check_sample import Look
from wsshm.data.decoding import most_pixels
from wsshm.data.findings import Finding, counted
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.near_duplicates import Likeness
from wsshm.files.cache import cache_folder
from wsshm.files.tables import write_table
from wsshm.files.whole import whole_file

CHECK_VERSION = "1"
"""Raised whenever a sample may be judged otherwise than before: what is kept of earlier checks is then not used."""
MOST_RECORDS, MOST_ROWS = 64, 1_000_000
FOLDER = "checked"
log = logging.getLogger(__name__)

_text = pa.string()
REPORT = pa.schema(
    [
        *((name, _text) for name in ("severity", "kind", "manifest", "id", "split", "column", "path", "problem")),
        *((name, _text) for name in ("twin", "twin_split", "twin_manifest")),
        ("distance", pa.int8()),
    ]
)
RECORD = pa.schema(
    [
        *((name, _text) for name in ("sample", "state", "digest")),
        ("bits", pa.uint64()),
        ("thumbnail", pa.binary()),
        ("findings", pa.list_(pa.list_(_text))),
    ]
)


def write_report(path: Path, findings: Sequence[Finding], manifests: dict[str, Manifest]) -> Path:
    """Write findings as Parquet, one row each, whole or not at all.

    The columns are those of `Finding` and its `severity`. The metadata hold `schema_version`, `check_version`, `checked`
    (JSON: name, fingerprint and number of samples of every manifest) and `counts` (JSON: samples by kind).
    """
    checked = [{"manifest": n, "fingerprint": m.fingerprint, "samples": len(m)} for n, m in manifests.items()]
    metadata = {
        "schema_version": "1",
        "check_version": CHECK_VERSION,
        "checked": json.dumps(checked),
        "counts": json.dumps(dict(counted(findings))),
    }
    columns = {name: [getattr(finding, name) for finding in findings] for name in REPORT.names}
    write_table(path, pa.Table.from_pydict(columns, REPORT.with_metadata(metadata)))
    return path


def read_record(manifest: Manifest) -> dict[str, Look]:
    """What is kept of a manifest's samples, by id: of those that any manifest has listed with the same files and sizes."""
    rows = {row["sample"]: row for row in _rows(_record(manifest))}
    keys = {sample.id: _key(sample) for sample in manifest.samples}
    return {sample.id: _look(sample, rows[keys[sample.id]]) for sample in manifest.samples if keys[sample.id] in rows}


def write_record(manifest: Manifest, looks: Sequence[Look]) -> None:
    """Keep what was found of a manifest's samples, beside that of others under its root.

    Where nothing can be kept, a log line says so.
    """
    new = {_key(sample): look for sample, look in zip(manifest.samples, looks, strict=True)}
    rows = [
        {
            **{"sample": key, "state": look.state, "digest": look.digest},
            "bits": look.likeness.bits if look.likeness else None,
            "thumbnail": look.likeness.thumbnail if look.likeness else None,
            "findings": [[f.column, f.path, f.kind, f.problem] for f in look.findings],
        }
        for key, look in new.items()
    ]
    place = _record(manifest)
    kept = [row for row in _rows(place) if row["sample"] not in new]
    rows += kept[: max(0, MOST_ROWS - len(rows))]
    try:
        with whole_file(place) as temporary:
            pq.write_table(pa.Table.from_pylist(rows, RECORD), temporary, compression="zstd")
        old = sorted(place.parent.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)[:-MOST_RECORDS]
        for path in old:
            path.unlink(missing_ok=True)
    except OSError as error:
        log.info("%s cannot be written (%s), so the next check opens every file again", place, error.strerror or error)


def _rows(record: Path) -> list[dict[str, Any]]:
    """What a record holds; nothing if it is missing or cannot be read."""
    try:
        rows = pq.read_table(record).cast(RECORD).to_pylist()
    except (OSError, pa.ArrowException, ValueError):
        return []
    return [row for row in rows if all(row[name] is not None for name in ("sample", "state", "digest", "findings"))]


def _look(sample: Sample, row: dict[str, Any]) -> Look:
    likeness = None if row["bits"] is None else Likeness(row["bits"], row["thumbnail"])
    findings = (Finding(sample.id, sample.split, *each) for each in row["findings"])
    return Look(row["state"], row["digest"], likeness, tuple(findings))


def _key(sample: Sample) -> str:
    """A sample without its id and split, which no look at its files depends on."""
    seen = (sample.kind, sample.files, sample.width, sample.height, sample.sha256, sample.offsets)
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:32]


def _record(manifest: Manifest) -> Path:
    """Where it is kept: by the manifest's root."""
    known_as = f"{CHECK_VERSION}\0{most_pixels()}\0{manifest.root}"
    return cache_folder(FOLDER) / f"{hashlib.sha256(known_as.encode()).hexdigest()[:32]}.parquet"
