"""`data.loading: ray`: the same samples in the same order, made on other nodes; what cannot be is said before the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import safetensors.torch
import torch
from ray.cluster_utils import Cluster

from tests.wsshm import tiny
from wsshm.config import RunConfig, parse
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.keys import EXECUTION, first_difference
from wsshm.methods import stages_of
from wsshm.models.checkpoint import WEIGHTS
from wsshm.training import streaming
from wsshm.training.batches import Batch, StepDataset, loader
from wsshm.training.run import TrainingFailed, train

TRAINER = "trainer"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


def streaming_config(root: Path, method: str = "joint", loading: str = "ray", **train: Any) -> RunConfig:
    document = tiny.config(root, method, **({"workers": 1, "loader_workers": 1} | train)).model_dump(mode="json")
    document["data"]["loading"] = loading
    config: RunConfig = parse(document)
    return config


def labelled_ahead(config: RunConfig) -> RunConfig:
    document = config.model_dump(mode="json")
    document["method"]["blend"]["when"] = "ahead"
    ahead: RunConfig = parse(document)
    return ahead


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"workers": 0}, "with train.workers: 0 there are none; set it to at least 1"),
        ({"loader_workers": 0}, "made on train.loader_workers CPUs for each worker; set it to at least 1"),
        ({"workers": [1, 2], "max_failures": 1}, "elastic workers without GPUs would take the CPUs"),
    ],
)
def test_what_ray_data_could_not_feed_is_refused(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        streaming_config(tmp_path, **options)


def test_a_stream_takes_no_cpu_of_a_workers_own_and_no_loader_process(tmp_path: Path) -> None:
    near, far = (streaming_config(tmp_path, loading=where, loader_workers=3) for where in ("local", "ray"))
    assert (near.worker_resources, near.loader_processes, near.stream_cpus) == ({"CPU": 4.0}, 3, 0)
    assert (far.worker_resources, far.loader_processes, far.stream_cpus) == ({"CPU": 1.0}, 0, 3)


def test_where_samples_are_made_is_no_part_of_a_run(root: Path) -> None:
    near, far = (tiny.planned(streaming_config(root, loading=where)) for where in ("local", "ray"))
    assert near.run_id == far.run_id
    assert [entry.address for entry in near.stages] == [entry.address for entry in far.stages]
    documents = [{"base": run.config.model_dump(mode="json")} for run in (near, far)]
    assert first_difference(*documents) is None
    assert "data.loading" in EXECUTION


def test_too_few_cpus_are_counted_before_the_start(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 3.0})
    run = tiny.planned(streaming_config(root, workers=2, loader_workers=2))
    with pytest.raises(
        UserError, match=r"asks for 6 CPU \(2 workers x 1, and for each 2 .* has 4, of which 3 are free"
    ):
        train(run, tmp_path)


def test_labels_on_an_object_store_are_not_streamed(root: Path) -> None:
    config = labelled_ahead(streaming_config(root, "mlb"))
    with pytest.raises(UserError, match=r"reads labels made ahead .* s3://bucket/stages is no folder"):
        train(tiny.planned(config), Location("s3://", "bucket/stages"))


def test_a_stream_that_brings_nothing_ends_in_a_sentence(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    class Late:
        def result(self, timeout_s: float) -> None:
            raise TimeoutError

    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 1.0})
    with pytest.raises(
        UserError, match=r"no sample for 300 s: each worker's need 2 CPUs .* and 1 of the cluster's are"
    ):
        streaming._awaited(Late(), streaming_config(root, loader_workers=2))


def weights_of(config: RunConfig, folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(train(tiny.planned(config), folder).model / WEIGHTS)


def rendered(
    config: RunConfig,
    rank: int = 0,
    workers: int = 1,
    first: int = 0,
    at_step: Callable[[int], None] = lambda step: None,
) -> list[Batch]:
    """A worker's micro-batches of a run's first stage, in order."""
    dataset = StepDataset(open_sources(config.data), stages_of(config)[0], config)
    found = []
    for step, batches in enumerate(loader(dataset, config, rank, workers, first)):
        found += [batch.render(torch.device("cpu")) for batch in batches]
        at_step(step)
    return found


def same(found: list[Batch], wanted: list[Batch]) -> bool:
    """Whether two lists of batches are equal, bit for bit."""
    return len(found) == len(wanted) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for one, other in zip(found, wanted, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A node that has a CPU for a worker of Ray Train and no more."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "resources": {TRAINER: 1}})
    try:
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def feeder(cluster: Cluster) -> Any:
    """Its second node, whose two CPUs stand for nodes without GPUs; the last test takes it away."""
    node = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    return node


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("feeder")
def test_another_node_makes_the_same_samples_in_the_same_order(root: Path) -> None:
    options: dict[str, Any] = {"batch": 6, "accumulate": 2, "half_resolution": 0.5}
    near = streaming_config(root, loading="local", loader_workers=0, **options)
    far = streaming_config(root, loader_workers=2, **options)

    @ray.remote(num_cpus=1, resources={TRAINER: 1})
    def there(config: RunConfig, rank: int, first: int, segment: int) -> tuple[list[Batch], list[str], str]:
        made_on: list[str] = []
        rows = streaming._rows

        def noted(*arguments: Any) -> Iterator[dict[str, Any]]:
            for row in rows(*arguments):
                made_on.append(row["node"])
                yield row

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(streaming, "_rows", noted)
            patched.setattr(streaming, "SEGMENT", segment)
            return rendered(config, rank, 2, first), made_on, ray.get_runtime_context().get_node_id()

    for rank, first, segment in ((0, 0, 4096), (1, 1, 3)):  # a whole stage at once; one resumed, in pieces
        found, made_on, here = ray.get(there.remote(far, rank, first, segment), timeout=300)
        assert same(found, rendered(near, rank, 2, first))
        assert len(made_on) == len(found) == 2 * (near.train.steps - first)
        assert here not in made_on


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("feeder")
def test_training_over_two_nodes_equals_training_here(root: Path, tmp_path: Path) -> None:
    near = weights_of(streaming_config(root, "mlb", loading="local", workers=0, loader_workers=0), tmp_path / "near")
    far = weights_of(streaming_config(root, "mlb", loader_workers=2), tmp_path / "far")
    assert near.keys() == far.keys()
    assert all(torch.equal(near[name], far[name]) for name in near)
    ahead = labelled_ahead(streaming_config(root, "mlb", loader_workers=2))
    assert train(tiny.planned(ahead), tmp_path / "far").trained_here == ["student"]
    broken = tiny.make(tmp_path / "broken")
    run = tiny.planned(streaming_config(broken, "seg_only"))
    (broken / "photo" / "2_mask.png").write_bytes(b"no picture")
    with pytest.raises(TrainingFailed, match=r"2_mask.png is not a readable picture"):
        train(run, tmp_path / "stages")
    until = time.monotonic() + 60
    while (free := ray.available_resources().get("CPU")) != 3.0 and time.monotonic() < until:
        time.sleep(0.5)
    assert free == 3.0, "nothing is left that makes samples"


@pytest.mark.ray
@pytest.mark.slow
def test_a_node_that_is_lost_costs_no_sample(root: Path, tmp_path: Path, cluster: Cluster, feeder: Any) -> None:
    far = streaming_config(root, steps=30)

    @ray.remote(num_cpus=1, resources={TRAINER: 1})
    def there(config: RunConfig, begun: Path) -> list[Batch]:
        def at_step(step: int) -> None:
            if step == 2:
                begun.touch()
            time.sleep(0.3)

        return rendered(config, at_step=at_step)

    coming, until = there.remote(far, tmp_path / "begun"), time.monotonic() + 300
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.2)
    cluster.add_node(num_cpus=1)
    cluster.remove_node(feeder, allow_graceful=False)
    near = streaming_config(root, loading="local", loader_workers=0, steps=30)
    assert same(ray.get(coming, timeout=400), rendered(near))
