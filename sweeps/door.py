"""`wsshm`: one door to the four rooms. `wsshm`'s own commands stand at its root, each other room is a group.

A room is imported when one of its commands is asked for, so that `wsshm --help` and `wsshm data check` wait for none.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

import typer
import typer.core
import typer.main

import wsshm
from sweeps.estimate_mattes import estimate_mattes
from wsshm.cli import app as own_commands
from wsshm.console import flowing, run
from wsshm.data.cli import app as data_commands
from wsshm.errors import UserError, nearest

ROOMS = {
    "sweep": ("sweeps.cli", "Run plans: many runs on this machine or a cluster, and the report at their end."),
    "bench": ("bench.cli", "Measure accuracy and speed, of our models or anybody's predictions."),
    "report": ("reports.cli", "Build tables, figures and the report from a results store."),
}
"""Group -> (module of its `app`, what `wsshm --help` says of it)."""


class Door(typer.core.TyperGroup):
    """The root group, whose rooms are placeholders until one is entered."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` begin with; a room's real group takes its placeholder's place."""
        if args[0] in ROOMS:
            return args[0], _entered(args[0]), args[1:]
        if args[0] not in self.commands and not args[0].startswith("-"):
            raise UserError(f"wsshm has no command {args[0]!r}; {self._remedy(args[0])}")
        return super().resolve_command(ctx, args)

    def _remedy(self, name: str) -> str:
        rooms = [room for room in ROOMS if name in getattr(_entered(room), "commands", {})]
        return f"type wsshm {rooms[0]} {name}" if rooms else nearest(name, self.commands)


@functools.cache
def _entered(room: str) -> Any:
    return typer.main.get_command(flowing(importlib.import_module(ROOMS[room][0]).app))


app = typer.Typer(
    cls=Door,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Weakly semi-supervised human matting: data, training, prediction; plans, measurements and reports.",
    epilog="WSSHM_PLUGINS=my_method.py,my_measure.py names files of yours that add methods, architectures, measures, layouts,"
    " engines and sections of the report to every command.",
)
app.add_typer(own_commands)
# It asks peers, of which that room knows nothing.
data_commands.command("estimate-mattes")(estimate_mattes)
for _room, (_module, _about) in ROOMS.items():
    app.add_typer(typer.Typer(help=_about), name=_room)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"wsshm {wsshm.__version__}")
        raise typer.Exit


@app.callback()
def door(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="print the version and leave"
    ),
) -> None:
    """Take the options that stand before any command."""


def main() -> None:
    """Enter as the console script `wsshm`.

    Processes that it starts find no module in the working directory either: a folder `bench` there is not ours.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    run(app, "wsshm")
