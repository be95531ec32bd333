"""A cluster that dies under a sweep: noticed, said once, and left; what only looks dead is not given up."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest
import ray

from sweeps import watch
from sweeps.watch import ClusterLost, Watch

ME = {"NodeID": "me", "Alive": True, "Resources": {"CPU": 0.0}}
OTHER = {"NodeID": "other", "Alive": True, "Resources": {"CPU": 2.0}}


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch):
    """A port that answers, and a cluster behind it whose nodes a test may change."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        context = SimpleNamespace(gcs_address=address, get_node_id=lambda: "me")
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        told = SimpleNamespace(nodes=[ME, OTHER], close=listener.close)
        monkeypatch.setattr(ray, "nodes", lambda: told.nodes)
        yield told


def test_a_head_is_dead_when_it_does_not_answer_three_times(head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    looking = Watch()
    assert looking.trouble(0.0) == ""
    head.close()
    assert [bool(looking.trouble(float(now))) for now in (1, 2)] == [False, False]
    assert "no longer answers: it was stopped or killed; start it again, then rerun the command" in looking.trouble(3.0)


def test_the_sweeps_own_node_is_missed_at_once_and_another_only_where_no_run_has_room(head) -> None:
    looking = Watch()
    looking.holds_a_run = lambda nodes: any(node["Resources"]["CPU"] for node in nodes)
    assert looking.trouble(0.0) == ""
    head.nodes = [ME, OTHER | {"Alive": False}]
    assert looking.trouble(10.0) == ""  # another may come in its place
    head.nodes = [ME, OTHER | {"Alive": False}, OTHER | {"NodeID": "new"}]
    assert looking.trouble(10.0 + watch.NO_ROOM_S) == ""
    head.nodes = [ME, OTHER | {"Alive": False}]
    assert looking.trouble(1000.0) == ""
    assert "1 of the cluster's 2 nodes are left, too few for any run" in looking.trouble(1001.0 + watch.NO_ROOM_S)
    head.nodes = [ME | {"Alive": False}, OTHER]
    assert "the Ray node that the sweep runs on died" in looking.trouble(0.0)


def test_the_block_ends_with_the_reason_and_nothing_is_left(
    head, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.05)
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in a shell's background is deaf to it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, heard))
    told: list[str] = []
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mine = SimpleNamespace(children=lambda recursive: [psutil.Process(left.pid)])
    monkeypatch.setattr(watch, "psutil", SimpleNamespace(Process=lambda: mine, Error=psutil.Error))
    looking = Watch()
    looking.on_loss = told.append
    began = time.monotonic()
    head.close()
    with pytest.raises(ClusterLost, match="no longer answers"), looking:
        threading.Event().wait(20)  # as Ray's own loop waits
    assert time.monotonic() - began < 10
    assert len(told) == 1
    assert left.wait(10) == -9


def test_a_quiet_cluster_is_left_alone(head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.02)
    looks: list[int] = []
    looking = Watch()
    looking.on_look = lambda nodes: looks.append(len(nodes))
    with looking:
        while len(looks) < 3:
            time.sleep(0.01)
    assert set(looks) == {2}
