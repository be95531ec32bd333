"""JSON documents that are read against a type, and sealed ones: with checksums of themselves and of files beside them.

What a crash, a full disk or a hand has altered is `Damaged`, in a sentence that names the file; it is never read as
something else.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import reprlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from wsshm.errors import UserError

FORMAT_VERSION = 2
"""Of sealed documents; those of version 1 have no checksums."""
VERSION, SUMS, ITSELF = "format_version", "sha256", "document"

T = TypeVar("T")
log = logging.getLogger(__name__)


class Damaged(UserError):
    """A file is not what was written, or nothing that this suite writes."""


def parsed(content: bytes | str, where: object, kind: type[T]) -> T:
    """The JSON object `content`, which lies at `where`, as a dataclass (or another type that pydantic reads).

    Raises Damaged where it is empty, cut off, nested too deep, of another type, or has a key that `kind` does not.
    """
    return _typed(_object(content, where), where, kind)


def sealed(document: dict[str, Any], folder: Path | None = None, files: tuple[str, ...] = ()) -> str:
    """`document` as JSON with its checksum and those of `files` in `folder`, for `opened` to verify."""
    sums = {name: _sum_of(folder / name) for name in files} if folder else {}
    body = {**document, VERSION: FORMAT_VERSION, SUMS: sums}
    return json.dumps({**body, SUMS: {**sums, ITSELF: _digest(body)}}, indent=1)


def opened(content: bytes | str, where: object, kind: type[T]) -> tuple[T, dict[str, str]]:
    """What `sealed` wrote, as `kind`, with the checksums {file: sha256} of the files beside it.

    A document of an older release has none, and that is said in a log line. Raises Damaged as `parsed` does and where
    the document was altered, UserError where a newer release wrote it.
    """
    document = _object(content, where)
    version = document.pop(VERSION, 1)
    if type(version) is not int or version < 1:
        raise Damaged(f"{where} was altered after it was written (its {VERSION} is {reprlib.repr(version)})")
    if version == 1:
        _say_unsealed(str(where))
        return _typed(document, where, kind), {}
    sums = document.pop(SUMS, None)
    texts = isinstance(sums, dict) and all(isinstance(value, str) for value in sums.values())
    if not texts or sums.pop(ITSELF, None) != _digest({**document, VERSION: version, SUMS: sums}):
        raise Damaged(f"{where} was altered after it was written (its checksum is another)")
    if version > FORMAT_VERSION:
        raise UserError(f"{where} has format version {version}, this release reads up to {FORMAT_VERSION}; update it")
    return _typed(document, where, kind), sums


def check_files(folder: Path, sums: dict[str, str]) -> None:
    """Raise Damaged unless each file of `folder` is there and has its checksum."""
    for name, digest in sums.items():
        file = folder / name
        if not file.is_file():
            raise Damaged(f"{file} is missing")
        if _sum_of(file) != digest:
            raise Damaged(f"{file} was altered after it was written (its checksum is another)")


def _object(content: bytes | str, where: object) -> dict[str, Any]:
    if not content.strip():
        raise Damaged(f"{where} is empty")
    try:
        document = json.loads(content)
    except RecursionError:
        raise Damaged(f"{where} is nested too deep to be read") from None
    except ValueError:
        raise Damaged(f"{where} is not a JSON document, or cut off") from None
    if not isinstance(document, dict):
        raise Damaged(f"{where} holds no JSON object")
    return document


def _typed(document: dict[str, Any], where: object, kind: type[T]) -> T:
    if is_dataclass(kind) and (unknown := document.keys() - {field.name for field in fields(kind)}):
        raise Damaged(f"{where} has a key {min(unknown)!r} that does not belong there")
    try:
        return _adapter(kind).validate_python(document)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Damaged(f"{where} has an impossible {key}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


_adapter: Callable[[Any], pydantic.TypeAdapter] = functools.cache(pydantic.TypeAdapter)


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sum_of(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@functools.cache
def _say_unsealed(where: str) -> None:
    log.info(
        "%s was written by an older release, without checksums: whether it was altered since cannot be told", where
    )
