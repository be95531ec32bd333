"""`wsshm report build | table | leaderboard | compare | gains | labels | plan-budget`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bench.cost import CostModel

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Tables and figures from a store of results. In a notebook: reports.open(STORE).",
)

StoreArgument = Annotated[
    str, typer.Argument(help="The store: OUT/store of a sweep, a folder or a URI such as s3://...", show_default=False)
]
CostOption = Annotated[
    str | None,
    typer.Option(
        "--cost",
        help="Price of a label: matte=690s,mask=79.2s or, by grade of masks, matte=23EUR,mask=2EUR,mask.fine=4EUR.",
    ),
]
ManifestOption = Annotated[
    str | None,
    typer.Option("--manifest", help="Manifest of the test pictures, or its address; its attributes group the errors."),
]
FormatOption = Annotated[str | None, typer.Option("--format", help="terminal, markdown or csv.")]
FileOption = Annotated[
    Path | None,
    typer.Option("--out", help="Write to this file; its ending (.md, .csv, .parquet, .txt) sets the format."),
]
MeasureOption = Annotated[
    str | None, typer.Option("--measure", help="Only these: sad, mse, mad, grad, conn, iou, mad_boundary, ...")
]


@app.command("build")
def build_report(
    store: StoreArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    cost: CostOption = None,
    manifest: ManifestOption = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="What is left to spend, such as 5000EUR or 30h: adds which labels to buy."),
    ] = None,
    target_fps: Annotated[
        float | None,
        typer.Option(
            "--target-fps",
            min=0.1,
            help="Frames per second to be held: says which network to ship, marks which hold it.",
        ),
    ] = None,
) -> None:
    """Build the report: one self-contained page, Markdown, figures and tables.

    Example: wsshm report build runs/quickstart/store --out runs/quickstart/report --manifest test.parquet
    """
    from reports.amounts import budget as amount
    from reports.page import build

    prices = _prices(cost)
    left = amount(budget, prices) if budget else None
    typer.echo(build(store, out, prices, manifest, left, target_fps, warn=lambda said: typer.echo(said, err=True)))


@app.command("table")
def print_table(
    store: StoreArgument,
    by: Annotated[
        str | None, typer.Option("--by", help="Group by attributes of --manifest, such as hair,skin,framing,people.")
    ] = None,
    manifest: ManifestOption = None,
    measure: MeasureOption = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Only measures of: whole, unknown, boundary, ...")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Every method minus this one, in percent: mlb_masklabel, ...")
    ] = None,
    variants: Annotated[
        bool,
        typer.Option("--variants", help="With --against: all variants of a method, not only the best on validation."),
    ] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="With --against: also draw it, to this .png, .svg or .pdf file.")
    ] = None,
    cost: CostOption = None,
    format: FormatOption = None,
    out: FileOption = None,
) -> None:
    """Print the comparison of methods, one table per budget; with --by, the errors grouped by what the pictures show.

    With --against, print paired differences to a method, with intervals and verdicts, and on stderr which verdicts differ
    between test sets. Measures of yours are printed where WSSHM_PLUGINS names their file.

    Example: wsshm report table runs/quickstart/store --by hair --manifest test.parquet --measure sad
    """
    from reports import against as differences
    from reports import slices
    from reports.agreement import gathered, in_words
    from reports.comparison import scored
    from reports.load import load
    from reports.measures import WITH_FURTHER
    from reports.per_image import measures
    from reports.terminal import FEW, methods, picture, show
    from wsshm.data.manifest import Manifest
    from wsshm.errors import UserError

    if against is not None:
        if by is not None or manifest is not None:
            raise UserError(
                "--against gives differences over all pictures, --by errors grouped by attributes; use one of them"
            )
        wanted = measures(measure, region, () if region else ("sad", "mse", "grad", "conn"), WITH_FURTHER)
        frames = load(store)
        made = differences.tables(frames, scored(frames, _prices(cost)), against, wanted, variants)
        if figure is not None:
            picture(lambda: differences.figure(made), figure)
        show(made, format, out, notes=True)
        _say(in_words(gathered(table.frame for table in made)))
        return
    if variants or figure is not None:
        option = "--variants" if variants else "--figure"
        raise UserError(f"{option} needs --against, which names the method to compare with")
    if (by is None) != (manifest is None):
        raise UserError("--by and --manifest go together: give the attributes, and the manifest that has them")
    if by is not None and manifest is not None:
        wanted = measures(measure, region, () if region else ("sad",))
        pictures = Manifest.read(manifest)
        names = slices.checked(pictures, manifest, by)
        show(slices.tables(scored(load(store), _prices(cost)), pictures, names, wanted), format, out, notes=True)
    else:
        chosen = measures(measure, region)
        show(methods(store, chosen, _prices(cost)), format, out, notes=len(chosen) <= FEW)


@app.command("leaderboard")
def print_leaderboard(
    store: StoreArgument,
    sort: Annotated[
        str, typer.Option("--sort", help="A measure (SAD, MSE, MAD, Grad, Conn, ...), FPS, cost, params, mattes, ...")
    ] = "SAD",
    top: Annotated[int | None, typer.Option("--top", min=1, help="Number of rows to print; default: all.")] = None,
    cost: CostOption = None,
    format: FormatOption = None,
    out: FileOption = None,
) -> None:
    """Rank every method, variant, network and budget of the store, one ranking for each test set and protocol.

    Rows that are not significantly different from the one above are marked.

    Example: wsshm report leaderboard runs/backbones/store --sort FPS --top 10 --out backbones.md
    """
    from reports.leaderboard import boards, table
    from reports.load import load
    from reports.terminal import show

    prices = _prices(cost)
    ranked = boards(load(store), prices, sort)
    names = ["leaderboard", *(f"leaderboard-{number}" for number in range(2, len(ranked) + 1))]
    show([table(board, top, prices, name) for board, name in zip(ranked, names, strict=True)], format, out)


@app.command("compare")
def compare_stores(
    store_a: Annotated[str, typer.Argument(help="Baseline store (A).", show_default=False)],
    store_b: Annotated[str, typer.Argument(help="Store whose results are judged (B).", show_default=False)],
    measure: MeasureOption = None,
    any_data: Annotated[
        bool, typer.Option("--any-data", help="Pair images by id even if the data's fingerprints differ.")
    ] = False,
    format: FormatOption = None,
    out: FileOption = None,
) -> None:
    """Compare two stores: two sweeps, two machines, two commits.

    Runs of the same method, network, labels and seed are paired image by image (better, worse, no significant
    difference), timings of the same model and conditions are put side by side; what has no counterpart is listed on stderr.

    Example: wsshm report compare runs/before/store runs/after/store --measure sad,mad_boundary
    """
    from reports.load import load
    from reports.per_image import measures
    from reports.terminal import show
    from reports.two_stores import compared

    chosen = measures(measure, default=("sad",))
    tables, notes = compared(load(store_a), load(store_b), chosen, any_data)
    show(tables, format, out)
    _say(notes)


@app.command("gains")
def print_gains(
    settings: Annotated[
        Path, typer.Argument(help="YAML file of the settings: their stores, masks and test sets.", show_default=False)
    ],
    measure: Annotated[
        str, typer.Option("--measure", help="The error: sad, mse, mad, grad, conn, sad_unknown, ...")
    ] = "sad",
    region: Annotated[
        str | None,
        typer.Option("--region", help="Where it is taken: whole, unknown, boundary; default: as it is named."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Also draw it, to this .png, .svg or .pdf file.")
    ] = None,
    format: FormatOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the table (CSV and Markdown), the figure and what it is drawn from."),
    ] = None,
) -> None:
    """Compare every method with the best baseline of each setting: drawn or real pictures, masks of one grade or another.

    A setting's best baseline is the one with the lowest error on validation. Differences are paired image by image, on test
    sets like the training pictures and unlike them; the figure has them over the masks' IoU.

    Example: wsshm report gains reports/findings/settings.yaml --figure gains.png
    """
    from reports import gains, gains_table
    from reports.terminal import format_of, picture, show

    kind = format_of(format)
    found = gains.gains(settings, gains.measure_of(measure, region))
    if figure is not None:
        picture(lambda: gains_table.figure(found), figure)
    if out is not None:
        gains_table.write(found, out)
    if kind == "markdown":
        typer.echo(gains_table.markdown(found))
        return
    show(gains_table.tables(found, None if kind == "csv" else gains_table.WIDEST), kind, notes=True)
    if kind == "terminal":
        typer.echo("\n\n".join(gains_table.sentences(found)))


@app.command("labels")
def choose_labels(
    manifest: Annotated[str, typer.Argument(help="Manifest of the masked photos, or its address.", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="The store of a sweep that trained with these photos.")],
    number: Annotated[int, typer.Option("--number", min=1, help="How many photos.")] = 50,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="data.masks of the sweep's plan, if the store holds several.")
    ] = None,
    matted: Annotated[bool, typer.Option("--matted", help="Also rank photos that already have a matte.")] = False,
    format: FormatOption = None,
    out: FileOption = None,
) -> None:
    """Rank masked photos by how much a trained teacher and the mask disagree: mattes of these are likely to help most.

    A sweep with mlb (or mlb_masklabel) compares its teachers with the masks and keeps the sums in its store.

    Example: wsshm report labels photos.parquet --store runs/mine/store --number 50 --out next.csv
    """
    from reports.labels import rank, table
    from reports.terminal import show

    ranking = rank(store, manifest, dataset, matted)
    show([table(ranking, number)], format, out)
    _say(ranking.notes)


@app.command("plan-budget")
def plan_labels(
    store: StoreArgument,
    budget: Annotated[
        str,
        typer.Option("--budget", help="Remaining money or time: 5000 (in the unit of --cost), 5000EUR, 30h, 90min."),
    ],
    ratio: Annotated[
        str | None, typer.Option("--ratio", help="One plan for each ratio of a matte's price to a mask's: 5,10,20.")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="The method to be trained.")] = "mlb",
    have: Annotated[
        str | None,
        typer.Option("--have", help="Labels that you already have: mattes=40,masks=1000 or mattes=40,masks.fine=100."),
    ] = None,
    most_mattes: Annotated[
        int | None, typer.Option("--most-mattes", min=0, help="Most mattes there can be in all.")
    ] = None,
    most_masks: Annotated[
        str | None,
        typer.Option("--most-masks", help="Most masks there can be in all: 2000, or by grade polygon=2000,fine=300."),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="Title of a comparison, if the store holds several data sets.")
    ] = None,
    cost: CostOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the figure, its data and the table.")] = None,
) -> None:
    """Plan which labels to buy with a budget, from a fit of the error over the numbers of labels, with its uncertainty.

    Masks of every grade that enough runs have are planned with, and what more of each kind would bring is printed.

    Example: wsshm report plan-budget runs/annotation-cost/store --budget 60h --cost matte=690s,mask.fine=155s --have mattes=40
    """
    from reports import amounts
    from reports.planner import plan_budget

    prices = _prices(cost)
    plan_budget(
        store,
        amounts.budget(budget, prices),
        prices,
        ratios=amounts.ratios(ratio) if ratio else (),
        method=method,
        have=amounts.owned(have or "mattes=0"),
        most_mattes=most_mattes,
        most_masks=amounts.most_masks(most_masks) if most_masks else None,
        on=on,
        out=out,
    )


def _prices(cost: str | None) -> CostModel:
    from bench.cost import CostModel

    return CostModel.parse(cost) if cost else CostModel()


def _say(notes: list[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)
