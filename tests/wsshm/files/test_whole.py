"""Files that are whole or not there: what a reader, a link, the umask and a failing writer see of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from wsshm.files.whole import whole_file, whole_folder, write_whole


@pytest.fixture(params=[0o022, 0o077], ids=oct)
def mode(request: pytest.FixtureRequest) -> Iterator[int]:
    """What a new file's permissions are under a umask."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


def test_files_get_what_the_umask_gives_whoever_writes_them(tmp_path: Path, mode: int) -> None:
    write_whole(tmp_path / "deep" / "text", "grüße")
    with whole_file(tmp_path / "weights.safetensors") as temporary:
        assert temporary.suffix == ".safetensors"
        safetensors.torch.save_file({"a": torch.zeros(2)}, temporary)  # by a file of its own, for its owner alone
    assert (tmp_path / "deep" / "text").read_bytes() == "grüße".encode()
    assert safetensors.torch.load_file(tmp_path / "weights.safetensors")["a"].tolist() == [0, 0]
    for name in ("deep/text", "weights.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    assert write_whole(tmp_path / ("n" * 251 + ".png"), b"x").read_bytes() == b"x"


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "precious")
    write_whole(tmp_path / "out", "new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "out").is_symlink()
    assert (tmp_path / "out").read_text() == "new"


def test_a_failed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    with whole_folder(tmp_path / "folder") as temporary:
        (temporary / "a").write_text("old")

    def fail_file() -> None:
        with whole_file(tmp_path / "file") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    def fail_folder() -> None:
        with whole_folder(tmp_path / "folder") as temporary:
            (temporary / "a").write_text("half")
            raise RuntimeError

    for fail in (fail_file, fail_folder):
        with pytest.raises(RuntimeError):
            fail()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "a").read_text() == "old"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder where nobody can make a file")
def test_where_no_file_can_be_made_the_targets_own_name_is_said() -> None:
    with pytest.raises(OSError, match=r"labels\.parquet") as refused:
        write_whole(Path("/proc/labels.parquet"), "x")
    assert refused.value.filename == "/proc/labels.parquet"
