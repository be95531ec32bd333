"""What a check of data may find: each kind with its severity, and what the rows of a report are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Kind:
    """A kind of finding. Errors stop training: the sample cannot be used, or a score that it is part of means nothing."""

    severity: Severity
    about: str


KINDS = {
    "missing": Kind("error", "a file is not there"),
    "unreadable": Kind("error", "a file cannot be read as what it is listed as"),
    "size": Kind("error", "a label is of another size than its picture, or the picture than the manifest says"),
    "empty": Kind("error", "a matte or mask without a person"),
    "changed": Kind("error", "a file was changed since import"),
    "leak": Kind("error", "the same picture, saved again or not, in two splits"),
    "near-leak": Kind("warning", "nearly the same picture in two splits"),
    "duplicate": Kind("warning", "the same picture twice in a split"),
    "near-duplicate": Kind("warning", "nearly the same picture twice in a split"),
    "full": Kind("warning", "a matte or mask that is 1 everywhere"),
    "tiny": Kind("warning", "a person of less than 0.1 % of the picture"),
    "inverted": Kind("warning", "1 along the whole border and 0 inside"),
    "grey-mask": Kind("warning", "a mask that is not binary"),
    "binary-matte": Kind("warning", "a matte without soft pixels along its outline"),
    "misfit": Kind("warning", "a mask that does not fit its matte (IoU below 0.7)"),
    "trimap": Kind("warning", "a trimap that contradicts its matte, or has no unknown pixel"),
    "cut-off": Kind("warning", "a JPEG whose lowest rows are plain grey, as where data were lost"),
}
BROKEN = ("missing", "unreadable", "size")
"""Kinds of samples that no training can use."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one sample.

    `path` is relative to its manifest's root; `manifest` is the manifest's name where several are checked. Of a picture
    that is like another one, `twin` is that one's id, `twin_split` and `twin_manifest` say where it is, and `distance` is
    how many of the 64 bits of their perceptual hashes differ.
    """

    id: str
    split: str
    column: str
    path: str
    kind: str
    problem: str
    manifest: str = ""
    twin: str | None = None
    twin_split: str | None = None
    twin_manifest: str | None = None
    distance: int | None = None

    @property
    def severity(self) -> Severity:
        """`error` or `warning`."""
        return KINDS[self.kind].severity


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Those that stop training."""
    return [finding for finding in findings if finding.severity == "error"]


def counted(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """(kind, number of samples) of all kinds that were found, errors first."""
    samples = Counter(kind for kind, _, _ in {(f.kind, f.manifest, f.id) for f in findings})
    return [(kind, samples[kind]) for kind in KINDS if samples[kind]]
