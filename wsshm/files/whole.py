"""Files and folders that are whole or not there, on a disk: written beside their place, then renamed into it.

What is being written has a name that nobody can guess, is always created (a link that lies there is never followed) and
gets the permissions that the umask gives.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_SUFFIX = 16


def write_whole(target: Path, content: bytes | str) -> Path:
    """Write a file (text as UTF-8), making its folder where it is missing; returns `target`. OSError where it cannot be."""
    with whole_file(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return target


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """An empty file, with `target`'s suffix, that becomes `target` when the block ends well, replacing what was there.

    For writers that take a path; they may also replace the file by one of their own.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not the target's own name, which may be as long as a name can be.
    suffix = target.suffix if len(target.suffix) <= LONGEST_SUFFIX else ""
    temporary = target.with_name(f".writing-{uuid.uuid4().hex}{suffix}")
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        error.filename = str(target)  # the name that the user knows
        raise
    try:
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
        yield temporary
        if temporary.stat().st_mode & 0o777 != mode:  # a library's own temporary file is for its owner alone
            temporary.chmod(mode)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well, replacing what was there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(target)
    temporary.mkdir()
    try:
        yield temporary
        old = _beside(target)
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}")
