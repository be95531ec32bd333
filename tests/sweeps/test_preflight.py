"""What is found on a cluster's nodes before a sweep, and what is said about it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import requests
from ray import cloudpickle
from ray.cluster_utils import Cluster

from bench.provenance import CHECKOUT
from sweeps import preflight
from sweeps.preflight import Needs, Node, check_nodes, faults, refuse_job_folder, table
from wsshm.errors import UserError
from wsshm.files.location import Location

OUT = Location.of("/shared/out")
VERSIONS = {"python": "3.11.7", "wsshm-bench": "0.1.0", "torch": "2.15.0", "timm": "1.0.31", "ray": "2.60.0"}
GOOD = Node("a", 1, VERSIONS, True, True, "", 1e12, 1e11, 8e9, 1)


def test_sound_nodes_have_no_fault() -> None:
    nodes = [GOOD, replace(GOOD, name="b", ray_gpus=0, torch_gpus=None, shared_memory=None, out_free=None)]
    assert faults(nodes, OUT, Needs(out_bytes=1e11, loader_workers=4)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"silent": "did not answer within 90 s"}, "b did not answer within 90 s; see `ray status`"),
        (
            {"reads": False, "writes": False},
            "b does not see /shared/out; give a folder on storage that all nodes share",
        ),
        (
            {"reads": False, "writes": False, "trouble": "no credentials"},
            "b does not see /shared/out (no credentials);",
        ),
        ({"writes": False, "trouble": "Permission denied"}, "b sees /shared/out but cannot write to it (Permission"),
        ({"writes": False}, "what b writes to /shared/out is not seen here"),
        ({"versions": VERSIONS | {"torch": "2.14.0"}}, "torch is 2.14.0 on b, 2.15.0 elsewhere; install the same"),
        ({"versions": VERSIONS | {"wsshm-bench": None}}, "wsshm-bench is missing on b, 0.1.0 elsewhere;"),
        ({"out_free": 1e9}, "b has 1.0 GB free at /shared/out and the sweep needs about 2.0 GB; free some space"),
        ({"temporary_free": 5e8}, "b has 0.5 GB free for Ray's temporary files and needs 1.0 GB;"),
        ({"shared_memory": 64e6}, "b has 0.1 GB free in /dev/shm, too little for 4 loader workers;"),
        ({"torch_gpus": 0}, "Ray counts 1 GPUs on b and torch can use 0; check the driver's version"),
    ],
)
def test_each_fault_is_one_sentence_that_names_the_node(change: dict, sentence: str) -> None:
    nodes = [GOOD, replace(GOOD, name="b", **change), replace(GOOD, name="c")]
    (found,) = faults(nodes, OUT, Needs(out_bytes=2e9, loader_workers=4))
    assert found.startswith(sentence)


def test_shared_memory_matters_to_loader_workers_only() -> None:
    assert faults([replace(GOOD, shared_memory=64e6)], OUT, Needs(loader_workers=0)) == []


def test_a_package_that_no_node_has_is_missing_on_all() -> None:
    nodes = [replace(GOOD, name=name, versions=VERSIONS | {"timm": None}) for name in "abcde"]
    (found,) = faults(nodes, OUT, Needs())
    assert found.startswith("timm is missing on a, missing on b, missing on c and 2 more; install")


def test_the_table_is_aligned() -> None:
    lines = table(
        [GOOD, replace(GOOD, name="a-longer-name", writes=False, out_free=None, torch_gpus=None)]
    ).splitlines()
    column = lines[0].index("OUT")
    assert [line[column:].split("  ")[0] for line in lines] == ["OUT", "read, write", "read"]
    assert lines[1].endswith("1000.0 GB  100.0 GB   8.0 GB    1 of 1")


def test_a_jobs_own_folder_is_no_place_for_results() -> None:
    folder = "/tmp/ray/session_x/runtime_resources/working_dir_files/_ray_pkg_1/runs/smoke"
    with pytest.raises(UserError, match=r"lies in the job's temporary folder, .* give an absolute folder"):
        refuse_job_folder(Location.of(folder))
    assert refuse_job_folder(OUT) == OUT


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no cluster answers at 127\.0\.0\.1:1, which --address names \(.*refused\); give"
    ):
        preflight.preflight(str(tmp_path), "127.0.0.1:1")


def test_a_node_without_the_package_can_say_so(tmp_path: Path) -> None:
    """The probe travels by value, so that the node need not have the code that asks."""
    travelling = tmp_path / "probe"
    travelling.write_bytes(cloudpickle.dumps(preflight._probe()))
    code = f"import pickle; p = pickle.load(open({str(travelling)!r}, 'rb')); import sys; sys.modules['wsshm'] = None"
    code += f"; print(pickle.dumps(p({str(tmp_path)!r}, 'word', 'id', '/nowhere/sockets/store', False)).hex())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = pickle.loads(bytes.fromhex(done.stdout))
    assert "wsshm-bench" not in told["versions"]
    assert told["versions"]["ray"] == ray.__version__
    assert (told["reads"], told["trouble"]) == (False, "import of wsshm halted; None in sys.modules")


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    # The nodes' processes inherit these: credentials for the object store that one test stands up.
    keys = pytest.MonkeyPatch()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        keys.setenv(name, "testing")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 10**8})
    cluster.add_node(num_cpus=1, object_store_memory=10**8)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    keys.undo()


@pytest.mark.ray
def test_a_real_cluster_is_asked(two_nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "TEMPORARY_BYTES", 0.0)
    nodes = check_nodes(tmp_path / "new" / "out")
    assert len(nodes) == 2
    for node in nodes:
        assert node.reads
        assert node.writes
        assert node.versions["ray"] == ray.__version__
        assert (node.out_free or 0) > 0
    assert list((tmp_path / "new" / "out").iterdir()) == []
    with pytest.raises(UserError, match=r"has .* GB free at .* and the sweep needs about 1000000000\.0 GB"):
        check_nodes(tmp_path, Needs(out_bytes=1e18))


@pytest.mark.ray
def test_the_command_prints_table_and_faults(two_nodes: Cluster, tmp_path: Path) -> None:
    def preflight(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sweeps", "preflight", "--out", str(tmp_path), "--address", two_nodes.address]
        return subprocess.run([*command, *options], cwd=CHECKOUT, capture_output=True, text=True, timeout=120)

    done = preflight("--nodes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows, end = done.stdout.splitlines()
    assert head.split()[:3] == ["node", "python", "wsshm-bench"]
    assert len(rows) == 2
    assert all("read, write" in row for row in rows)
    assert end == "2 nodes, no fault"
    late = preflight("--timeout", "0")
    assert late.returncode == 1
    assert late.stdout.count("did not answer within 0 s; see `ray status`") == 2


@pytest.mark.ray
def test_storage_that_is_not_shared_is_found(
    two_nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that leads each process to a folder of its own stands in for a folder that each node has of its own."""
    monkeypatch.chdir(tmp_path)
    out = "/proc/self/cwd/out"
    if not Path("/proc/self/cwd").exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(UserError, match=rf"does not see {out}; give a folder on storage that all nodes share"):
        check_nodes(out)


