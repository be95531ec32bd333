"""Plans whose data lie in a bucket: on nodes that each keep what they fetch, and on one machine, from packs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import ray
import yaml
from ray.cluster_utils import Cluster

from bench.store import Store
from sweeps.cluster import known_to_its_processes
from tests.object_store import bucket
from tests.sweeps.asking import scores_of, sweep
from tests.sweeps.trained_here import trained_here
from tests.wsshm import tiny
from wsshm.data.manifest import Manifest
from wsshm.data.packing import pack
from wsshm.files.location import Location

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PARTS = ("mattes", "masks", "val", "test")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("data") / "disk")


@pytest.fixture(scope="module")
def template(disk: Path) -> Iterator[str]:
    """A bucket that holds the tiny data set at `plain`, and packed at `packs`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with bucket() as template:
        Location.of(template.format("plain")).upload(disk)
        for part in PARTS:
            pack(Manifest.read(disk / f"{part}.parquet"), Location.of(template.format("packs")), part, 40_000)
        yield template


def plan(folder: Path, root: str, workers: int) -> str:
    config = tiny.config(Path(root), "mlb", workers=workers).model_dump(mode="json", exclude_unset=True)
    config["data"]["root"] = root
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump({"name": "bucket", "base": config, "space": {"method.name": ["mlb"]}}))
    return str(file)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Cluster]:
    """A head that runs nothing and two nodes with a CPU each, that keep what they fetch in folders of their own."""
    with known_to_its_processes():
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for name in ("one", "two"):
            cluster.add_node(num_cpus=1, env_vars={"WSSHM_DATA_CACHE": f"{tmp_path}/{name}:1GB"})
        cluster.wait_for_nodes()
        yield cluster
    finally:
        if ray.is_initialized():
            ray.shutdown()
        cluster.shutdown()


def test_a_plan_runs_from_a_bucket_on_two_nodes(
    template: str, disk: Path, tmp_path: Path, nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "driver"))
    out = tmp_path / "bucket"
    process = sweep(out, plan=plan(tmp_path, template.format("plain"), workers=2))
    assert process.returncode == 0, process.err  # type: ignore[attr-defined]
    assert [len(list((tmp_path / name).glob("??/*"))) > 0 for name in ("one", "two")] == [True, True]
    here = trained_here(tmp_path / "disk", plan=plan(tmp_path, str(disk), workers=2), workers=2)
    assert Store(out / "store").finished() == Store(here / "store").finished()
    pd.testing.assert_frame_equal(scores_of(out), scores_of(here))


def test_a_plan_runs_from_packs_into_a_local_out(template: str, disk: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    packs = sweep(
        tmp_path / "packs", "--cache", f"{cache}:1GB", plan=plan(tmp_path, template.format("packs"), workers=1)
    )
    assert packs.returncode == 0, packs.err  # type: ignore[attr-defined]
    assert list(cache.glob("??/*"))
    here = trained_here(tmp_path / "disk", plan=plan(tmp_path, str(disk), workers=1))
    assert Store(tmp_path / "packs" / "store").finished() == Store(here / "store").finished()
    pd.testing.assert_frame_equal(scores_of(tmp_path / "packs"), scores_of(here))
