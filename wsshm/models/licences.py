"""Licences of backbones' pretrained weights, as timm's own configurations state them: the file that reports read.

`COLUMNS` is that file's header. A name without a tag is what `timm.create_model` takes by default; its row is the one
with `default` true.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm

from wsshm.files.tables import plain_cell
from wsshm.files.whole import write_whole

COLUMNS = ("backbone", "tag", "default", "licence", "hub_id", "origin", "timm_version")


def rows() -> Iterator[dict[str, Any]]:
    """One row per backbone and tag that timm has pretrained weights for; what timm does not state is empty.

    `origin` is the address that timm gives as the weights' origin, else the one that it downloads them from.
    """
    for name in sorted(timm.list_pretrained()):
        backbone, _, tag = name.partition(".")
        config, default = timm.get_pretrained_cfg(name), timm.get_pretrained_cfg(backbone)
        if config is not None:
            yield {
                "backbone": backbone,
                "tag": tag,
                "default": str(default is not None and (default.tag or "") == tag).lower(),
                "licence": config.license or "",
                "hub_id": config.hf_hub_id or "",
                "origin": config.origin_url or config.url or "",
                "timm_version": timm.__version__,
            }


def write(out: Path) -> int:
    """Write the file, whole or not at all; returns how many rows it holds."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    found = list(rows())
    writer.writerows({name: plain_cell(value) for name, value in row.items()} for row in found)
    write_whole(out, text.getvalue())
    return len(found)
