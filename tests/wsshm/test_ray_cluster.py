"""Joining and starting a cluster: what cannot be is said at once, by the variable that is at fault."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from sweeps.execute import run_plan
from sweeps.plan import load_plan
from wsshm import ray_cluster
from wsshm.config import RunConfig
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.training.one_model import train_single

REFUSED = r"no cluster answers at 127\.0\.0\.1:1, which RAY_ADDRESS names \(connection refused\); unset it"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_dead_clusters_address_is_refused_by_every_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(UserError, match=REFUSED):
        run_plan(load_plan("smoke"), tmp_path / "out")
    with pytest.raises(UserError, match=REFUSED):
        train_single(RunConfig(), Location.of(tmp_path / "out"))
    with pytest.raises(UserError, match=REFUSED):
        ray_cluster.connect()
    assert time.monotonic() - began < 10
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://head:8265", r"for `wsshm sweep submit --address http://head:8265`; unset it"),
        ("ray://head:10001", r"RAY_ADDRESS is ray://head:10001, .* takes its head's own address, such as HOST:6379"),
        ("head", r"RAY_ADDRESS is 'head'; it takes HOST:PORT"),
        ("head:99999", r"RAY_ADDRESS is 'head:99999'; it takes HOST:PORT"),
    ],
)
def test_an_address_of_another_kind_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ray_cluster.check_address(address, "RAY_ADDRESS")


def test_a_server_that_is_no_cluster_is_not_waited_for(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.3)
    with pytest.raises(UserError, match=rf"what answers at 127\.0\.0\.1:{silent}, .* is not the head of a Ray cluster"):
        ray_cluster.check_address(f"127.0.0.1:{silent}", "RAY_ADDRESS")


def test_a_long_temporary_folder_is_passed_over_for_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 60)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(long))
    folder = ray_cluster.temporary_folder()
    assert not folder.is_relative_to(long)
    # A whole name of a socket, as Ray makes it there, is one that the system takes.
    with socket.socket(socket.AF_UNIX) as unix:
        name = folder / f"session_2026-11-29_00-00-00_000000_{os.getpid()}" / "sockets" / "plasma_store"
        name.parent.mkdir(parents=True)
        unix.bind(str(name))
        name.unlink()
        name.parent.rmdir()
        name.parents[1].rmdir()


def test_a_temporary_folder_that_was_named_for_ray_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 60)))
    with pytest.raises(UserError, match=r"RAY_TMPDIR is .*too long for Unix sockets, 40 bytes are the most"):
        ray_cluster.temporary_folder()
    (tmp_path / "file").touch()
    monkeypatch.setattr(ray_cluster, "SESSION_BYTES", 0)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"RAY_TMPDIR is .* \(not a directory\); name a short folder"):
        ray_cluster.temporary_folder()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"\(no such file or directory\); make it, or name another short folder"):
        ray_cluster.temporary_folder()


def test_a_read_only_home_gets_a_token_that_is_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, object] = {}
    monkeypatch.setattr(ray, "init", lambda **options: started.update(options, token=os.environ["RAY_AUTH_TOKEN"]))
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "x")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    ray_cluster.start()
    assert started["address"] == "local"
    assert len(str(started["token"])) == 64
    os.environ.pop("RAY_AUTH_TOKEN")
