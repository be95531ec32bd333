"""What a manifest's paths are relative to, and how that is written into its file."""

from __future__ import annotations

import errno
import os
import posixpath
from pathlib import Path

from wsshm.errors import UserError, redacted, without_hidden
from wsshm.files.location import Location


def common_root(root: Path, folder: Path) -> Path:
    """The folder that holds both, links followed: a root for pictures under `root` and new ones in `folder`.

    UserError if there is none, as on two drives.
    """
    try:
        return Path(os.path.commonpath([root.resolve(), folder.resolve()]))
    except ValueError as error:
        raise UserError(f"{folder} is on another drive than {root}; give a folder on that one") from error


def stored_root(root: Path | Location, place: Location) -> str:
    """A root as the manifest at `place` holds it: relative to its folder where possible, and without secrets."""
    if isinstance(root, Location):
        if place.holds(root):
            return posixpath.relpath(root.path, place.parent.path)
        return without_hidden(redacted(root))
    if place.local is None:
        return str(root.resolve())
    try:
        return os.path.relpath(root.resolve(), place.local.parent.resolve())
    except ValueError:  # another drive on Windows
        return str(root.resolve())


def opened_root(root: str, place: Location) -> Path | Location:
    """The root that the manifest at `place` stores."""
    if "://" in root:
        return Location.of(root)
    if place.local is None:
        return Path(root) if root.startswith("/") else place.parent.joined(root)
    folder = place.local.parent / root
    try:
        _refuse_a_loop(folder)
        return folder.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
        raise UserError(f"{place}: its root {root[:60]!r} cannot be followed ({error}); move the manifest") from error


def _refuse_a_loop(folder: Path) -> None:
    """Raise OSError where links lead back to themselves, which Path.resolve is silent about since Python 3.13."""
    try:
        folder.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
