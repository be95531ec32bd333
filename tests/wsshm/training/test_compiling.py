"""`train.compile`: the same training but for rounding, compiled once for each size, and saved as if it were not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.wsshm import tiny
from wsshm.config import RunConfig, parse
from wsshm.data.sources import open_sources
from wsshm.errors import UserError
from wsshm.methods import stages_of
from wsshm.models.checkpoint import WEIGHTS
from wsshm.training import compiling
from wsshm.training.distributed import World
from wsshm.training.loop import train_stage
from wsshm.training.run import TrainingFailed, explained, train
from wsshm.training.stages import StageFolder

ALONE = World(0, 1, torch.device("cpu"))
Graphs = list[tuple[int, ...]]


class Interrupted(Exception):
    """Stands for a killed worker."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Graphs:
    """The sizes of the pictures that a graph was made for, traced as ever and run without a C++ compiler's minutes."""
    made: Graphs = []
    real = torch.compile

    def noting(graph: Any, inputs: list[Any]) -> Callable[..., Any]:
        made.append(next(tuple(x.shape) for x in inputs if x.ndim == 4 and x.shape[1] == 3 and x.shape[-1] > 3))
        return graph.forward  # type: ignore[no-any-return]

    def traced(network: nn.Module, **given: Any) -> Any:
        assert given == {"dynamic": False, "options": compiling.OPTIONS}
        return real(network, dynamic=False, backend=noting)

    monkeypatch.setattr(torch, "compile", traced)
    torch.set_num_threads(1)
    return made


def trained(config: RunConfig, folder: StageFolder, stop_at: int | None = None) -> dict[str, torch.Tensor]:
    """The weights after a run's first stage, whose training is interrupted after so many epochs."""
    seen: list[dict[str, float]] = []

    def on_epoch(row: dict[str, float]) -> None:
        seen.append(row)
        if len(seen) == stop_at:
            raise Interrupted

    train_stage(stages_of(config)[0], config, open_sources(config.data), folder, {}, ALONE, lambda step: None, on_epoch)
    return safetensors.torch.load_file(folder.model() / WEIGHTS)


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert torch.allclose(b[key].float(), value.float(), atol=tolerance), key


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True], ids=["compiled-later", "compiled-first"])
def test_a_stage_goes_on_from_a_checkpoint_of_the_other_kind(
    root: Path, tmp_path: Path, graphs: Graphs, first: bool
) -> None:
    """Half resolution and micro-batches of three and two: four sizes, four graphs, and none more however long it goes on."""
    options = {"steps": 8, "batch": 5, "accumulate": 2, "half_resolution": 0.5, "epoch_steps": 4}
    plain, fast = (tiny.config(root, "joint", **options, compile=on) for on in (False, True))
    expected = trained(plain, StageFolder(tmp_path, "plain"))
    assert not graphs
    assert_close(expected, trained(fast, StageFolder(tmp_path, "compiled")), 1e-5)
    assert sorted(graphs) == sorted((n, 3, side, side) for n in (2, 3) for side in (32, 64)), (
        "validation is not compiled"
    )
    with pytest.raises(Interrupted):
        trained(fast if first else plain, StageFolder(tmp_path, "both"), stop_at=1)
    resumed = trained(plain if first else fast, StageFolder(tmp_path, "both"))
    assert_close(expected, resumed, 1e-5)
    assert not [key for key in resumed if "_orig_mod" in key]


@pytest.mark.slow
def test_a_teacher_is_compiled_with_its_student(root: Path, tmp_path: Path, graphs: Graphs) -> None:
    """The student's moving average, whose weights change under its graphs; both meet four sizes, as many as torch keeps."""
    options = {"steps": 8, "batch": 5, "accumulate": 2, "half_resolution": 0.5, "epoch_steps": 8}
    plain, fast = (tiny.config(root, "mean_teacher", **options, compile=on) for on in (False, True))
    assert_close(trained(plain, StageFolder(tmp_path, "a")), trained(fast, StageFolder(tmp_path, "b")), 1e-5)
    assert len(graphs) == 8


def test_what_executes_a_run_is_no_part_of_its_identity(root: Path) -> None:
    plain, fast = (tiny.planned(tiny.config(root, "mlb", compile=on)) for on in (False, True))
    assert plain.run_id == fast.run_id
    assert [entry.address for entry in plain.stages] == [entry.address for entry in fast.stages]


@pytest.mark.parametrize(
    ("train_options", "named"),
    [
        ({"batch": 8, "workers": 3}, r"batch \(8\) a multiple of workers x accumulate \(3 x 1\)"),
        ({"batch": 8, "workers": [1, 4], "accumulate": 2}, r"\(3 x 2\)"),
    ],
)
def test_workers_with_unequal_shares_are_refused_but_where_batch_norms_are_frozen(
    train_options: dict[str, Any], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        parse({"train": train_options | {"compile": True}})
    parse({"train": train_options})
    parse({"train": train_options | {"compile": True, "batchnorm": "frozen"}})
    parse({"train": {"batch": 8, "accumulate": 3, "compile": True, "workers": 1}})


def test_without_a_compiler_nothing_is_trained(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TrainingFailed, match=r"C\+\+ compiler .*apt install g\+\+.* train\.compile: false") as error:
        train(tiny.planned(tiny.config(root, "seg_only", compile=True)), tmp_path / "stages")
    assert error.value.mistake
    assert error.value.final
    assert not list((tmp_path / "stages").rglob("*.safetensors"))


def test_a_compiler_of_another_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "mine -m64")
    assert not compiling.obstacle(torch.device("cpu"))
    monkeypatch.setenv("CXX", "another")
    assert "CXX" in compiling.obstacle(torch.device("cpu"))


def test_a_network_that_cannot_be_compiled_is_a_sentence() -> None:
    from torch._inductor.exc import CppCompileError

    failure = explained(CppCompileError(["g++", "x.cpp"], "fatal error: stdio.h\nno such file"))
    assert "torch.compile cannot compile the network here" in str(failure)
    assert str(failure).endswith("set train.compile: false")
    assert failure.final
    assert "\n" not in str(failure)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
def test_ray_workers_train_the_same_compiled(root: Path, tmp_path: Path) -> None:
    """By Inductor's C++, on one worker and on two: their first losses are those of a run that is not compiled."""
    import ray

    options = {"steps": 3, "batch": 4, "epoch_steps": 1}
    cases = {"plain": {"workers": 0}, "one": {"workers": 1, "compile": True}, "two": {"workers": 2, "compile": True}}
    try:
        runs = {
            name: train(tiny.planned(tiny.config(root, "seg_only", **options, **case)), tmp_path / name)
            for name, case in cases.items()
        }
    finally:
        ray.shutdown()
    histories = {
        name: {(p["epoch"], p["key"]): p["value"] for p in run.stages[-1]["history"]} for name, run in runs.items()
    }
    for name in ("one", "two"):
        assert runs[name].workers == cases[name]["workers"]
        for key, value in histories["plain"].items():
            tolerance = 1e-5 if key == (1, "train_loss") else 1e-2
            assert histories[name][key] == pytest.approx(value, rel=tolerance), (name, key)
        weights = safetensors.torch.load_file(runs[name].model / WEIGHTS)
        assert weights.keys() == safetensors.torch.load_file(runs["plain"].model / WEIGHTS).keys()
