"""The command `wsshm data pack`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

import typer

from wsshm.errors import redacted
from wsshm.options import CacheOption


def pack(
    manifest: Annotated[str, typer.Argument(metavar="M", help="a manifest (.parquet), or its address")],
    out: Annotated[str, typer.Option(help="folder for the shards and a manifest of M's name, or its address")],
    shard_size: Annotated[
        str, typer.Option(metavar="SIZE", help="most bytes of a shard, such as 256MB; one sample is never split")
    ] = "256MB",
    cache: CacheOption = None,
) -> None:
    """Pack a manifest's pictures into shards that are read from begin to end, for data on an object store or a slow disk.

    Shards are tar files as webdataset has them (NAME-train-000000.tar, ...): KEY.image.jpg, KEY.mask.png, ... and KEY.json
    for each sample. OUT/NAME.parquet lists the same samples as M, which is NAME.parquet, so with data.root: OUT a run is
    the same run. Several manifests may be packed into one OUT. Rerun, it packs only what is missing. Every file is
    verified first.

    Example: wsshm data pack photos.parquet --out s3://bucket/packed --shard-size 256MB
    """
    from wsshm.data.manifest import Manifest
    from wsshm.data.packing import pack as write_pack
    from wsshm.files.location import Location, check_writable
    from wsshm.files.node_cache import parse_size

    size = parse_size(shard_size, "--shard-size")
    place = Location.of(out)
    listed = Manifest.read(manifest)
    check_writable(place, "--out")
    name = PurePosixPath(Location.of(manifest).path).stem
    written = write_pack(listed, place, name, size)
    if written is None:
        typer.echo(f"{redacted(place)} holds this pack of {name} already")
        return
    packed = Manifest.read(written)
    shards = len(packed.shards)
    held = sum({(s.shard, offset): size for s in packed.samples for offset, size in s.extents}.values())
    typer.echo(
        f"{redacted(written)}: {len(packed)} samples in {shards} shard{'s' * (shards != 1)}, {held / 1e6:.1f} MB"
    )
