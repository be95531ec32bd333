"""Looking after the cluster while a sweep runs in it: a dead one is noticed, said, and left.

Ray itself waits for ever for the node that a sweep was on, or ends the process without a word.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import ray

from wsshm import ray_cluster

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
LOOKS = 3
"""A head that does not answer so often in a row is dead."""
NO_ROOM_S = 180.0
"""How long there may be no node with room for a run, where nodes were lost, before the sweep is given up."""
LEAVE_S = 30.0
"""How long a sweep may take to end once its cluster is dead: Ray's own shutdown may wait for the dead."""

Nodes = list[dict[str, Any]]


class ClusterLost(Exception):
    """The cluster died under a sweep. One sentence, with the remedy."""


class Watch:
    """Looks at the cluster in a thread; where it is dead, the block ends with ClusterLost.

    `holds_a_run` tells whether nodes have room for a run, `on_look` is told of the living nodes at every look, `on_loss` why
    the cluster is given up.
    """

    def __init__(self) -> None:
        context = ray.get_runtime_context()
        self.address, self.node = context.gcs_address, context.get_node_id()
        self.holds_a_run: Callable[[Nodes], bool] = lambda nodes: True
        self.on_loss: Callable[[str], None] = lambda why: None
        self.on_look: Callable[[Nodes], None] = lambda nodes: None
        self.lost = ""
        self.silent, self.nodes_once, self.no_room_since = 0, 0, 0.0
        self.stop, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.processes: list[psutil.Process] = []

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.stop.set()
        self.over.set()
        if self.lost:
            _end(self.processes)
            raise ClusterLost(self.lost) from error

    def trouble(self, now: float) -> str:
        """What is wrong with the cluster, as a sentence with a remedy; "" while nothing is."""
        if not _answers(self.address):
            self.silent += 1
            if self.silent < LOOKS:
                return ""
            return f"the head of the Ray cluster at {self.address} no longer answers: it was stopped or killed; {_remedy()}"
        self.silent = 0
        nodes = ray.nodes()
        if any(node["NodeID"] == self.node and not node["Alive"] for node in nodes):
            return (
                f"the Ray node that the sweep runs on died (its raylet was killed, or the machine froze); {_remedy()}"
            )
        alive = [node for node in nodes if node["Alive"]]
        with contextlib.suppress(OSError):
            self.on_look(alive)
        if len(alive) < self.nodes_once:
            log.warning("%d of %d nodes of the cluster are left", len(alive), self.nodes_once)
        gone, self.nodes_once = len(nodes) > len(alive), len(alive)
        if not gone or self.holds_a_run(alive):
            self.no_room_since = 0.0
        elif not self.no_room_since:
            self.no_room_since = now
        elif now - self.no_room_since > NO_ROOM_S:
            return f"{len(alive)} of the cluster's {len(nodes)} nodes are left, too few for any run; {_remedy()}"
        return ""

    def _watch(self) -> None:
        why = ""
        while not why:
            if self.stop.wait(LOOK_EVERY_S):
                return
            why = self.trouble(time.monotonic())
        if self.stop.is_set():  # the sweep has ended its cluster itself meanwhile
            return
        self.lost = why
        self.processes = psutil.Process().children(recursive=True)
        with contextlib.suppress(OSError):
            self.on_loss(self.lost)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if not self.over.wait(LEAVE_S):  # the main thread hangs in Ray
            print(f"error: {self.lost}", file=sys.stderr, flush=True)
            _end(self.processes)
            os._exit(1)


_GOES_ON = "rerun the command: the sweep goes on where it stopped"


def _remedy() -> str:
    return f"start it again, then {_GOES_ON}" if ray_cluster.named() else _GOES_ON


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_EVERY_S).close()
    except OSError:
        return False
    return True


def _end(processes: list[psutil.Process]) -> None:
    """End what this process had started, and Ray left: it does not end the processes of a cluster whose head is dead."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
