"""The keys of a configuration or a plan: all of them as YAML with their meaning, or only those that are not at default.

Made from the typed models; importing this module imports neither torch nor ray.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from pydantic_core import PydanticUndefined, to_jsonable_python

from wsshm.config import DATA_EXECUTION_KEYS, EXECUTION_KEYS, MethodConfig, ModelConfig, RunConfig, Section
from wsshm.methods import METHODS, Method
from wsshm.models import ARCHITECTURES, Architecture

EXECUTION = (*(f"train.{key}" for key in EXECUTION_KEYS), *(f"data.{key}" for key in DATA_EXECUTION_KEYS))
"""Keys that say where and how fast a run is trained: no part of its identity, nor of a variant's name."""
WIDTH = 100
"""Columns of the comments where no terminal says how wide it is."""


class Key(NamedTuple):
    """A key of a section."""

    name: str
    takes: str
    """Its type and limits, in words."""
    default: Any
    """As JSON; None also where the key has to be given."""
    required: bool
    meaning: str


def keys_of(kind: type[Section]) -> dict[str, Key]:
    """The keys of a section by their names, sections in it too."""
    schema = kind.model_json_schema()
    found = {}
    for name, field in kind.model_fields.items():
        default = to_jsonable_python(field.get_default(call_default_factory=True), fallback=lambda _: None)
        required = field.is_required() or default is PydanticUndefined
        meaning = " ".join((field.description or "").split())
        takes = _type(schema["properties"][name], schema)
        found[name] = Key(name, takes, None if required else default, required, meaning)
    return found


def about(section: type[Section]) -> str:
    """What a section is: the first paragraph of its docstring."""
    return " ".join((section.__doc__ or "").partition("\n\n")[0].split())


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()


def explained(
    kind: type[Section],
    document: Mapping[str, Any],
    width: int = WIDTH,
    inside: Mapping[str, type[Section]] | None = None,
) -> str:
    """YAML with every key of `kind`, its value in `document` (checked) or its default, its type and its meaning.

    It reads back as the same document. Where a value is not the default, its comment says the default. `inside` says
    what mappings of `kind` hold that are no sections by their type.
    """
    return "\n".join(_lines(kind, document, width, inside or {}, "")).lstrip("\n") + "\n"


def without_defaults(document: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration without the keys that have their default: shorter, and read back as the same.

    >>> without_defaults({"data": {"size": 192}, "train": {"seed": 0}, "budget": {"mattes": None}})
    {'data': {'size': 192}}
    """
    return _differing(document, RunConfig().model_dump(mode="json"))


def _differing(document: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    left = {}
    for key, value in document.items():
        if isinstance(value, dict) and isinstance(usual.get(key), dict):
            value = _differing(value, usual[key])
            if not value:
                continue
        elif key in usual and value == usual[key]:
            continue
        left[key] = value
    return left


def first_difference(a: Any, b: Any, free: Collection[str] = (), key: str = "") -> tuple[str, Any, Any] | None:
    """The first dotted key at which two configurations or plans differ, with both values, but for `free` and execution keys."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in [*a, *(n for n in b if n not in a)]:
            dotted = f"{key}.{name}" if key else str(name)
            if name in EXECUTION_KEYS or name in DATA_EXECUTION_KEYS or dotted in free:
                continue
            found = first_difference(a.get(name), b.get(name), free, dotted)
            if found:
                return found
        return None
    return None if a == b else (key, a, b)


def _lines(
    kind: type[Section], document: Mapping[str, Any], width: int, inside: Mapping[str, type[Section]], indent: str
) -> list[str]:
    lines: list[str] = []
    keys = keys_of(kind)
    for name, field in kind.model_fields.items():
        section = inside.get(name) or field.annotation
        value = document.get(name)
        if isinstance(section, type) and issubclass(section, Section):
            lines += ["", *_comment(about(section), width, indent), f"{indent}{name}:"]
            lines += _lines(section, value or {}, width, {}, indent + "  ")
            continue
        key = keys[name]
        value = document.get(name, key.default)
        facts = [key.takes]
        if not key.required and value != key.default:
            facts.append(f"default {flow(key.default)}")
        lines += _comment(f"{key.meaning} ({'; '.join(facts)})", width, indent)
        for owner, options in own_options(kind, name):
            lines += _comment(f"{owner}: {' '.join(told(options))}", width, indent + "  ")
        style = None if isinstance(value, list | dict) else False  # None: a list of numbers on one line
        text = yaml.safe_dump(
            {name: value}, default_flow_style=style, sort_keys=False, allow_unicode=True, width=width - len(indent)
        )
        lines += [indent + line for line in text.splitlines()]
    return lines


def own_options(kind: type[Section], name: str) -> Iterator[tuple[str, type[Section]]]:
    """Who has options of its own that a key holds, and what they are: methods and architectures."""
    entries: list[Method] | list[Architecture] = []
    if (kind, name) == (MethodConfig, "options"):
        entries = METHODS.entries()
    elif (kind, name) == (ModelConfig, "architecture"):
        with contextlib.suppress(ModuleNotFoundError):  # their files import torch
            entries = ARCHITECTURES.entries()
    for entry in entries:
        if entry.options:
            yield entry.name, entry.options


def told(options: type[Section]) -> list[str]:
    """Each option of a method, an architecture or a layout: its key, type, default and meaning."""
    lines = []
    for key in keys_of(options).values():
        default = "" if key.required else f"; default {flow(key.default)}"
        lines.append(f"{key.name} ({key.takes}{default}): {key.meaning}".removesuffix(": "))
    return lines


def _comment(text: str, width: int, indent: str) -> list[str]:
    mark = f"{indent}# "
    return textwrap.wrap(text, width, initial_indent=mark, subsequent_indent=mark, break_long_words=False)


def _type(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if forms := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type(part, whole) for part in forms))
    if "enum" in schema:
        *others, last = map(str, schema["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    if "const" in schema:
        return str(schema["const"])
    match schema.get("type"):
        case "integer":
            return "whole number" + _range(schema)
        case "number":
            return "number" + _range(schema)
        case "array" if "prefixItems" in schema:
            return f"list of {len(schema['prefixItems'])}"
        case "array":
            return f"list of {_type(schema['items'], whole)}"
        case None:
            return "any value"
        case kind:
            return {"string": "text", "null": "null", "boolean": "true or false"}.get(str(kind), "mapping")


def _range(schema: Mapping[str, Any]) -> str:
    low, high, below = (schema.get(name) for name in ("minimum", "maximum", "exclusiveMaximum"))
    if below is not None and schema["type"] == "integer":
        high = below - 1
    elif below is not None:
        at_least = "" if low is None else f", {low:g} or more"
        above = f" above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else at_least
        return f"{above}{' and' * bool(above)} below {below:g}"
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}" + (f", at most {high:g}" if high is not None else "")
    if low is None:
        return ""
    return f", {low:g} to {high:,.10g}" if high is not None else f", {low:g} or more"
