"""A cluster that begins as a head without CPUs, and grows by Ray's own autoscaler over its fake provider of nodes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray.util

from bench.store import Store
from tests.sweeps.asking import sweep
from tests.sweeps.test_search import written
from tests.wsshm import tiny

PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"  # what Ray's fake provider calls its head

COMMANDS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands", "rsync_exclude", "rsync_filter"),
)


@contextlib.contextmanager
def growing_cluster(folder: Path, second: bool, largest: int) -> Iterator[str]:
    """A head that drives and up to `largest` nodes of one CPU, by the autoscaler of Ray's first kind or second; yields
    its address."""
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    address = f"{ray.util.get_node_ip_address()}:{port}"
    types = {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "small": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": largest},
    }
    # By its module, not by its name, whose default settings are not in Ray's package.
    provider = {"type": "external", "module": PROVIDER, "gcs_address": address}
    extra = {}
    if second:
        provider |= {"launch_multiple": True, "head_node_id": HEAD_ID}
        names = ("RAY_CLOUD_INSTANCE_ID", "RAY_OVERRIDE_NODE_ID_FOR_TESTING")
        extra = dict.fromkeys(names, HEAD_ID) | {"RAY_enable_autoscaler_v2": "1"}
    config = {
        "cluster_name": "growing",
        "max_workers": largest,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        "provider": provider,
        "available_node_types": types,
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
    } | {key: [] for key in COMMANDS}
    (folder / "autoscaling.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--port={port}", "--num-cpus=0", "--include-dashboard=false", "--object-store-memory=100000000"]
    command += [f"--autoscaling-config={folder / 'autoscaling.json'}"]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    environment |= {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", "RAY_AUTH_MODE": "disabled", **extra}
    with open(folder / "head.log", "w") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.time() + 120
        while "Ray runtime started" not in (folder / "head.log").read_text():
            assert head.poll() is None, (folder / "head.log").read_text()
            assert time.time() < deadline
            time.sleep(0.2)
        yield address
    finally:
        for process in [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        head.wait(60)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_runs_that_wait_bring_nodes(tmp_path: Path, second: bool) -> None:
    """Two runs, each on a node of its own at the same time, though not one node was up when the sweep began."""
    mine = written(tmp_path, tiny.make(tmp_path / "data"), space={"method.blend.threshold": [0.3]}, seeds=[0, 1])
    options = ["--set", "base.method.name=seg_only", "--set", "base.train.steps=40"]
    with growing_cluster(tmp_path, second, largest=2) as address:
        joined = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled"}
        process = sweep(tmp_path / "out", *options, plan=mine, env=joined)
    assert process.returncode == 0, process.err  # type: ignore[attr-defined]
    assert "training 2 runs, 2 at a time" in process.err  # type: ignore[attr-defined]
    runs = Store(tmp_path / "out" / "store").read("runs")
    assert list(runs["status"]) == ["finished"] * 2
    assert runs["started"].max() < runs["finished"].min()
