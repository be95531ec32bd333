"""What `wsshm bench peers` prints: all descriptions in a table, or everything about one."""

from __future__ import annotations

import textwrap

import rich.box
import rich.console
import rich.table

from bench.peers import FIRST, Description, described, names, shipped
from wsshm.console import columns
from wsshm.errors import printable
from wsshm.terminal import plain

TRIED, UNTRIED = "yes", "not tried here"


def print_all() -> None:
    """The table of the shipped descriptions, wrapped to the terminal, and how to use one."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=0)
    widest = {"what": 12, "licence of weights": 14, "input": 10, "usual file": 15, "tried": 9}  # words of a column
    table.add_column("name", no_wrap=True)
    for heading, width in widest.items():
        table.add_column(heading, overflow="fold", min_width=width)
    for name in names():
        told = shipped(name).description
        cells = (told.kind, licence(told), told.protocol, told.file, TRIED if told.tried else UNTRIED)
        table.add_row(*map(plain, (name, *cells)))
    rich.console.Console(width=columns()).print(table)
    print("Details, and where a file is had: wsshm bench peers NAME")
    print("To measure one: wsshm bench accuracy --peer NAME=FILE --data M.parquet, wsshm bench speed --peer NAME=FILE")


def licence(told: Description) -> str:
    """The weights' licence up to its first qualification."""
    return told.licence.weights.partition(";")[0].partition(" (")[0].partition(" for the network")[0]


def print_one(name: str) -> None:
    """Every fact of one description, a line each. UserError for an unknown name."""
    peer = described(name)
    told = peer.description
    rule, tried = told.input, "run here, and its mattes looked at" if told.tried else UNTRIED
    commercial = {True: "allowed by the licence", False: "not allowed", None: "not stated"}[told.licence.commercial]
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (rule.mean, rule.std))
    scaled = "value / 255" if rule.scale == 255 else "value / the picture's own maximum"
    facts = {
        peer.name: f"{told.title} ({told.kind})",
        "paper": told.paper,
        "obtained from": told.source,
        "licence of code": told.licence.code,
        "licence of weights": told.licence.weights,
        "commercial use": commercial,
        "usual file": f"{told.file} ({told.format}, {told.precision})",
        "sha256": told.sha256 or "not known here",
        "tried": tried,
        "input": f"{_named(rule.name)}, {rule.layout}, {rule.channels}",
        "size": f"{told.protocol} ({rule.resize}, {rule.interpolation})",
        "values": f"({scaled} - mean {mean}) / std {std}",
        "further inputs": "; ".join(
            f"{e.name} = {f'{e.value:g}' if e.value is not None else f'min(1, {e.longest_side} / longer side)'}"
            for e in told.extra_inputs
        ),
        "recurrent states": ", ".join(f"{state.output} to {state.input}" for state in told.states),
        "output": f"{_named(told.output.name)}, {told.output.layout}, {told.output.meaning}",
        "note": told.note or "",
    }
    if told.states:
        shape = " x ".join(map(str, told.first_state)) or "a single number"
        facts["recurrent states"] += f"; before the first frame zeros ({shape})"
    left = max(map(len, facts)) + 2
    for what, said in facts.items():
        if said:
            print(
                printable(
                    textwrap.fill(said, columns(), initial_indent=what.ljust(left), subsequent_indent=" " * left), "\n"
                )
            )


def _named(name: str) -> str:
    return "the file's first" if name == FIRST else repr(name)
