"""`python -m reports build | table`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Tables and figures from a store of results.")

StoreArgument = Annotated[
    str, typer.Argument(help="The store: OUT/store of a sweep, a folder or a URI such as s3://...")
]
CostOption = Annotated[
    str | None, typer.Option("--cost", help="Price of a label: matte=690s,mask=79.2s or matte=23EUR,mask=2EUR.")
]


@app.command("build")
def build_report(
    store: StoreArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    cost: CostOption = None,
) -> None:
    """Build the report: one self-contained page, Markdown, figures and tables.

    Example: python -m reports build runs/quickstart/store --out runs/quickstart/report
    """
    from bench.cost import CostModel
    from reports.page import build

    typer.echo(build(store, out, CostModel.parse(cost) if cost else None))


@app.command("table")
def print_table(store: StoreArgument, cost: CostOption = None) -> None:
    """Print the comparison of methods, one table per budget.

    Example: python -m reports table runs/quickstart/store
    """
    from bench.cost import CostModel
    from reports.terminal import print_methods

    print_methods(store, CostModel.parse(cost) if cost else CostModel())
