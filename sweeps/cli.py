"""`python -m sweeps`: run plans here or elsewhere, and look at them before, while and after they run."""

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
    out: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="folder for results, or a URI such as s3://...; default runs/PLAN"),
    ] = None,
    assignments: SetOption = None,
) -> None:
    """Run a plan on this machine, or in the cluster that this process is in; asked again, it goes on.

    Writes OUT/store (Parquet), OUT/models/RUN_ID, OUT/report. Exit status 1 if a run failed, 2 if for what
    the plan gave it, such as a broken picture.

    To follow epochs live, --set track=[tensorboard] writes OUT/tensorboard (tensorboard --logdir OUT/tensorboard);
    wandb and mlflow work the same way (mlflow: the server MLFLOW_TRACKING_URI, else OUT/mlflow.db).

    Example: python -m sweeps run quickstart --set base.train.lr=1e-3 --out runs/slower
    """
    from sweeps.plan import load_plan

    loaded = load_plan(plan, assignments)
    from sweeps.execute import run_plan  # only now: a mistake in the plan need not wait for torch and ray

    outcome = run_plan(loaded, out or f"runs/{loaded.name}")
    stopped = f"{outcome.stopped} stopped early, " if outcome.stopped else ""
    typer.echo(f"{outcome.finished} runs finished, {stopped}{len(outcome.failed)} failed; report: {outcome.report}")
    for run_id, error in outcome.failed.items():
        typer.echo(f"failed {run_id}: {error}", err=True)
    if outcome.failed:
        raise typer.Exit(2 if outcome.mistakes else 1)


@app.command()
def plans() -> None:
    """List the shipped plans.

    Example: python -m sweeps plans
    """
    from sweeps.plan import load_plan, shipped_plans
    from sweeps.variation import console, table

    rows = table("plan", "what it does")
    for name in shipped_plans():
        rows.add_row(name, load_plan(name).about)
    console().print(rows)


@app.command()
def show(
    plan: PlanArgument,
    assignments: SetOption = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="STORE", help="earlier rows for the estimate and --run; default runs/PLAN/store"),
    ] = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="print one run's configuration; a unique beginning will do")
    ] = None,
) -> None:
    """Print a plan expanded: runs, stages and who shares them, the cost of labels, an estimate of the time.

    The estimate goes by finished runs of the same architecture, backbone, precision and device in a store, scaled by
    steps, pixels and batch. With --run it prints YAML that repeats one run by `wsshm train`. PLAN may also be a sweep's
    OUT/plan.yaml. Draws the embedded data set if it is missing.

    Example: python -m sweeps show blending --store runs/quickstart/store
    """
    from bench.store import Store
    from sweeps.repeat import open_plan, repeat
    from wsshm.errors import UserError
    from wsshm.storage import Location

    loaded, weights, usual = open_plan(plan, assignments)
    place = Location.of(store or usual)
    if store and not Store(store).exists():
        raise UserError(f"there is no store {store}; give OUT/store of a sweep, or leave out --store")
    if run:
        typer.echo(repeat(loaded, weights, place, run), nl=False)
        return
    from sweeps.show import show as print_plan  # only now: a mistake in the plan need not wait for torch

    print_plan(loaded, weights, place)


@app.command()
def status(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a sweep's OUT: a folder, or a URI such as s3://...")],
    watch: Annotated[
        bool, typer.Option("--watch", help="draw it anew every few seconds until the sweep is over")
    ] = False,
) -> None:
    """Tell how far a sweep is: finished, running, failed and waiting runs, the time left, the best so far.

    Only reads files, so it works from anywhere, and on a sweep that was killed. The best are by the plan's objectives
    on the validation set. Exit status 1 where runs failed.

    Example: python -m sweeps status runs/blending --watch
    """
    from sweeps.status import print_status
    from wsshm.storage import Location

    raise typer.Exit(print_status(Location.of(folder), watch))


