"""The command `wsshm data samples`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsshm.files.tables import check_file
from wsshm.options import CacheOption


def samples(
    config: Annotated[Path, typer.Argument(help="YAML file: one run's configuration, as wsshm train takes it")],
    out: Annotated[Path, typer.Option(help="the contact sheet to write (.png)")],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key, e.g. data.size=512")
    ] = None,
    step: Annotated[
        int, typer.Option(help="the step whose samples are shown; after a stage's last, its first", min=0)
    ] = 0,
    count: Annotated[int, typer.Option(help="samples of each stage to show, at most train.batch", min=1)] = 16,
    cache: CacheOption = None,
) -> None:
    """Write a contact sheet of training samples: composites and photos as the network sees them, with their labels.

    Nothing is trained. The samples are those that training with the same data, seed and sizes has at that step. Where
    labels are blended, the sheet shows the masks that they are made of.

    Example: wsshm data samples run.yaml --out samples.png --set data.size=256 --step 10
    """
    from wsshm.config import RunConfig, override, parse
    from wsshm.documents import load_document

    check_file(out, endings=(".png",))
    checked = parse(override(load_document(config), assignments or []), RunConfig, str(config))
    from wsshm.training.sheet import draw_samples  # only now: a mistake in the file need not wait for torch

    typer.echo(draw_samples(checked, out, step, count))
