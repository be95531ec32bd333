"""`wsshm sweep`: run plans here or elsewhere, and look at them before, while and after they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsshm.options import CacheOption

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
    cache: CacheOption = None,
) -> None:
    """Run a plan on this machine, or in the cluster that this process belongs to; rerun it to resume.

    Writes OUT/store (Parquet), OUT/models/RUN_ID, OUT/report. At the end it names the model with the lowest
    validation error (by the plan's first objective; controls do not count) and the commands to run next. Exit status 1
    if a run failed, 2 if the cause was the plan's input, such as a broken picture.

    To follow epochs live, --set track=[tensorboard] writes OUT/tensorboard (tensorboard --logdir OUT/tensorboard);
    wandb and mlflow work the same way (mlflow: the server MLFLOW_TRACKING_URI, else OUT/mlflow.db). WSSHM_PLUGINS names
    files of yours that add methods, architectures and measures.

    Example: wsshm sweep run quickstart --set base.train.lr=1e-3 --out runs/slower
    """
    from sweeps.plan import load_plan

    loaded = load_plan(plan, assignments)
    from reports.document import counted
    from sweeps.execute import run_plan  # only now: a mistake in the plan need not wait for torch and ray
    from sweeps.watch import ClusterLost
    from wsshm.errors import redacted

    try:
        outcome = run_plan(loaded, out or f"runs/{loaded.name}")
    except ClusterLost as lost:
        typer.echo(f"error: {redacted(lost)}", err=True)
        raise typer.Exit(1) from None
    stopped = f"{outcome.stopped} stopped early, " if outcome.stopped else ""
    finished = counted(outcome.finished, "run")
    typer.echo(f"{finished} finished, {stopped}{len(outcome.failed)} failed; report: {redacted(outcome.report)}")
    for line in outcome.next_steps:
        typer.echo(redacted(line))
    for run_id, error in outcome.failed.items():
        typer.echo(f"failed {run_id}: {redacted(error)}", err=True)
    if outcome.tracebacks:
        typer.echo(f"tracebacks: {redacted(outcome.tracebacks)}", err=True)
    if outcome.failed:
        raise typer.Exit(2 if outcome.mistakes else 1)


@app.command()
def plans() -> None:
    """List the shipped plans.

    Example: wsshm sweep plans
    """
    from sweeps.plan import load_plan, shipped_plans
    from sweeps.variation import console, table

    rows = table("plan", "what it does")
    for name in shipped_plans():
        rows.add_row(name, load_plan(name).about)
    console().print(rows)


@app.command()
def keys() -> None:
    """Print every key of a plan with its default, type and meaning, as a page of Markdown.

    `wsshm sweep show PLAN --full` prints one plan with all of them, as YAML; the keys of its `base` are those that
    `wsshm config` explains.

    Example: wsshm sweep keys > keys.md
    """
    from sweeps.plan import keys_page

    typer.echo(keys_page(), nl=False)


@app.command()
def show(
    plan: PlanArgument,
    assignments: SetOption = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="STORE", help="store with earlier runs, for the estimate and --run; default runs/PLAN/store"
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="print one run's configuration; a unique prefix of its id is enough"),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="print every key with its value, type, default and meaning instead")
    ] = False,
) -> None:
    """Show what a plan expands to: its runs, the stages they share, the cost of labels, an estimate of the time.

    The estimate is based on finished runs of the same architecture, backbone, precision and device in a store, scaled by
    steps, pixels and batch. --run prints YAML that repeats one run with `wsshm train`; --full prints the plan with every
    key, itself a valid plan. PLAN may also be a sweep's OUT/plan.yaml. Nothing is drawn or trained.

    Example: wsshm sweep show blending --store runs/quickstart/store
    """
    from bench.store import Store
    from sweeps.repeat import open_plan, repeat
    from wsshm.errors import UserError, redacted
    from wsshm.files.location import Location

    if full and run:
        raise UserError("--full prints the whole plan and --run one run's configuration; give one of them")
    loaded, weights, usual = open_plan(plan, assignments)
    if full:
        from sweeps.plan import explained_plan
        from wsshm.console import columns

        typer.echo(redacted(explained_plan(loaded, columns())), nl=False)
        return
    place = Location.of(store or usual)
    if store and not Store(store).exists():
        raise UserError(f"there is no store {store}; give OUT/store of a sweep, or leave out --store")
    if run:
        typer.echo(redacted(repeat(loaded, weights, place, run)), nl=False)
        return
    from sweeps.show import show as print_plan  # only now: a mistake in the plan need not wait for torch

    print_plan(loaded, weights, place)


@app.command()
def status(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a sweep's OUT: a folder, or a URI such as s3://...")],
    watch: Annotated[bool, typer.Option("--watch", help="refresh every few seconds until the sweep ends")] = False,
) -> None:
    """Show the progress of a sweep: finished, running, failed and waiting runs, the time left, the best so far.

    Only reads files, so it works from anywhere, and on a sweep that was killed. The best runs are chosen by the
    plan's objectives on the validation set. Exit status 1 if runs failed.

    Example: wsshm sweep status runs/blending --watch
    """
    from sweeps.status import print_status
    from wsshm.files.location import Location

    raise typer.Exit(print_status(Location.of(folder), watch))


@app.command()
def stages(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="a sweep's OUT: a folder, or a URI such as s3://...")],
    prune: Annotated[
        bool, typer.Option("--prune", help="delete stages that no unfinished run needs, and leftovers of killed runs")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="with --prune: only list what would be deleted")] = False,
    shared: Annotated[
        bool,
        typer.Option("--shared", help="prune stages that several sweeps share; only once all of them are complete"),
    ] = False,
) -> None:
    """List what a sweep has trained, stage by stage; --prune removes what is no longer needed.

    The stages of all unfinished runs are needed, those of failed runs too, since these are retried. Finished runs keep
    their models in DIR/models. A stage that is being trained is never deleted. What an unfinished optuna search will
    draw is not known yet: then only the last stage of a single finished run is deleted, and teachers stay.

    Example: wsshm sweep stages runs/blending --prune --dry-run
    """
    from wsshm.errors import UserError
    from wsshm.files.location import Location

    if (dry_run or shared) and not prune:
        raise UserError("--dry-run and --shared only work with --prune; add it")
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
        help="folder (or a zip file's URI) to send; default: this checkout, or nothing if the suite is installed",
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
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="follow the log and exit with the job's status")
    ] = True,
    submission_id: Annotated[str | None, typer.Option(metavar="ID", help="the job's id; default PLAN-N")] = None,
    working_dir: WorkingDirOption = None,
    env: EnvOption = None,
    pip: PipOption = None,
    runtime_env: RuntimeEnvOption = None,
) -> None:
    """Run a plan as a job of a Ray cluster: check it here first, follow its log, exit with its status.

    Rerun the command to follow a running job, or to resume the sweep later. Ctrl-C stops following, not the job. The
    cluster's token is looked for where Ray looks: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH,
    ~/.ray/auth_token.

    Example: wsshm sweep submit methods --address http://HEAD:8265 --out /shared/methods
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
    nodes: Annotated[int, typer.Option(help="number of nodes to wait for")] = 1,
    loader_workers: Annotated[int, typer.Option(help="the plan's base.train.loader_workers")] = 0,
    timeout: Annotated[float, typer.Option(help="seconds that a node may take to answer")] = 90.0,
    working_dir: WorkingDirOption = None,
    env: EnvOption = None,
    pip: PipOption = None,
    runtime_env: RuntimeEnvOption = None,
) -> None:
    """Check every node before a sweep: versions, shared storage, free disk, /dev/shm, GPUs. Exit status 1 if one has a fault.

    Example: wsshm sweep preflight --out /shared/methods --address http://HEAD:8265
    """
    if address and "://" in address:
        from sweeps.submit import Baggage, submit_preflight

        options = ["--nodes", str(nodes), "--loader-workers", str(loader_workers), "--timeout", str(timeout)]
        baggage = Baggage(working_dir, tuple(env or ()), pip, runtime_env)
        raise typer.Exit(submit_preflight(out, address, baggage, options))
    from sweeps.preflight import preflight as look

    raise typer.Exit(look(out, address, loader_workers, nodes, timeout))
