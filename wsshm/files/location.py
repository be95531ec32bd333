"""Files and folders on any filesystem that pyarrow opens: a disk, a shared mount, an object store.

Everything is whole or not there. On a disk that is a rename; an object store has none, so there a folder is whole once
the file that is written last is in it.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import posixpath
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pyarrow as pa
from pyarrow import fs

from wsshm.errors import UserError, first_line, redacted
from wsshm.files.filesystems import RemoteError, check_address, open_address, reaching
from wsshm.files.whole import whole_folder, write_whole

STREAM_BYTES = 8 << 20


@dataclass(frozen=True)
class Location:
    """A file or folder: `base` is `""` for a local path, else the URI up to `path`; `query` what follows a `?`."""

    base: str
    path: str
    query: str = ""

    @classmethod
    def of(cls, place: str | os.PathLike[str] | Location) -> Location:
        """A location from a path (made absolute) or a URI such as `s3://bucket/folder?endpoint_override=HOST`.

        Raises UserError for a URI that cannot be opened.
        """
        if isinstance(place, Location):
            return place
        text = os.fspath(place)
        if "://" not in text:
            return cls("", os.path.abspath(os.path.expanduser(text)))
        check_address(text)
        scheme, _, rest = text.partition("://")
        rest, _, query = rest.partition("?")
        if scheme == "file":
            return cls("", os.path.abspath(rest))
        location = cls(f"{scheme}://", rest.rstrip("/"), query)
        _ = location.filesystem  # says at once what is wrong with it
        return location

    def __str__(self) -> str:
        return f"{self.base}{self.path}" + (f"?{self.query}" if self.query else "")

    def __truediv__(self, name: str) -> Location:
        return Location(self.base, f"{self.path}/{name}", self.query)

    def joined(self, path: str) -> Location:
        """The file or folder at a relative path from here, `..` included. UserError where it would leave the bucket."""
        if not self.base:
            return Location("", os.path.abspath(os.path.join(self.path, path)))
        bucket, _, folder = self.path.partition("/")
        inside = posixpath.normpath(posixpath.join(folder, path))
        if inside.startswith("..") or path.startswith("/"):
            raise UserError(f"{path!r} is not in the bucket of {redacted(self)}; give its whole address")
        return replace(self, path=bucket if inside == "." else f"{bucket}/{inside}")

    def holds(self, other: Location) -> bool:
        """Whether `other` is on the same filesystem (of an object store: in the same bucket)."""
        same = (self.base, self.query) == (other.base, other.query)
        return same and (not self.base or self.path.partition("/")[0] == other.path.partition("/")[0])

    @property
    def parent(self) -> Location:
        """The folder that this is in."""
        return replace(self, path=self.path.rpartition("/")[0] or "/")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def local(self) -> Path | None:
        """The path, where this is on a filesystem of this machine."""
        return None if self.base else Path(self.path)

    @property
    def filesystem(self) -> fs.FileSystem:
        """Pyarrow's filesystem, on which `inner` is the path."""
        return _opened(self.base, self.path, self.query)[0]

    @property
    def inner(self) -> str:
        """The path as `filesystem` takes it."""
        return self.path if not self.base else _opened(self.base, self.path, self.query)[1]

    def exists(self) -> bool:
        """Whether a file or folder is here."""
        return self._info().type != fs.FileType.NotFound

    def is_folder(self) -> bool:
        """Whether a folder is here."""
        return self._info().type == fs.FileType.Directory

    def is_file(self) -> bool:
        """Whether a file is here."""
        return self._info().type == fs.FileType.File

    def modified(self) -> float:
        """When the file was last written, in seconds since 1970. FileNotFoundError if there is none."""
        info = self._found()
        return (info.mtime_ns or 0) / 1e9

    def state(self) -> tuple[int, int]:
        """What changes when the file is replaced: its size in bytes and when it was written. FileNotFoundError if missing."""
        info = self._found()
        return info.size or 0, info.mtime_ns or 0

    def read_bytes(self) -> bytes:
        """The file's content. FileNotFoundError if there is none, another OSError where it is not a plain file."""
        if self.local is not None:
            if self.local.exists() and not self.local.is_file():  # of a pipe, reading might never end
                raise OSError(errno.EINVAL, "not a plain file", self.path)
            return self.local.read_bytes()
        with self._reached() as filesystem, filesystem.open_input_file(self.inner) as file:
            return file.read()

    def read_range(self, offset: int, size: int) -> bytes:
        """`size` bytes of the file from `offset` on; fewer where it ends before. FileNotFoundError if there is none."""
        with self._reached() as filesystem, filesystem.open_input_file(self.inner) as file:
            length = file.size()
            return file.read_at(max(0, min(size, length - offset)), min(offset, length))

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file as a stream that is read from its begin to its end, in large pieces."""
        with self._reached() as filesystem, filesystem.open_input_stream(self.inner, compression=None) as stream:
            yield io.BufferedReader(stream, STREAM_BYTES)

    def read_text(self) -> str:
        """The file's content as text. FileNotFoundError if there is none."""
        return self.read_bytes().decode()

    def write_text(self, text: str) -> None:
        """Write the file, whole or not at all."""
        self.write_bytes(text.encode())

    def write_bytes(self, content: bytes) -> None:
        """Write the file, whole or not at all."""
        local = self.local
        if local is None:
            with self._reached() as filesystem, filesystem.open_output_stream(self.inner, compression=None) as stream:
                stream.write(content)
            return
        write_whole(local, content)

    def listing(self) -> list[Location]:
        """What lies in the folder, sorted by name; hidden (temporary) things are left out. Empty if there is none."""
        with self._reached() as filesystem:
            infos = filesystem.get_file_info(fs.FileSelector(self.inner, allow_not_found=True))
        return [self / name for name in sorted(i.base_name for i in infos) if name and not name.startswith(".")]

    def files(self, deep: bool = True) -> list[tuple[Location, int]]:
        """Every file below the folder, or in it alone, with its size in bytes."""
        with self._reached() as filesystem:
            infos = filesystem.get_file_info(fs.FileSelector(self.inner, allow_not_found=True, recursive=deep))
        prefix = len(self.inner) + 1
        return [(self / i.path[prefix:], i.size) for i in infos if i.type == fs.FileType.File]

    def delete(self) -> None:
        """Remove the file, or the folder with all in it. Nothing there is fine."""
        local = self.local
        if local is not None:
            if local.is_dir() and not local.is_symlink():
                shutil.rmtree(local, ignore_errors=True)
            else:
                local.unlink(missing_ok=True)
            return
        kind = self._info().type
        with self._reached() as filesystem:
            if kind == fs.FileType.Directory:
                filesystem.delete_dir(self.inner)
            elif kind == fs.FileType.File:
                filesystem.delete_file(self.inner)

    def upload(self, folder: Path, last: str | None = None) -> None:
        """Copy all files of a local folder here, the file `last` after all others."""
        names = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
        for name in sorted(names, key=lambda n: n == last):
            (self / name).upload_file(folder / name)

    def upload_file(self, file: Path) -> None:
        """Copy a local file here. On an object store it is whole or not there."""
        if self.local is not None:
            self.local.parent.mkdir(parents=True, exist_ok=True)
        with (
            self._reached() as filesystem,
            open(file, "rb") as source,
            filesystem.open_output_stream(self.inner, compression=None) as target,
        ):
            shutil.copyfileobj(source, _Writable(target), 1 << 22)

    def download(self, folder: Path) -> None:
        """Copy all files below this folder into a local one."""
        for file, _ in self.files():
            target = folder / file.path[len(self.path) + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                self._reached() as filesystem,
                filesystem.open_input_stream(file.inner, compression=None) as source,
                open(target, "wb") as out,
            ):
                shutil.copyfileobj(source, out, 1 << 22)

    def fetched(self, scratch: Path | None) -> Path:
        """A local folder with what is here: this one itself, or a copy in `scratch` (made once)."""
        if self.local is not None:
            return self.local
        copy = self._copy_in(scratch)
        if not copy.exists():
            with whole_folder(copy) as temporary:
                self.download(temporary)
        return copy

    def forget(self, scratch: Path | None) -> None:
        """Drop the copy that `fetched` made, if any: it is fetched again the next time."""
        if self.local is None:
            shutil.rmtree(self._copy_in(scratch), ignore_errors=True)

    @contextmanager
    def new_folder(self, last: str) -> Iterator[Path]:
        """A local temporary folder that becomes this folder when the block ends well, replacing what was there.

        On an object store the file `last` is removed first and written last: with it the folder is whole.
        """
        if self.local is not None:
            with whole_folder(self.local) as temporary:
                yield temporary
            return
        with TemporaryDirectory() as name:
            yield Path(name)
            (self / last).delete()
            self.upload(Path(name), last)

    def _copy_in(self, scratch: Path | None) -> Path:
        assert scratch is not None, "a remote folder is read by way of a scratch folder"
        return scratch / f"{self.name}-{uuid.uuid5(uuid.NAMESPACE_URL, str(self)).hex}"

    def _found(self) -> fs.FileInfo:
        info = self._info()
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))
        return info

    def _info(self) -> fs.FileInfo:
        with self._reached() as filesystem:
            return filesystem.get_file_info(self.inner)

    @contextmanager
    def _reached(self) -> Iterator[fs.FileSystem]:
        """The filesystem; one that does not answer or refuses says so in a sentence."""
        with reaching(self.filesystem, self):
            yield self.filesystem


