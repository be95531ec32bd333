"""File names made of ids: one rule for all that write a file for each sample."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

LONGEST = 100
_PLAIN = re.compile(r"[\w-][\w. ()+,=@~-]*(?<![. ])")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # of Windows, whatever the ending
_MADE = re.compile(r".*-[0-9a-f]{12}", re.IGNORECASE)  # what `readable_name` gives


def readable_name(text: str, key: str) -> str:
    """A file name, without an ending, that shows what can be shown of `text` and is told from others by `key`.

    It has no separator and is neither hidden nor longer than 200 bytes.
    """
    shown = re.sub(r"^\.|[^\w.-]", "_", text)[-60:].encode()[-180:].decode(errors="ignore")
    shown = f"_{shown}" if _DEVICE.fullmatch(shown) else shown
    return f"{shown}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def file_names(ids: Iterable[str]) -> dict[str, str]:
    """A file name, without an ending, for each of some distinct ids, distinct on every filesystem.

    An id that is a plain name stands for itself. One with separators or control characters, a hidden, reserved or too
    long one, or two that differ only by case or Unicode's forms, get names by `readable_name`.
    """
    known = list(ids)
    alike = Counter(map(_folded, known))
    return {name: name if _plain(name) and alike[_folded(name)] == 1 else readable_name(name, name) for name in known}


def _plain(name: str) -> bool:
    short = len(name.encode()) <= LONGEST
    taken = _DEVICE.fullmatch(name) or _MADE.fullmatch(name)
    return bool(short and _PLAIN.fullmatch(name) and name.isprintable() and not taken)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
