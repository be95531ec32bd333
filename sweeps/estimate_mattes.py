"""The command `wsshm data estimate-mattes`: it asks peers, of which the room of `wsshm data` knows nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wsshm.options import PeerOption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bench.peers.matting import PeerModel

NAMED = 12
"""Photos left out that are named for each reason."""


class _Peer:
    """A peer's file as somebody to ask."""

    def __init__(self, model: PeerModel) -> None:
        self.model, self.name = model, model.name
        self.identity = model.description.run_id(model.sha256)

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.model(image).matte


def estimate_mattes(
    manifest: Annotated[
        str, typer.Argument(metavar="M", help="a manifest (.parquet) of photos, with masks or without")
    ],
    peer: PeerOption,
    out: Annotated[
        Path,
        typer.Option(help="folder for mattes/, trimaps/, manifests and contact sheets; rerun the command to resume"),
    ],
    split: Annotated[
        str | None, typer.Option(help="only photos of this split: train, val or test; default: all")
    ] = None,
    leave_out: Annotated[
        str,
        typer.Option(help="ids of photos to leave out as well, comma-separated: those that looked wrong on the sheet"),
    ] = "",
) -> None:
    """Estimate mattes of photos that have none, by other people's networks, the photos' masks and closed-form matting.

    Where the peers and the mask do not agree, and at soft edges, lies a band; alpha inside it is solved for (Levin et al.,
    by pymatting) at up to 1024 px of the band's longer side. Photos in which it is not agreed on who is there, or whose band
    is too wide, are left out, named, and listed in OUT/NAME-left-out.parquet. OUT/NAME.parquet lists the others: their
    mattes say `estimated` in every score. Look at the contact sheets (.png) beside both before you believe them.

    Example: wsshm data estimate-mattes photos.parquet --peer rvm=rvm_mobilenetv3.onnx --peer u2netp=u2netp.onnx --out truth
    """
    from bench.peers import given  # only now: `wsshm data` needs none of it
    from bench.peers.matting import PeerModel
    from wsshm.data.estimating import estimate_mattes as estimate
    from wsshm.data.manifest import Manifest
    from wsshm.data.manifest_table import SPLITS
    from wsshm.errors import UserError, nearest, printable

    if split is not None and split not in SPLITS:
        raise UserError(f"--split {split} is no split; {nearest(split, SPLITS)}")
    peers = given(peer)
    listed = Manifest.read(manifest)
    without = [name.strip() for name in leave_out.split(",") if name.strip()]
    made = estimate(listed, [_Peer(PeerModel(one)) for one in peers], out, split, without)
    typer.echo(f"{made.manifest}: {made.kept} mattes; they are on {made.manifest.with_suffix('.png')}")
    if made.left_out:
        typer.echo(f"{made.unlisted}: {len(made.left_out)} left out; they are on {made.unlisted.with_suffix('.png')}")
    for why, count in Counter(made.left_out.values()).most_common():
        ids = [name for name, reason in made.left_out.items() if reason == why]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        typer.echo(printable(f"{count} left out, as {why}: {', '.join(ids[:NAMED])}{more}"))
