"""The exception that every command turns into one sentence and exit status 2, and text made safe to print."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
NEVER_SHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line and paragraph separators
HIDDEN = "***"
# Who asks, where it holds a password (which may hold a slash that should have been written %2F) or stands before a host.
_USERINFO = re.compile(r"(?<=://)(?:[^\s/@:?]*:(?!\d+[/?])[^\s@?]*|[^\s/@?]+)@")
_QUERY = re.compile(r"([?&])([\w.-]+)=([^\s&#'\"]+)")
_ADDRESS = re.compile(r"\w[\w+.-]*://[^\s'\"]+")
_HARMLESS = frozenset(  # of a filesystem's address: what is no secret, and helps to see which place is meant
    ("endpoint_override", "scheme", "region", "allow_bucket_creation", "allow_bucket_deletion", "tls_ca_file_path")
)


class UserError(Exception):
    """Something the user gave is wrong. The message is one sentence that names the thing and the remedy."""


def nearest(name: str, choices: Iterable[str], count: int = 3) -> str:
    """The valid choices closest to `name`, as text for an error message.

    >>> nearest("mbl", ["mlb", "joint"])
    "the nearest valid choice is 'mlb'"
    """
    known = sorted(set(choices))
    close = difflib.get_close_matches(name, known, n=count, cutoff=0.5)
    if len(close) == 1:
        return f"the nearest valid choice is {close[0]!r}"
    if close:
        return "the nearest valid choices are " + ", ".join(map(repr, close))
    listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"valid choices are {listed}"


def printable(text: str, keep: str = "") -> str:
    """Text from a file or its name, fit for a terminal: what controls one or cannot be encoded is escaped.

    Characters in `keep` (such as a newline) stay.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or not _escapes(c) else _escaped(c) for c in text)


def first_line(error: BaseException) -> str:
    """The first line of an error's own words, else its type; without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def last_sentence(error: BaseException) -> str:
    """An error's own words; a data loader's process wraps them in a traceback, whose last line they are."""
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__name__}: ")


def _escapes(character: str) -> bool:
    return character in REORDERING or unicodedata.category(character) in NEVER_SHOWN


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def without_hidden(address: str) -> str:
    """An address that was written down `redacted`, to be used with what the environment knows (AWS_ACCESS_KEY_ID, ...)."""
    if HIDDEN not in address:
        return address
    address, _, query = address.replace(f"{HIDDEN}@", "").partition("?")
    kept = "&".join(part for part in query.split("&") if part and not part.endswith(f"={HIDDEN}"))
    return f"{address}?{kept}" if kept else address


def redacted(text: object) -> str:
    """`text` (an address, or prose with addresses in it) without passwords, keys and tokens.

    What stands before an `@`, and query values that are not known to be harmless, become `***`.

    >>> redacted("s3://KEY:SECRET@bucket/out?region=eu-west-1&token=abc")
    's3://***@bucket/out?region=eu-west-1&token=***'
    """
    return _ADDRESS.sub(lambda found: _without_secrets(found[0]), str(text))


def _without_secrets(address: str) -> str:
    return _QUERY.sub(
        lambda part: part[0] if part[2] in _HARMLESS else f"{part[1]}{part[2]}={HIDDEN}",
        _USERINFO.sub(f"{HIDDEN}@", address, count=1),
    )
