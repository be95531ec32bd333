"""Files of your own, named in `WSSHM_PLUGINS=my_method.py,my_package.decoder`, add to what is registered.

Methods, architectures, measures, data layouts, engines and sections of the report can be added so. Each entry is a Python
file's path or a module's name. They are imported when a name is first looked up, once in every process: Ray's workers and
the processes that time models inherit the variable, and so know the same names. A plan or a configuration cannot name
them: reading a document never runs code.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import os
import sys
import zlib
from pathlib import Path

from wsshm.errors import UserError, first_line

VARIABLE = "WSSHM_PLUGINS"
TRAINING = ("torch", "timm")  # what a machine that only builds reports may lack
log = logging.getLogger(__name__)

_imported: set[str] = set()


def named() -> list[str]:
    """The entries of the variable; files by their absolute paths, which the variable then holds as well.

    Processes that are started later may run in another folder.
    """
    given = os.environ.get(VARIABLE, "")
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    entries = [str(Path(entry).expanduser().absolute()) if is_file(entry) else entry for entry in entries]
    if entries:
        os.environ[VARIABLE] = ",".join(entries)
    return entries


def is_file(entry: str) -> bool:
    """Whether an entry is a file's path, not a module's name."""
    return entry.endswith(".py") or "/" in entry


def load() -> None:
    """Import what the variable names and this process has not imported yet. UserError for what cannot be imported.

    On a machine without torch a file that imports it at its top is left out with a warning.
    """
    for entry in named():
        if entry in _imported:
            continue
        _imported.add(entry)  # first: what it imports may look up names
        try:
            if is_file(entry):
                _import_file(Path(entry))
            else:
                importlib.import_module(entry)
        except ModuleNotFoundError as error:
            if error.name not in TRAINING:
                raise _refused(entry, error) from error
            # Without it nothing is trained here: the names that a report looks up are those of other files.
            log.warning("%s is left out, as it imports %s, which is not installed here", entry, error.name)
        except Exception as error:  # whatever a file of the user's own raises
            raise _refused(entry, error) from error


def _refused(entry: str, error: Exception) -> UserError:
    _imported.discard(entry)
    why = first_line(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
    return UserError(
        f"{VARIABLE} names {entry}, which cannot be imported ({why}); correct it, or take it out of the variable"
    )


def identities() -> dict[str, str]:
    """The first 16 hex digits of each file's sha256, or its module's, by its name: what a run's row says of it."""
    found = {}
    for entry in named():
        path = entry if is_file(entry) else _origin(entry)
        if path and Path(path).is_file():
            found[Path(path).name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    return found


def _origin(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:  # of a package that it is said to be in
        return None
    return spec.origin if spec else None


def _import_file(path: Path) -> None:
    if not path.is_file():
        raise UserError("no such file on this machine")
    name = f"wsshm_plugin_{path.stem}_{zlib.crc32(os.fsencode(path)):08x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError("its name does not end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
