"""Where files that can be made again are kept: $WSSHM_CACHE, else ~/.cache/wsshm, else a temporary folder of the user's."""

from __future__ import annotations

import functools
import logging
import os
import stat
import tempfile
from pathlib import Path

from wsshm.errors import UserError

VARIABLE = "WSSHM_CACHE"
log = logging.getLogger(__name__)


def usual_cache() -> Path | None:
    """The cache's folder, made or not; None for a user without a home who names none."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    try:
        return Path.home() / ".cache" / "wsshm"
    except RuntimeError:
        return None


def cache_folder(name: str, *, private: bool = False) -> Path:
    """The folder `name` of the cache, made, which this process can write to.

    Nobody else can write to a `private` one, nor has written to it: what it holds is run. UserError if $WSSHM_CACHE
    names no such place; if the home is none, a temporary folder is used instead, and a log line says so.
    """
    usual = usual_cache()
    try:
        if usual is None:
            raise FileNotFoundError("this user has no home")
        return _made(usual / name, private)
    except OSError as error:
        why = error.strerror or str(error)
        if os.environ.get(VARIABLE):
            raise UserError(
                f"{VARIABLE} names {usual}, whose {name} cannot be used ({why}); name another folder"
            ) from error
    temporary = _temporary(why)
    try:
        return _made(temporary / name, private)
    except OSError as error:
        raise UserError(
            f"nothing can be kept in {temporary} ({error.strerror}); name a folder by {VARIABLE}"
        ) from error


def _made(folder: Path, private: bool) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700 if private else 0o777, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(0, "no permission to write there, or a read-only filesystem", str(folder))
    if private:
        _keep_own(folder)
    return folder


def _keep_own(folder: Path) -> None:
    """Close a folder to all others. PermissionError where it, or what lies in it, is or may have been theirs."""
    if not hasattr(os, "getuid"):  # Windows: a user's folders are the user's
        return
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "others than this user can write to it", str(folder))
    if any(path.lstat().st_uid != os.getuid() for path in (folder, *folder.rglob("*"))):
        raise PermissionError(0, "it is not this user's, or holds what is not", str(folder))
    folder.chmod(0o700)


@functools.cache
def _temporary(why: str) -> Path:
    """One folder for all processes of this user, so that they share it, if it is theirs alone."""
    folder = Path(tempfile.gettempdir()) / f"wsshm-cache-{os.getuid() if hasattr(os, 'getuid') else 'own'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        _keep_own(folder)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="wsshm-cache-"))
    log.info("~/.cache/wsshm cannot be used (%s); using %s, set %s to a folder that lasts", why, folder, VARIABLE)
    return folder
