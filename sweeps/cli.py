"""`python -m sweeps`: run plans, list them, show one expanded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Many runs: plans, Ray Tune, resume, and the report at the end.",
)
PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="a shipped plan's name, or a .yaml file's path")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change a key of the plan, e.g. base.train.steps=800"),
]


@app.command()
def run(
    plan: PlanArgument,
    out: Annotated[Path | None, typer.Option(help="folder for results; default runs/PLAN")] = None,
    assignments: SetOption = None,
) -> None:
    """Run a plan on this machine, or in the cluster that this process is in; asked again, it goes on.

    Writes OUT/store (Parquet), OUT/models/RUN_ID, OUT/report. Exit status 1 if a run failed, 2 if for what
    the plan gave it, such as a broken picture.

    Example: python -m sweeps run quickstart --set base.train.lr=1e-3 --out runs/slower
    """
    from sweeps.plan import load_plan

    loaded = load_plan(plan, assignments)
    from sweeps.execute import run_plan  # only now: a mistake in the plan need not wait for torch and ray

    outcome = run_plan(loaded, out or Path("runs") / loaded.name)
    typer.echo(f"{outcome.finished} runs finished, {len(outcome.failed)} failed; report: {outcome.report}")
    for run_id, error in outcome.failed.items():
        typer.echo(f"failed {run_id}: {error}", err=True)
    if outcome.failed:
        raise typer.Exit(2 if outcome.mistakes else 1)


@app.command()
def plans() -> None:
    """List the shipped plans.

    Example: python -m sweeps plans
    """
    from rich.console import Console
    from rich.table import Table

    from sweeps.plan import load_plan, shipped_plans

    table = Table(box=None, pad_edge=False)
    table.add_column("plan", style="bold")
    table.add_column("what it does")
    for name in shipped_plans():
        table.add_row(name, load_plan(name).about)
    Console().print(table)


@app.command()
def show(plan: PlanArgument, assignments: SetOption = None) -> None:
    """Print a plan expanded: its runs, their stages, and what is shared. Draws the embedded data set if it is missing.

    Example: python -m sweeps show quickstart
    """
    from rich.console import Console
    from rich.table import Table

    from sweeps.plan import load_plan

    loaded = load_plan(plan, assignments)
    from sweeps.expand import expand
    from wsshm.stages import addressed_stages
    from wsshm.train import labels_used

    runs = expand(loaded)
    table = Table(box=None, pad_edge=False)
    for heading, justify in (
        ("run", "left"),
        ("method", "left"),
        ("mattes", "right"),
        ("masks", "right"),
        ("seed", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("stages")
    steps: dict[str, int] = {}
    for planned in runs:
        stages = addressed_stages(planned.config, planned.sources)
        names = [f"{s.stage.name} {s.address[:6]}{' (shared)' if s.address in steps else ''}" for s in stages]
        steps |= {s.address: s.stage.steps for s in stages}
        mattes, masks = labels_used(planned.config, planned.sources)
        seed = str(planned.config.train.seed)
        table.add_row(planned.run_id, planned.config.method.name, str(mattes), str(masks), seed, ", ".join(names))
    Console().print(table)
    typer.echo(f"{len(runs)} runs, {len(steps)} stages to train, {sum(steps.values())} optimiser steps in all")
