"""Is every node of a cluster fit for a sweep: versions, storage that all share, room on disk and in memory, GPUs.

Asked before anything is trained, of the nodes that are there; one that an autoscaler adds later is not looked at.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from wsshm import ray_cluster
from wsshm.errors import UserError
from wsshm.files.location import Location, check_writable

PACKAGES = ("wsshm-bench", "torch", "timm", "ray")
TEMPORARY_BYTES = 1e9
"""Room for Ray's logs, packages and spilled objects."""
SHARED_MEMORY_BYTES = 1e9
"""What data loader processes need to hand over batches; a container's default of 64 MB ends in bus errors."""
TIMEOUT_S = 90.0
JOIN_S = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Node:
    """What was found on one node. Sizes in bytes, None if there is nothing to measure or it was not asked."""

    name: str
    ray_gpus: float = 0.0
    versions: dict[str, str | None] = field(default_factory=dict)
    reads: bool = False
    writes: bool = False
    trouble: str = ""
    out_free: float | None = None
    temporary_free: float | None = None
    shared_memory: float | None = None
    torch_gpus: int | None = None
    silent: str = ""


@dataclass(frozen=True)
class Needs:
    """What a sweep needs of every node; `out_bytes` of the storage, on which `loader_workers` read ahead."""

    out_bytes: float = 0.0
    loader_workers: int = 0


def check_nodes(
    out: str | os.PathLike[str] | Location, needs: Needs | None = None, timeout_s: float = TIMEOUT_S
) -> list[Node]:
    """Look at every node of the cluster that Ray is connected to. UserError with the first fault; all are logged.

    A cluster of one node shares with itself: there only OUT is tried, which costs nothing.
    """
    import ray

    location = refuse_job_folder(Location.of(out))
    if sum(node["Alive"] for node in ray.nodes()) < 2:
        check_writable(location, "--out")
        return []
    nodes = inspect_nodes(location, timeout_s)
    found = faults(nodes, location, needs or Needs())
    if found:
        for sentence in found[1:]:
            log.error("%s", sentence)
        raise UserError(found[0])
    return nodes


def refuse_job_folder(out: Location) -> Location:
    """Raise UserError where OUT lies in a submitted job's own folder, which Ray removes; else OUT again."""
    if out.local and "runtime_resources/working_dir_files" in str(out):
        raise UserError(
            "a relative folder (--out, stages) lies in the job's temporary folder, which does not outlive the cluster;"
            " give an absolute folder on storage that all nodes share, or a URI"
        )
    return out


