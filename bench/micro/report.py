"""How long the report of a large store takes, and how much memory: ours against pandas and NumPy."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import rich.box
import rich.table

from bench.micro.simulated import simulate
from bench.provenance import device_name
from wsshm.console import own_process, track
from wsshm.errors import UserError
from wsshm.terminal import print_whole

STAGES = ("load", "compare", "tables", "write")


def run(runs: int, images: int, regions: list[int], timings: int) -> None:
    """Simulate a store for each number of regions, build its report, and print what took how long.

    Raises UserError where a report could not be built.
    """
    results = []
    with TemporaryDirectory(prefix="wsshm-", ignore_cleanup_errors=True) as name:
        for count in track(regions, len(regions), "reports"):
            store = Path(name) / f"store-{count}"
            simulate(store, runs, images, count, timings)
            ours = _timed("reports.timed", store, Path(name) / "report")
            plain = _timed("bench.micro.vectorised_report", store)
            results.append((runs * images * count, ours, plain))
    print(f"{device_name()}; {runs:,} runs of {images:,} images, {timings:,} timings")
    for scores, ours, _ in results:
        print(_sentence(scores, ours))
    print(
        "Compared with pandas and a vectorised NumPy bootstrap, in a process of their own, whose intervals of differences "
        "are not corrected for the number of comparisons."
    )
    form = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(("scores", "case", "ours", "NumPy", "ratio")):
        form.add_column(heading, justify="left" if number == 1 else "right", no_wrap=True)
    for scores, ours, plain in results:
        for line in lines(ours, plain):
            form.add_row(f"{scores:,}", *line)
    print_whole(form)


def lines(ours: dict[str, Any], plain: dict[str, Any]) -> list[list[str]]:
    """A case a line: ours, pandas with NumPy, and by how much ours is faster or smaller."""
    seconds = ours["seconds"]
    cases = (
        ("read the store", seconds["load"], plain["load_s"], "s"),
        ("means and intervals", seconds["compare"], plain["compare_s"], "s"),
        ("both", seconds["load"] + seconds["compare"], plain["load_s"] + plain["compare_s"], "s"),
        ("peak memory of both", ours["peak_mb"]["compare"], plain["peak_mb"], "MB"),
    )
    return [
        [name, _amount(own, unit), _amount(other, unit), f"{other / own:.1f} x"] for name, own, other, unit in cases
    ]


def _sentence(scores: int, ours: dict[str, Any]) -> str:
    seconds = ours["seconds"]
    whole = sum(seconds.get(stage, 0.0) for stage in (*STAGES, "rest"))
    parts = ", ".join(f"{stage} {seconds.get(stage, 0.0):.1f} s" for stage in STAGES)
    return (
        f"{scores:,} scores: {parts}: {whole:.1f} s beyond {seconds.get('figures', 0.0):.1f} s for drawing figures; peak "
        f"memory {max(ours['peak_mb'].values()):,.0f} MB, {ours['peak_mb']['compare']:,.0f} MB before any is drawn."
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:,.{1 if unit == 's' and value < 1000 else 0}f} {unit}"


def _timed(module: str, *arguments: object) -> dict[str, Any]:
    """What a fresh process prints of itself as its last line."""
    command, environment = own_process(module, *arguments)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise UserError(f"{module} of this benchmark failed: {said[-1]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
