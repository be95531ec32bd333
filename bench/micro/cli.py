"""The commands of `python -m bench micro`."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.options import listed, whole
from wsshm.errors import UserError, nearest

app = typer.Typer(no_args_is_help=True, help="Time our own code against the straightforward way, side by side.")


@app.callback()
def _commands() -> None:
    """Time our own code against the straightforward way, side by side in one run."""


@app.command()
def metrics(
    sizes: Annotated[str, typer.Option(help="sides of square mattes in pixels, comma-separated")] = "512,1500,3000",
    kinds: Annotated[str, typer.Option(help="hair, blob, noise, static, comma-separated")] = "hair,blob,noise,static",
    rounds: Annotated[int, typer.Option(help="times that each case is repeated; medians are printed")] = 7,
    threads: Annotated[int | None, typer.Option(help="threads on one image; by default all cores")] = None,
    published: Annotated[
        bool, typer.Option("--published", help="also time P3M's own way, once: a minute or more for each noise")
    ] = False,
    device: Annotated[str | None, typer.Option(help="also time tensors on this device, such as cuda")] = None,
) -> None:
    """Time SAD, MSE, MAD, Grad and Conn together against the way of public evaluation scripts, and check they agree.

    Needs scikit-image: pip install '.[micro]'. Exit status 1 where a value differs by more than 1e-6.

    Example: python -m bench micro metrics --sizes 512,1500 --kinds hair
    """
    from bench.micro import metrics as benchmark

    asked = listed(kinds, "--kinds")
    for kind in asked:
        if kind not in benchmark.MATTES:
            raise UserError(f"--kinds does not know {kind!r}; {nearest(kind, benchmark.MATTES)}")
    for name, value in (("--rounds", rounds), ("--threads", threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")
    if device:
        benchmark.check_device(device)
    if not benchmark.run(whole(sizes, "--sizes"), asked, rounds, threads, device, published):
        raise typer.Exit(1)
