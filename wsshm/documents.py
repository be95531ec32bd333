"""Plans and configurations as text: a small, plain part of YAML, so that nothing in a file takes all time or memory.

Mappings with text for keys, lists, text, numbers, booleans and null; anchors within `MOST_NODES`. Dates stay text, tags
are refused.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import yaml

from wsshm.errors import UserError

MOST_BYTES = 1_000_000
DEEPEST = 32
MOST_NODES = 200_000
"""With what aliases stand for: ten lines of anchors can stand for 10^9 values."""
LARGEST_INTEGER = 2**63 - 1
DATE = "tag:yaml.org,2002:timestamp"


def load_document(path: Path | str) -> dict[str, Any]:
    """The mapping that a YAML file holds. UserError, one sentence, for anything else."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}; give a YAML file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise UserError(f"{path} cannot be read ({why}); give a YAML file") from None
    return mapping(content, os.fspath(path))


def mapping(content: bytes, where: str) -> dict[str, Any]:
    """The mapping that a document holds; `where` names it in a UserError."""
    if len(content) > MOST_BYTES:
        raise UserError(f"{where} has more than {MOST_BYTES:,} bytes, which no plan or configuration needs")
    try:
        document = yaml_value(content.decode(), where)
    except UnicodeDecodeError:
        raise UserError(f"{where} is not valid YAML (it is not UTF-8 text)") from None
    if not isinstance(document, dict):
        raise UserError(f"{where} must hold a mapping of keys to values")
    return document


def yaml_value(text: str, where: str) -> Any:
    """What a YAML text stands for; `where` names it in a UserError."""
    try:
        _measure(text)
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where} is not valid YAML ({' '.join(str(error.problem).split())}{line})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{where} is not valid YAML ({' '.join(str(error).split())})") from None


def _measure(text: str) -> None:
    """Raise YAMLError for what is too deep, too large, or contains itself. Goes through the text once, without recursion."""
    sizes: dict[str, int] = {}
    open_ones: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in open_ones}:
                raise _error(event, f"*{event.anchor} refers to itself")
            nodes += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_ones.append((event.anchor, nodes))
            nodes += 1
            if len(open_ones) > DEEPEST:
                raise _error(event, f"more than {DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_ones.pop()
            if anchor:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if nodes > MOST_NODES:
            raise _error(event, f"stands for more than {MOST_NODES:,} values")


class _Loader(yaml.SafeLoader):
    """Safe YAML without dates, tags of other types, doubled keys, and keys that are no text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                shown = getattr(key, "value", "")
                told = repr(shown) if isinstance(shown, str) else "a list or mapping"
                raise _error(key, f"the key {told} is not text; put it in quotes")
            if key.value in seen:
                raise _error(key, f"the key {key.value!r} appears twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    try:
        number = loader.construct_yaml_int(node)
    except ValueError:  # more digits than Python reads, or none
        number = LARGEST_INTEGER + 1
    if abs(number) > LARGEST_INTEGER:
        raise _error(node, "an integer beyond 64 bits")
    return number


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    number = loader.construct_yaml_float(node)
    if not math.isfinite(number):
        raise _error(node, f"{node.value} is not a finite number")
    return number


def _error(at: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != DATE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "str", "seq", "map")
} | {"tag:yaml.org,2002:int": _integer, "tag:yaml.org,2002:float": _float}
