"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer


def _use(text: str | None) -> str | None:
    if text is not None:
        from wsshm.files.node_cache import use

        use(text, "--cache")
    return text


CacheOption = Annotated[
    str | None,
    typer.Option(
        "--cache",
        metavar="FOLDER:SIZE",
        callback=_use,
        help="where this machine keeps what is fetched of data on an object store or in packs, and how much of it, such as"
        " /scratch/wsshm:200GB; default: WSSHM_DATA_CACHE, else a folder of ~/.cache/wsshm and half of its free disk",
    ),
]
PeerOption = Annotated[
    list[str],
    typer.Option(
        "--peer",
        help="PEER=FILE: somebody else's ONNX or TFLite file, by a shipped name or your .yaml; may be repeated",
    ),
]
