"""Distinctions-646: cut-outs of many kinds, a part of them people."""

from __future__ import annotations

from pathlib import Path

from wsshm.config import Section
from wsshm.data.layouts import Layout, register
from wsshm.data.layouts.folders import cutout_parts, has
from wsshm.data.manifest import Sample
from wsshm.data.pictures import pairing_name
from wsshm.errors import UserError

SPLITS = {"train": "train", "test": "test"}


class Options(Section):
    """Which cut-outs are listed."""

    only: str | None = None
    """A text file with the names of the cut-outs to list, one a line, such as those of people; a path below ROOT."""


def read(root: Path, split: str, domain: str | None, options: Options) -> list[Sample]:
    """Colours and mattes of both parts."""
    samples = cutout_parts(root, "distinctions-646", SPLITS, "fg", "gt", domain)
    return samples if options.only is None else _listed(samples, root / options.only)


def _listed(samples: list[Sample], path: Path) -> list[Sample]:
    """The samples whose names a text file has, with or without an ending."""
    if not path.is_file():
        raise UserError(f"there is no file {path}, which --option only names; give a text file with a name a line")
    try:
        names = {pairing_name(Path(line.strip())) for line in path.read_text("utf-8-sig").splitlines() if line.strip()}
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text; save it as that") from None
    of_name = {sample.id: pairing_name(Path(sample.foreground or "")) for sample in samples}
    if unknown := sorted(names - set(of_name.values())):
        raise UserError(f"{path} names {unknown[0]}, of which there is no cut-out; correct it")
    return [sample for sample in samples if of_name[sample.id] in names]


def fits(root: Path) -> bool:
    """Whether colours lie beside mattes in Train/ or Test/, by its names for these."""
    return any(has(folder, ["fg"], ["gt"]) for folder in root.iterdir() if folder.name.lower() in SPLITS)


register(
    Layout(
        "distinctions-646",
        "cut-outs: 596 to train on, 50 to test on (60 in some copies); only some are people",
        "ROOT/Train/{FG,GT}, Test/{FG,GT}",
        read,
        fits,
        terms="research only",
        source="Distinctions-646",
        obtained="https://github.com/yuhaoliu7456/CVPR2020-HAttMatting",
        domain="synthetic",
        options=Options,
    )
)
