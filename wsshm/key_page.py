"""The keys of a configuration or a plan as one page of Markdown, made from the typed models.

Importing this module imports neither torch nor ray.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from wsshm.config import RunConfig, Section
from wsshm.files.tables import markdown_cell
from wsshm.keys import EXECUTION, about, flow, keys_of, own_options

COLUMNS = ("key", "default", "takes", "meaning")
NO_DEFAULT = "(must be given)"
CONFIGURATION = f"""# Every key of a run

What `wsshm config --format markdown` prints; a test compares this page with it. `wsshm config` prints the same as YAML to
start from. A file for `wsshm train run.yaml --out runs/one` holds those keys that you change; `--set train.steps=800` changes
one on the command line, and in a plan, whose `base` this is, `--set base.train.steps=800`. An unknown key or an impossible
value is refused before anything is trained.

These keys say where and how fast a run is trained and are no part of its identity:
{", ".join(f"`{key}`" for key in EXECUTION)}.
"""


def configuration_page() -> str:
    """Every key of a run, with the options of methods and architectures, those of WSSHM_PLUGINS too."""
    return page(CONFIGURATION, RunConfig)


def page(head: str, kind: type[Section]) -> str:
    """A page that starts with `head`: a table for each section of `kind`, and for each other section that its keys hold."""
    return "\n".join([head.strip("\n"), *_section(kind, "")]) + "\n"


def _section(kind: type[Section], at: str) -> Iterator[str]:
    """A section's own keys, then what they hold, then the sections in it."""
    prefix = f"{at}." if at else ""
    types: dict[str, Any] = {name: field.annotation for name, field in kind.model_fields.items()}
    sections = {name: inner for name, inner in types.items() if _is_section(inner)}
    if at:
        yield from _heading(at, kind)
    own = [name for name in types if name not in sections]
    if own:
        yield from _keys(kind, own, prefix)
    for name in own:
        for held in _held(types[name]):
            yield from _heading(f"In {prefix}{name}", held)
            yield from _keys(held, list(held.model_fields), "")
        yield from _options(kind, name, f"{prefix}{name}")
    for name, inner in sections.items():
        yield from _section(inner, f"{prefix}{name}")


def _heading(title: str, kind: type[Section]) -> Iterator[str]:
    yield from ["", f"{'#' * min(2 + title.count('.'), 4)} {title}", "", _prose(about(kind))]


def _keys(kind: type[Section], names: Sequence[str], prefix: str) -> Iterator[str]:
    found = keys_of(kind)
    rows = []
    for name in names:
        key = found[name]
        default = NO_DEFAULT if key.required else _code(flow(key.default))
        rows.append((_code(f"{prefix}{name}"), default, _prose(key.takes), _prose(key.meaning)))
    yield from _table(COLUMNS, rows)


def _options(kind: type[Section], name: str, dotted: str) -> Iterator[str]:
    """The options of each method or architecture that a key holds."""
    rows = []
    for owner, options in own_options(kind, name):
        for key in keys_of(options).values():
            default = NO_DEFAULT if key.required else _code(flow(key.default))
            rows.append((_code(owner), _code(key.name), default, _prose(key.takes), _prose(key.meaning)))
    if rows:
        yield from ["", f"Options of {_code(dotted)}:"]
        yield from _table(("of", "option", *COLUMNS[1:]), rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _held(annotation: Any) -> list[type[Section]]:
    """The sections that values of a type may hold: those of a list, or one that may be left out."""
    parts = get_args(annotation)
    found = [part for part in parts if _is_section(part)]
    return list(dict.fromkeys([*found, *(inner for part in parts for inner in _held(part))]))


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _prose(text: str) -> str:
    """A sentence, whose code stays code."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(_code(part) if index % 2 else markdown_cell(part) for index, part in enumerate(parts))
