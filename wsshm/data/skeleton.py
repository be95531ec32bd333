"""A tree on an object store as a tree of this machine: annotations are copied, every other file is there and empty.

Layouts look at names and annotations alone, so they read it as they read the tree itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from wsshm.console import track
from wsshm.data.fetching import at_once, patiently
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location

COPIED = (".json", ".csv", ".tsv", ".txt")
BESIDE = (".csv", ".tsv")
"""Of a table that lies beside the tree, under its name."""

log = logging.getLogger(__name__)


@contextmanager
def skeleton(root: Location) -> Iterator[Path]:
    """A temporary folder that stands for `root`, under its name; errors and log lines about it name the address.

    Raises UserError where nothing lies there.
    """
    files = patiently(root.files)
    if not files:
        raise UserError(f"there is no folder {redacted(root)}; give the address that the data set lies under")
    with TemporaryDirectory(prefix="wsshm-import-") as folder:
        tree = Path(folder).resolve() / (root.name or "root")
        _draw(root, [place for place, _ in files], tree)
        _copy_table(root, tree)
        with _told_by_address(tree, redacted(root)):
            yield tree


def _draw(root: Location, places: list[Location], tree: Path) -> None:
    copied, left_out = [], []
    for place in places:
        relative = place.path[len(root.path) + 1 :]
        target = tree / relative
        try:
            if os.path.normpath(relative) != relative or not target.is_relative_to(tree) or ".." in target.parts:
                raise ValueError("no path of a file")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        except (OSError, ValueError):  # a name that no file can have here, or one that is a folder's as well
            left_out.append(relative)
            continue
        if PurePosixPath(relative).suffix.lower() in COPIED:
            copied.append((place, target))
    if left_out:
        log.warning("left out: %d files whose names cannot be used here, the first is %r", len(left_out), left_out[0])

    def copy(pair: tuple[Location, Path]) -> None:
        place, target = pair
        target.write_bytes(patiently(place.read_bytes))

    for _ in track(at_once(copy, copied), len(copied), "fetching annotations"):
        pass


def _copy_table(root: Location, tree: Path) -> None:
    if "/" not in root.path:  # a whole bucket has nothing beside it
        return
    for ending in BESIDE:
        table = root.parent / f"{root.name}{ending}"
        if patiently(table.is_file):
            tree.with_name(f"{tree.name}{ending}").write_bytes(patiently(table.read_bytes))


@contextmanager
def _told_by_address(tree: Path, address: str) -> Iterator[None]:
    """Errors and log lines that name the tree's files name the address instead."""

    def told(text: str) -> str:
        return text.replace(str(tree), address.partition("?")[0])

    def rewritten(record: logging.LogRecord) -> bool:
        record.msg, record.args = told(record.getMessage()), ()
        return True

    handlers = [*logging.getLogger().handlers, *logging.getLogger("wsshm").handlers]
    for handler in handlers:
        handler.addFilter(rewritten)
    try:
        yield
    except UserError as error:
        error.args = (told(str(error)),)
        raise
    finally:
        for handler in handlers:
            handler.removeFilter(rewritten)
