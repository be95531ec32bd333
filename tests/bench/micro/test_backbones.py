"""The benchmark of families tells what works from what is refused and from what breaks."""

from __future__ import annotations

import pytest
import timm
from typer.testing import CliRunner

from bench.cli import app
from bench.micro import backbones as benchmark
from wsshm.errors import UserError

SIZES = [(64, 64), (32, 96), (33, 57)]


@pytest.mark.parametrize(
    "backbone",
    [*timm.list_models("test_*"), "mobilenetv3_small_050", "levit_128s", "efficientvit_m0", "mobilevitv2_050"],
)
def test_tiny_networks_of_many_families_work(backbone: str) -> None:
    assert benchmark.tried(backbone, SIZES, 64).status == benchmark.WORKS


def test_a_family_that_cannot_is_refused_and_one_that_breaks_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*arguments: object) -> None:
        raise RuntimeError("it breaks")

    backbones = ["test_resnet", "inception_v3"]
    assert [outcome.status for outcome in benchmark.run(backbones, SIZES, 64)] == [benchmark.WORKS, benchmark.REFUSED]
    monkeypatch.setattr(benchmark, "_train_a_step", breaks)
    assert [outcome.status for outcome in benchmark.run(backbones, SIZES, 64)] == [benchmark.FAILS, benchmark.REFUSED]
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "1 of 2 work (50.0%), 1 refused before training, 0 failed after the check had passed them"
    assert "RuntimeError: it breaks" in lines[3]
    assert "'inception_v3' does not run on pictures of 64x64 px" in lines[4]


def test_the_members_are_timms_and_of_all_its_families() -> None:
    assert len(set(benchmark.MEMBERS)) == len(benchmark.MEMBERS) > 100
    modules = {timm.models.model_entrypoint(name).__module__ for name in timm.list_models()}
    assert {timm.models.model_entrypoint(name).__module__ for name in benchmark.MEMBERS} == modules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "resnet19"], r"--filter 'resnet19' fits no member; .*'resnet18'"),
        (["--sizes", "96"], "--sizes takes width x height such as 160x96, not '96'"),
        (["--train-size", "100"], "--train-size must be a multiple of 64"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(app, ["micro", "backbones", *arguments], catch_exceptions=False)


@pytest.mark.bench
def test_of_all_families_most_work_and_none_breaks_after_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = benchmark.run(benchmark.MEMBERS, [(512, 512), (96, 160), (77, 131)], 128)
    print(capsys.readouterr().out)
    assert not [outcome for outcome in outcomes if outcome.status == benchmark.FAILS]
    assert sum(outcome.status == benchmark.WORKS for outcome in outcomes) >= 0.95 * len(outcomes)
