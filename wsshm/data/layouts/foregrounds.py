"""Cut-outs in two files each: colours and matte."""

from __future__ import annotations

import logging
from pathlib import Path

from wsshm.data.label_files import count, find_folder, look_through, paired, shown
from wsshm.data.layouts import Layout, better_named, register
from wsshm.data.layouts.folders import FOREGROUNDS, MATTES, relative
from wsshm.data.manifest import Sample
from wsshm.data.sample_table import with_table
from wsshm.errors import UserError

log = logging.getLogger(__name__)


def read(root: Path, split: str, domain: str | None) -> list[Sample]:
    """Colours and mattes, paired by name; colours without a matte are logged."""
    colours, alphas = find_folder(root, FOREGROUNDS), find_folder(root, MATTES)
    if colours is None or alphas is None:
        missing = "fg/ (or fgr/, foreground/)" if colours is None else "alpha/ (or pha/, mattes/)"
        remedy = better_named(root, "foregrounds") or "; put foregrounds into fg/, mattes into alpha/"
        raise UserError(f"{root} has no folder {missing}{remedy}")
    figures, labels = paired(look_through(colours), {"matte": look_through(alphas)})
    mattes = labels["matte"]
    if not mattes:
        raise UserError(f"{alphas} holds no picture (jpg, png, webp, bmp, tif); give the folder that holds them")
    if bare := [figures[name] for name in figures if name not in mattes]:
        log.warning("skipped %s without a matte: %s", count(bare, "foreground"), shown(bare))
    return with_table(
        root,
        [
            Sample(
                id=name,
                split=split,
                domain=domain,
                kind="cutout",
                foreground=relative(root, figures[name]),
                matte=relative(root, matte),
            )
            for name, matte in mattes.items()
        ],
    )


def fits(root: Path) -> bool:
    """Whether foregrounds lie beside mattes."""
    return all(find_folder(root, names) for names in (FOREGROUNDS, MATTES))


register(
    Layout(
        "foregrounds",
        "cut-outs",
        "foreground colours in fg/ (or fgr/, foreground/), and mattes of the same names in alpha/ (or pha/, mattes/)",
        read,
        fits,
    )
)