@pytest.mark.ray
def test_an_object_store_is_seen_by_all(two_nodes: Cluster) -> None:
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        requests.put(f"http://{host}:{port}/bucket", timeout=10)
        out = f"s3://bucket/out?scheme=http&endpoint_override={host}:{port}&region=us-east-1"
        nodes = check_nodes(out)
        assert [(node.reads, node.writes, node.out_free) for node in nodes] == [(True, True, None)] * 2
        assert Location.of(out).files() == []
    finally:
        server.stop()


@pytest.mark.ray
def test_a_node_that_hangs_is_named(two_nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = ray.get_runtime_context().get_node_id()
    real = preflight._probe()

    def slow(folder: str, word: str, node_id: str, store: str, with_gpus: bool) -> dict:
        if node_id != head:
            time.sleep(60)
        return real(folder, word, node_id, store, with_gpus)

    monkeypatch.setattr(preflight, "_probe", lambda: slow)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"^\S+ did not answer within 8 s; see `ray status`"):
        check_nodes(tmp_path, timeout_s=8)
    assert time.monotonic() - started < 30


@pytest.mark.ray
def test_a_node_that_dies_meanwhile_is_named(
    two_nodes: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = two_nodes.add_node(num_cpus=1, object_store_memory=10**8)
    two_nodes.wait_for_nodes()
    real = preflight._probe()
    doomed = dying.node_id

    def slow(folder: str, word: str, node_id: str, store: str, with_gpus: bool) -> dict:
        if node_id == doomed:
            time.sleep(60)
        return real(folder, word, node_id, store, with_gpus)

    monkeypatch.setattr(preflight, "_probe", lambda: slow)
    timer = threading.Timer(3, lambda: two_nodes.remove_node(dying))
    timer.start()
    with pytest.raises(UserError, match=rf"^\S+/{doomed[:6]} (could not be checked|did not answer)"):
        check_nodes(tmp_path, timeout_s=30)
    timer.join()
