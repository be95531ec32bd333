"""How the measures' loops are compiled, and where the result is kept."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from wsshm.errors import UserError
from wsshm.files.cache import cache_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
# Sums may be taken in any order, so that they fit vector registers; NaN and infinity keep their meaning.
ANY_ORDER = {"reassoc", "contract", "nsz"}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a loop at its first call, to run without Python's lock; later processes find it in a folder."""
    return _compiled(function, False)


def compiled_sums(function: Callable[..., Any]) -> Any:
    """As `compiled`, for floating sums that may be taken in any order."""
    return _compiled(function, ANY_ORDER)


def kept() -> bool:
    """Whether loops lie ready from an earlier process, so that the first call takes no seconds."""
    return _FOLDER is not None and any(_FOLDER.rglob("*.nbc"))


def _compiled(function: Callable[..., Any], fastmath: Any) -> Any:
    # `fastmath` is always said: a function that says nothing of it takes it from whichever calls it first.
    # numba notices a changed file, but not that a function or a number changed that was compiled in from another one:
    # so the folder is named after all that the measures are made of.
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(_FOLDER or "")
    try:
        loop: Any = numba.njit(nogil=True, cache=_FOLDER is not None, fastmath=fastmath, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before
    if _FOLDER is not None:
        # numba names a file by what lies there and writes it later: two processes at once could take one name for two
        # signatures, and every later process the wrong one.
        save = loop._cache.save_overload
        loop._cache.save_overload = lambda *overload: _alone(save, *overload)
    return loop


def _alone(save: Callable[..., None], *overload: Any) -> None:
    """`save`, while no other process does; a full disk leaves it to the next process."""
    assert _FOLDER is not None
    try:
        with (_FOLDER / "lock").open("a") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)  # given back as the file closes
            save(*overload)
    except OSError as error:
        log.info("a compiled loop was not kept (%s)", error)


def _folder() -> Path | None:
    """Where compiled loops are kept; None where nothing can be: then every process compiles its own.

    numba keeps them as pickles, and reading a pickle runs its writer's code: so the folder is the user's own.
    """
    sources = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(file.read_bytes())
    try:
        folder = cache_folder(f"compiled/{sources.hexdigest()[:16]}", private=True)
        (folder / "lock").touch()
    except (OSError, UserError) as error:
        log.info("every process compiles the measures again: %s", error)
        return None
    return folder


_FOLDER = _folder()