def check_writable(folder: Location, option: str) -> None:
    """Raise UserError unless a file can be written into `folder` (named `option` to the user) and read back."""
    probe = folder / f"probe-{uuid.uuid4().hex}"
    try:
        probe.write_text("wsshm")
        probe.read_text()
        probe.delete()
    except RemoteError as error:
        raise UserError(f"{option} {redacted(folder)} {error.said}") from error
    except OSError as error:
        raise UserError(
            f"{option} {redacted(folder)} cannot be written to ({first_line(error)}); check that it exists, its address and"
            " its permissions"
        ) from error


class _Writable(io.RawIOBase):
    """Pyarrow's stream as `copyfileobj` wants it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self.stream = stream

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self.stream.write(content)
        return len(content)


def _opened(base: str, path: str, query: str) -> tuple[fs.FileSystem, str]:
    if not base:
        return _local(), path
    top, _, rest = path.partition("/")
    filesystem, root = _remote(f"{base}{top}" + (f"?{query}" if query else ""))
    return filesystem, f"{root}/{rest}" if rest else root


@functools.cache
def _local() -> fs.FileSystem:
    return fs.LocalFileSystem()


@functools.lru_cache
def _remote(uri: str) -> tuple[fs.FileSystem, str]:
    return open_address(uri)
