"""Filesystems by their address (`s3://bucket/folder`), opened so that one that does not answer says so within a minute.

The one place where an address is opened, and where an object store's errors become sentences.
"""

from __future__ import annotations

import errno
import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from wsshm.errors import UserError, first_line, nearest, redacted

SCHEMES = ("s3", "gs", "abfs", "hdfs")  # that a person is told of
CONNECT_S, SILENCE_S, ATTEMPTS = 5, 10, 4  # with waits between them, well below a minute in all
S3_OPTIONS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("region", "scheme", "endpoint_override", "tls_ca_file_path"), str),
    **dict.fromkeys(("allow_bucket_creation", "allow_bucket_deletion"), lambda text: text.lower() in ("1", "true")),
}
NO_ANSWER = "does not answer; check the address, its endpoint_override and the network"
# What a store's own words hold, and what is said of the address then.
MEANINGS = (
    (
        r"NO_SUCH_BUCKET|bucket does not exist|NoSuchBucket",
        "is in a bucket that does not exist; make the bucket first, or correct its name",
    ),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|INVALID_SIGNATURE|SIGNATURE_DOES_NOT_MATCH|UNRECOGNIZED_CLIENT|EXPIRED_TOKEN"
        r"|MISSING_AUTHENTICATION|INVALID_CLIENT_TOKEN|HTTP (?:status |response code )?40[13]|Unauthenticated|Forbidden",
        "refuses these credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for gs:// and abfs:// what"
        " their clients read) to a key that may read and write there",
    ),
    (
        r"NETWORK_CONNECTION|curlCode|REQUEST_TIMEOUT|SERVICE_UNAVAILABLE|timed? ?out|[Cc]ould ?n.t (?:connect|resolve)",
        NO_ANSWER,
    ),
)


class RemoteError(UserError, OSError):
    """A filesystem that does not answer, or refuses. An OSError as well, for those who try again.

    `said` is the sentence without the address that it begins with, `passing` whether a later try may succeed.
    """

    said, passing = "", False

    @classmethod
    def about(cls, address: str, said: str, passing: bool = False) -> RemoteError:
        """The error of which this is said. (OSError reads two arguments as a number and a text.)"""
        error = cls(f"{address} {said}")
        error.said, error.passing = said, passing
        return error


def check_address(address: str) -> None:
    """Raise UserError for a URI in which nobody can say where the secret ends and the path begins."""
    if re.match(r"[\w+.-]+://[^/@:?]*:(?!\d+/)[^@?]*/[^@?]*@", address):
        raise UserError(
            f"the address {redacted(address)!r} holds a secret with a slash; leave the keys out and set AWS_ACCESS_KEY_ID "
            f"and AWS_SECRET_ACCESS_KEY, or write the slash as %2F"
        )


def open_address(address: str) -> tuple[fs.FileSystem, str]:
    """Pyarrow's filesystem of a URI, and the path in it. Raises UserError for one that cannot be opened."""
    check_address(address)
    try:
        scheme = urlsplit(address).scheme
        filesystem, path = _s3(address) if scheme == "s3" else fs.FileSystem.from_uri(_patient(address, scheme))
    except (UserError, FileNotFoundError):
        raise
    except (pa.ArrowException, ValueError, ImportError, OSError) as error:
        said = redacted(address)
        if "Unrecognized filesystem type" in str(error):
            *others, last = (f"{known}://" for known in SCHEMES)
            raise UserError(
                f"the address {said!r} cannot be opened: {scheme}:// names no filesystem that is known; give a local"
                f" folder, or an address that begins with {', '.join(others)} or {last}"
            ) from None
        why = _meaning(error) or f"cannot be opened: {redacted(first_line(error))}"
        raise UserError(f"the address {said!r} {why}") from error
    return filesystem, path.rstrip("/")


@contextmanager
def reaching(filesystem: fs.FileSystem, address: object) -> Iterator[None]:
    """Errors of a filesystem as sentences about `address`; what is missing stays FileNotFoundError.

    Of a disk only a missing permission is put into words; a full one is left to those who know what was written.
    """
    try:
        yield
    except (FileNotFoundError, UserError):
        raise
    except OSError as error:
        said = redacted(address)
        if error.errno in (errno.EACCES, errno.EPERM):
            raise RemoteError.about(said, "cannot be used: no permission; have its owner give it") from error
        if _is_local(filesystem):
            raise
        known = _meaning(error)
        why = known or f"cannot be used ({redacted(first_line(error))}); rerun the command later"
        raise RemoteError.about(said, why, passing=known in ("", NO_ANSWER)) from error


def _meaning(error: Exception) -> str:
    return next((meaning for words, meaning in MEANINGS if re.search(words, str(error))), "")


def _is_local(filesystem: fs.FileSystem) -> bool:
    while isinstance(filesystem, fs.SubTreeFileSystem):
        filesystem = filesystem.base_fs
    return isinstance(filesystem, fs.LocalFileSystem)


def _patient(address: str, scheme: str) -> str:
    """The address with a limit on tries again, where its filesystem knows one."""
    if scheme not in ("gs", "gcs") or "retry_limit_seconds=" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}retry_limit_seconds=30"


def _s3(address: str) -> tuple[fs.FileSystem, str]:
    parts = urlsplit(address)
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in S3_OPTIONS:
            raise UserError(
                f"the address {redacted(address)!r} has an unknown option {name!r}; {nearest(name, S3_OPTIONS)}"
            )
        options[name] = S3_OPTIONS[name](value)
    keys, _, bucket = parts.netloc.rpartition("@")
    if keys:
        access, _, secret = keys.partition(":")
        options |= {"access_key": unquote(access), "secret_key": unquote(secret)}
    if not bucket or ":" in bucket:
        raise UserError(f"the address {redacted(address)!r} names no bucket; write s3://BUCKET/FOLDER")
    if not {"region", "endpoint_override"} & set(options):
        options["region"] = _region(bucket)
    filesystem = fs.S3FileSystem(
        **options,
        connect_timeout=CONNECT_S,
        request_timeout=SILENCE_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
    return filesystem, unquote(f"{bucket}{parts.path}")


@functools.cache
def _region(bucket: str) -> str:
    return fs.resolve_s3_region(bucket)