def inspect_nodes(out: Location, timeout_s: float = TIMEOUT_S) -> list[Node]:
    """What each living node answers, in the order of their names; the head first is not promised.

    One task a node, pinned to it and free of resources; a node that does not answer within `timeout_s` is `silent`.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check_writable(out, "--out")
    folder = out / f".preflight-{uuid.uuid4().hex[:12]}"
    word = uuid.uuid4().hex
    (folder / "driver").write_text(word)
    alive = [node for node in ray.nodes() if node["Alive"]]
    names = _names(alive)
    probe = ray.remote(num_cpus=0, max_retries=0)(_probe())
    asked = {
        probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            str(folder), word, node["NodeID"], node["ObjectStoreSocketName"], bool(node["Resources"].get("GPU"))
        ): node
        for node in alive
    }
    answers: list[Node] = []
    try:
        ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
        for task in [*ready, *late]:
            node = asked[task]
            name, gpus = names[node["NodeID"]], node["Resources"].get("GPU", 0.0)
            if task in late:
                ray.cancel(task, force=True)
                silence = f"did not answer within {timeout_s:g} s"
                answers.append(Node(name, gpus, silent=silence))
                continue
            try:
                told = ray.get(task)
            except ray.exceptions.RayError as error:
                answers.append(Node(name, gpus, silent=f"could not be checked ({_first_line(error)})"))
                continue
            with contextlib.suppress(OSError):
                told["writes"] = (folder / node["NodeID"]).read_text() == word
            answers.append(Node(name, gpus, **told))
    finally:
        with contextlib.suppress(OSError):
            folder.delete()
    return sorted(answers, key=lambda answer: answer.name)


def faults(nodes: Iterable[Node], out: Location, needs: Needs) -> list[str]:
    """One sentence for each fault, the worst kind first."""
    nodes = list(nodes)
    found = [f"{n.name} {n.silent}; see `ray status`, and the node's own logs" for n in nodes if n.silent]
    asked = [n for n in nodes if not n.silent]
    for n in asked:
        if not n.reads:
            why = f" ({n.trouble})" if n.trouble else ""
            found.append(f"{n.name} does not see {out}{why}; give a folder on storage that all nodes share by --out")
        elif n.trouble:
            found.append(f"{n.name} sees {out} but cannot write to it ({n.trouble}); check its permissions there")
        elif not n.writes:
            found.append(f"what {n.name} writes to {out} is not seen here; give storage that all nodes share by --out")
    found += _differences(asked)
    for n in asked:
        if n.out_free is not None and n.out_free < needs.out_bytes:
            found.append(
                f"{n.name} has {_gigabytes(n.out_free)} free at {out} and the sweep needs about"
                f" {_gigabytes(needs.out_bytes)}; free some space or give another place by --out"
            )
        if n.temporary_free is not None and n.temporary_free < TEMPORARY_BYTES:
            found.append(
                f"{n.name} has {_gigabytes(n.temporary_free)} free for Ray's temporary files and needs"
                f" {_gigabytes(TEMPORARY_BYTES)}; free some space there or start Ray with --temp-dir on another disk"
            )
        if needs.loader_workers and n.shared_memory is not None and n.shared_memory < SHARED_MEMORY_BYTES:
            found.append(
                f"{n.name} has {_gigabytes(n.shared_memory)} free in /dev/shm, too little for {needs.loader_workers} loader"
                " workers; give the container more (--shm-size, or an emptyDir of medium Memory) or set"
                " base.train.loader_workers=0"
            )
        if n.torch_gpus is not None and n.torch_gpus < n.ray_gpus:
            found.append(
                f"Ray counts {n.ray_gpus:g} GPUs on {n.name} and torch can use {n.torch_gpus}; check the driver's version"
                " (nvidia-smi) against torch's CUDA"
            )
    return found


def table(nodes: Iterable[Node]) -> str:
    """The answers as aligned text, one line a node."""
    heads = ["node", "python", *PACKAGES, "OUT", "free", "temporary", "/dev/shm", "GPUs"]
    rows = [heads]
    for n in nodes:
        storage = "read, write" if n.writes else "read" if n.reads else "-"
        versions = [n.versions.get(name) or "-" for name in ("python", *PACKAGES)]
        sizes = [_gigabytes(size) for size in (n.out_free, n.temporary_free, n.shared_memory)]
        gpus = f"{n.torch_gpus} of {n.ray_gpus:g}" if n.torch_gpus is not None else "-"
        rows.append([n.name, *versions, storage, *sizes, gpus])
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def preflight(
    out: str, address: str | None, loader_workers: int = 0, expected: int = 1, timeout_s: float = TIMEOUT_S
) -> int:
    """Join the cluster at `address` (or RAY_ADDRESS, or the one on this machine), print table and faults; 1 with any.

    Waits up to `JOIN_S` for `expected` nodes; fewer are a fault.
    """
    import ray

    location = refuse_job_folder(Location.of(out))
    source = ray_cluster.ADDRESS_VARIABLE if not address and ray_cluster.named() else "--address"
    target = address or ray_cluster.named() or "auto"
    ray_cluster.join(target, source, log_to_driver=False, logging_level=logging.ERROR)
    try:
        deadline = time.monotonic() + JOIN_S
        while sum(node["Alive"] for node in ray.nodes()) < expected and time.monotonic() < deadline:
            time.sleep(1)
        nodes = inspect_nodes(location, timeout_s)
    finally:
        ray.shutdown()
    print(table(nodes), flush=True)
    found = faults(nodes, location, Needs(loader_workers=loader_workers))
    if len(nodes) < expected:
        found.insert(0, f"{len(nodes)} of {expected} nodes are there; look into the logs of those that did not join")
    for sentence in found:
        print(f"fault: {sentence}", flush=True)
    if not found:
        print(f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}, no fault", flush=True)
    return 1 if found else 0


def _probe() -> Callable[..., dict[str, Any]]:
    """What runs on a node. Made here, so that it travels by value: a node without this package can still say so."""

    def probe(folder: str, word: str, node_id: str, store_socket: str, with_gpus: bool) -> dict[str, Any]:
        import importlib.metadata
        import os
        import platform
        import shutil
        import subprocess
        import sys
        from pathlib import Path

        told: dict[str, Any] = {"versions": {"python": platform.python_version()}, "reads": False, "trouble": ""}
        for name in ("torch", "timm", "ray"):
            try:
                told["versions"][name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                told["versions"][name] = None
        session = Path(store_socket).parents[1]
        told["temporary_free"] = shutil.disk_usage(session if session.exists() else "/tmp").free
        told["shared_memory"] = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else None
        try:
            import wsshm
            from wsshm.files.location import Location

            told["versions"]["wsshm-bench"] = wsshm.__version__  # not the metadata's: a job may bring its own copy
            here = Location.of(folder)
            try:
                told["reads"] = (here / "driver").read_text() == word
            except FileNotFoundError:
                pass
            else:
                (here / node_id).write_text(word)  # only where the folder is the same: else it would be made here
                told["out_free"] = shutil.disk_usage(here.local).free if here.local else None
        except Exception as error:  # no credentials, no right to write, no package: it is the answer
            told["trouble"] = (str(error).splitlines() or [type(error).__name__])[0]
        if with_gpus:
            count = "import torch; print(torch.cuda.device_count())"
            seen = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}  # Ray hides them from this task
            done = subprocess.run([sys.executable, "-P", "-c", count], env=seen, capture_output=True, text=True)
            told["torch_gpus"] = int(done.stdout) if done.returncode == 0 else 0
        return told

    return probe


def _names(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """Each node's host name; with part of its id where several nodes are on one host."""
    hosts = Counter(node["NodeManagerHostname"] for node in nodes)
    return {
        node["NodeID"]: node["NodeManagerHostname"]
        + (f"/{node['NodeID'][:6]}" if hosts[node["NodeManagerHostname"]] > 1 else "")
        for node in nodes
    }


def _differences(nodes: list[Node]) -> list[str]:
    """Versions that are not the same everywhere; most nodes are taken to be right, and the others named."""
    sentences = []
    for package in ("python", *PACKAGES):
        versions = Counter(node.versions.get(package) for node in nodes)
        if len(versions) < 2 and None not in versions:
            continue
        usual = versions.most_common(1)[0][0]
        others = [n for n in nodes if n.versions.get(package) != usual or usual is None]
        told = ", ".join(f"{n.versions.get(package) or 'missing'} on {n.name}" for n in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        elsewhere = f", {usual} elsewhere" if usual else ""
        sentences.append(f"{package} is {told}{more}{elsewhere}; install the same versions on all nodes")
    return sentences


def _gigabytes(size: float | None) -> str:
    return "-" if size is None else f"{size / 1e9:.1f} GB"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
