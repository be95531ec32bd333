"""What a submitted job takes along: the code and the plan in one zip file, without results, data sets and caches."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pathspec

from wsshm.errors import UserError

LIMIT_BYTES = 500e6
"""Ray keeps packages in the head's memory and refuses them from 512 MiB."""

ALWAYS_OUT = (
    *(".git", ".venv*", "venv", "__pycache__", "*.egg-info", "node_modules"),
    *(".*_cache", ".hypothesis", ".cache", "/runs", "/data", "/datasets", "/build", "/dist"),
    *("*.parquet", "*.safetensors", "*.pt", "*.pth", "*.ckpt", "*.onnx", "*.tflite", "*.npy", "*.npz"),
    *("*.zip", "*.tar", "*.tar.*", "*.tgz", "*.mp4", "*.mov", "*.webm"),
)
"""Patterns as in .gitignore; what .gitignore and .rayignore files name is left out besides."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every packed file: the same content is the same package, which is sent once


def packed_files(folder: Path, left_out: Iterable[str] = ()) -> dict[str, Path]:
    """The files of `folder` that travel, by their names in the package; links to folders are not followed.

    `left_out` are more patterns as in .gitignore. UserError where a cluster would not take so much.
    """
    if not folder.is_dir():
        raise UserError(f"--working-dir {folder} is not a folder; give the checkout's, or a URI of a zip file")
    files = dict(_walk(folder, "", [("", pathspec.GitIgnoreSpec.from_lines([*ALWAYS_OUT, *left_out]))]))
    total = sum(path.stat().st_size for path in files.values())
    if total > LIMIT_BYTES:
        raise UserError(
            f"{folder} has {_megabytes(total)} to send and a cluster takes {_megabytes(LIMIT_BYTES)}; name in a file"
            f" .rayignore what can stay here: {', '.join(biggest(files))}"
        )
    return files


def biggest(files: dict[str, Path], count: int = 3) -> list[str]:
    """The folders at the top with the most bytes, as `name 12 MB`."""
    sizes: Counter[str] = Counter()
    for name, path in files.items():
        sizes[name.partition("/")[0]] += path.stat().st_size
    return [f"{name} {_megabytes(size)}" for name, size in sizes.most_common(count)]


def write_package(files: dict[str, Path], target: Path) -> str:
    """Zip the files; returns a description such as `130 files, 1.2 MB`."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (path.stat().st_mode & 0xFFFF) << 16
            archive.writestr(entry, path.read_bytes())
    return f"{len(files)} file{'s' if len(files) != 1 else ''}, {_megabytes(target.stat().st_size)}"


def _walk(folder: Path, prefix: str, rules: list[tuple[str, pathspec.GitIgnoreSpec]]) -> Iterator[tuple[str, Path]]:
    """Files below `folder`, named from the top; each ignore file counts from its own folder down."""
    for name in (".gitignore", ".rayignore"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(errors="replace").splitlines()
            rules = [*rules, (prefix, pathspec.GitIgnoreSpec.from_lines(lines))]
    for path in sorted(folder.iterdir()):
        name = prefix + path.name
        is_folder = path.is_dir()
        inner = name + "/" if is_folder else name
        if any(spec.match_file(inner.removeprefix(start)) for start, spec in rules):
            continue
        if is_folder and not path.is_symlink():
            yield from _walk(path, inner, rules)
        elif path.is_file():
            yield name, path


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size < 10e6 else f"{size / 1e6:.0f} MB"