@app.command()
def stages(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a sweep's OUT: a folder, or a URI such as s3://...")],
    prune: Annotated[
        bool, typer.Option("--prune", help="remove what no unfinished run needs, and killed runs left")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="with --prune: only say what would go")] = False,
    shared: Annotated[
        bool, typer.Option("--shared", help="prune stages that several sweeps share, all of them complete")
    ] = False,
) -> None:
    """List what a sweep has trained, stage by stage; --prune removes what is no longer needed.

    Needed are the stages of all runs that are not finished; failed ones count, since they are tried again. Finished
    runs keep their models in DIR/models. What is being trained now always stays. While a search by optuna is not
    through, nobody knows what it will draw: then only the last stage of a single finished run goes, and teachers stay.

    Example: python -m sweeps stages runs/blending --prune --dry-run
    """
    from wsshm.errors import UserError
    from wsshm.storage import Location

    if (dry_run or shared) and not prune:
        raise UserError("--dry-run and --shared say how to prune; give --prune as well")
    from sweeps import inventory

    place = Location.of(folder)
    if prune:
        inventory.prune(place, shared, dry_run)
    else:
        inventory.list_stages(place)


AddressOption = Annotated[
    str,
    typer.Option(envvar="RAY_API_SERVER_ADDRESS", metavar="URL", help="the dashboard of the cluster's head"),
]
WorkingDirOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="folder (or a zip file's URI) to send; default this checkout, nothing where the suite is installed",
    ),
]
EnvOption = Annotated[list[str] | None, typer.Option("--env", metavar="KEY=VALUE", help="set for all processes")]
PipOption = Annotated[str | None, typer.Option(help="packages to add on the nodes: a list, or a requirements file")]
RuntimeEnvOption = Annotated[Path | None, typer.Option(metavar="FILE", help="YAML of Ray's runtime environment")]


@app.command()
def submit(
    plan: PlanArgument,
    address: AddressOption,
    out: Annotated[
        str | None, typer.Option(metavar="OUT", help="absolute folder that all nodes share, or a URI (s3://...)")
    ] = None,
    assignments: SetOption = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="follow the log and take over the exit status")] = True,
    submission_id: Annotated[str | None, typer.Option(metavar="ID", help="the job's id; default PLAN-N")] = None,
    working_dir: WorkingDirOption = None,
    env: EnvOption = None,
    pip: PipOption = None,
    runtime_env: RuntimeEnvOption = None,
) -> None:
    """Run a plan as a job of a Ray cluster: checked here first, its log followed, its exit status taken over.

    Asked again while it runs, it follows the job; asked again later, the sweep goes on where it stopped. Ctrl-C stops
    following, not the job. The cluster's token is looked for as Ray does: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH,
    ~/.ray/auth_token.

    Example: python -m sweeps submit methods --address http://HEAD:8265 --out /shared/methods
    """
    from sweeps.submit import Baggage, submit_plan

    baggage = Baggage(working_dir, tuple(env or ()), pip, runtime_env)
    raise typer.Exit(submit_plan(plan, address, out, assignments or (), baggage, submission_id, wait))


@app.command()
def preflight(
    out: Annotated[str, typer.Option(metavar="OUT", help="where the sweep will write: a shared folder, or a URI")],
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="dashboard of the cluster's head; default the cluster this machine is in"),
    ] = None,
    nodes: Annotated[int, typer.Option(help="how many there must be; they are waited for")] = 1,
    loader_workers: Annotated[int, typer.Option(help="the plan's base.train.loader_workers")] = 0,
    timeout: Annotated[float, typer.Option(help="seconds that a node may take to answer")] = 90.0,
    working_dir: WorkingDirOption = None,
    env: EnvOption = None,
    pip: PipOption = None,
    runtime_env: RuntimeEnvOption = None,
) -> None:
    """Look at every node before a sweep: versions, shared storage, free disk, /dev/shm, GPUs. Exit status 1 with faults.

    Example: python -m sweeps preflight --out /shared/methods --address http://HEAD:8265
    """
    if address and "://" in address:
        from sweeps.submit import Baggage, submit_preflight

        options = ["--nodes", str(nodes), "--loader-workers", str(loader_workers), "--timeout", str(timeout)]
        baggage = Baggage(working_dir, tuple(env or ()), pip, runtime_env)
        raise typer.Exit(submit_preflight(out, address, baggage, options))
    from sweeps.preflight import preflight as look

    raise typer.Exit(look(out, address, loader_workers, nodes, timeout))
