"""Cut-outs in two files each: colours and matte."""

from __future__ import annotations

from pathlib import Path

from wsshm.data.label_files import find_folder
from wsshm.data.layouts import Layout, better_named, register
from wsshm.data.layouts.folders import FOREGROUNDS, MATTES, has, pair_up
from wsshm.data.manifest import Sample
from wsshm.errors import UserError


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Colours and mattes, paired by name; colours without a matte are logged."""
    colours, alphas = find_folder(root, FOREGROUNDS), find_folder(root, MATTES)
    if colours is None or alphas is None:
        missing = "fg/ (or fgr/, foreground/)" if colours is None else "alpha/ (or pha/, mattes/)"
        remedy = better_named(root, "foregrounds") or "; put foregrounds into fg/, mattes into alpha/"
        raise UserError(f"{root} has no folder {missing}{remedy}")
    folders = {"foreground": colours, "matte": alphas}
    return pair_up(root, folders, needs="matte", kind="cutout", split=split, domain=domain)


def fits(root: Path) -> bool:
    """Whether foregrounds lie beside mattes."""
    return has(root, FOREGROUNDS, MATTES)


register(
    Layout(
        "foregrounds",
        "cut-outs",
        "foreground colours in fg/ (or fgr/, foreground/), and mattes of the same names in alpha/ (or pha/, mattes/)",
        read,
        fits,
        general=True,
    )
)
