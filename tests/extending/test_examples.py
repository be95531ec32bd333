"""The examples to copy (sweeps/examples): the notebook says what its store says; the plans are shown, and run as small as
their comments make them, and smaller."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import nbclient
import nbformat
import pytest
import torch
from typer.testing import CliRunner

from bench.store import Store
from sweeps.door import app
from sweeps.plan import configurations, load_plan
from tests.extending.conftest import Add
from tests.sweeps.asking import ROOT, sweep
from tests.wsshm import tiny
from wsshm import plugins
from wsshm.data.prepare import prepare
from wsshm.losses import Target
from wsshm.methods import stages_of
from wsshm.methods.stage import LABELS
from wsshm.models import weights
from wsshm.training.rendering import Batch

HERE = ROOT / "sweeps" / "examples"
NOTEBOOK = HERE / "store.ipynb"
METHOD = HERE / "my_method.py"
SHRUNK = {
    "base.data.size": "64",
    "base.model.backbone": "test_efficientnet",
    "base.model.weights": "none",
    "base.train.steps": "4",
    "base.train.epoch_steps": "2",
    "base.train.batch": "4",
}
DRAWN = {
    "base.data.procedural": "{cutouts: 6, backgrounds: 6, natural: 12, val: 4, test: 8}",
    "budgets": "[{mattes: 4, masks: 8}]",
}
PLANS = {
    "own-photos": ["joint", "seg_only", "mlb", "confident_masks"],
    "own-backbones": ["mlb"] * 2,
    "own-method": ["joint", "mlb", "soft_masks", "soft_masks", "soft_masks"],
}
"""The plans, and the methods of their runs with one seed as small as their comments make them."""


@pytest.fixture(autouse=True)
def _own_method(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(METHOD))


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What own-photos.yaml reads, of tiny pictures; the working directory is where its commands are typed."""
    tiny.make_folders(tmp_path / "mine")
    prepare(tmp_path / "mine", tmp_path / "prepared")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "prepared"


def path(name: str) -> str:
    return str(HERE / f"{name}.yaml")


def commands(name: str) -> list[list[str]]:
    """The commands of a plan's comments, as words."""
    text = re.sub(r" *\\\n#\s*", " ", (HERE / f"{name}.yaml").read_text())
    return [shlex.split(line) for line in re.findall(r"^#\s+(wsshm .*)", text, flags=re.MULTILINE)]


def options(words: list[str] | dict[str, str]) -> list[str]:
    """The `--set` options of a command, or of changes."""
    if isinstance(words, dict):
        words = [word for key, value in words.items() for word in ("--set", f"{key}={value}")]
    return [word for i, word in enumerate(words) if word == "--set" or (i and words[i - 1] == "--set")]


def small(name: str) -> list[str]:
    """The options by which a plan's comments make it small."""
    (words,) = [words for words in commands(name) if words[-1] != path(name) and f"runs/{name}-small" in words]
    return options(words)


def test_every_plan_is_known_here() -> None:
    assert sorted(PLANS) == sorted(file.stem for file in HERE.glob("*.yaml"))


@pytest.mark.parametrize("name", PLANS)
def test_its_file_says_what_it_is_and_every_change_of_its_comments_is_a_plan(name: str) -> None:
    plan = load_plan(path(name))
    assert plan.name == name
    assert f"({plan.num_runs} runs)" in plan.about
    changed = [words[words.index("--set") :] for words in commands(name) if "--set" in words]
    changed += [shlex.split(given) for given in re.findall(r"^# .*(--set '[^']+')", Path(path(name)).read_text(), re.M)]
    assert changed
    for words in changed:
        assert configurations(load_plan(path(name), options(words)[1::2]))
    shrunk = configurations(load_plan(path(name), small(name)[1::2]))
    assert sorted(run.method.name for run in shrunk) == sorted(PLANS[name])
    assert all(run.train.steps < configurations(plan)[0].train.steps for run in shrunk)
    for words in commands(name):
        if words[1:3] in (["sweep", "run"], ["sweep", "show"]):
            assert (ROOT / words[3]).is_file()


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", PLANS)
def test_it_can_be_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "hub_answers", lambda: True)  # which then is asked for nothing
    drawn = {} if name == "own-photos" else DRAWN
    done = CliRunner().invoke(app, ["sweep", "show", path(name), *options(drawn | {"base.data.size": "64"})])
    assert done.exit_code == 0, done.output
    assert f"{load_plan(path(name)).num_runs} runs," in done.output
    assert "labels that a run learns from" in done.output


def test_backbones_without_a_hub_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    done = CliRunner().invoke(app, ["sweep", "show", path("own-backbones"), *options(DRAWN | {"base.data.size": "64"})])
    assert "no model hub answers" in str(done.exception)
    (offline,) = [words for words in commands("own-backbones") if words[1:3] == ["sweep", "show"] and "--set" in words]
    changed = [*options(offline), *options(DRAWN | {"base.data.size": "64"})]
    done = CliRunner().invoke(app, ["sweep", "show", path("own-backbones"), *changed])
    assert done.exit_code == 0, done.output
    assert "tf_efficientnet_lite1" in done.output


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", PLANS)
def test_it_runs_in_a_tiny_size(name: str, prepared: Path, tmp_path: Path) -> None:
    changed = dict(SHRUNK, **({"base.data.root": str(prepared)} if name == "own-photos" else DRAWN))
    if name == "own-backbones":
        changed |= {"space": "{model.backbone: [test_efficientnet, test_resnet]}", "speed.engines": "[eager]"}
    speed = {} if name == "own-method" else {"speed.processes": "1"}
    done = sweep(tmp_path / "out", *small(name), *options(changed | speed), plan=path(name))
    assert done.returncode == 0, done.err  # type: ignore[attr-defined]
    runs = Store(tmp_path / "out" / "store").read("runs")
    assert set(runs["status"]) == {"finished"}
    assert sorted(runs["method"]) == sorted(PLANS[name])
    said = (tmp_path / "out" / "report" / "report.md").read_text()
    if name == "own-method":
        assert "is joint with masks blurred as far as they err" in said
    if name == "own-backbones":
        assert set(runs["backbone"]) == {"test_efficientnet", "test_resnet"}
        assert "30 frames per second" in said


def test_my_method_softens_masks_where_they_are_uncertain() -> None:
    def labelled(width: float) -> Target:
        space = f"space={{method.name: [soft_masks], method.options.width: [{width}]}}"
        (config,) = configurations(load_plan(path("own-method"), [space, "also=[]", "seeds=[0]"]))
        (stage,) = stages_of(config)
        target = LABELS.get("soft_masks").target
        assert target is not None
        return target(Batch(["a"], mask, None, mask, torch.zeros(1, dtype=torch.bool)), stage, None)

    mask = torch.zeros(1, 1, 80, 100)
    mask[..., 50:] = 1
    narrow, wide = labelled(0.0125), labelled(0.05)
    for target, radius in ((narrow, 1), (wide, 4)):
        row = target.matte[0, 0, 40]
        assert torch.allclose(row + row.flip(0), torch.ones(100), atol=1e-6)  # as likely further in as further out
        assert (row.diff() >= -1e-6).all()
        assert int(((row > 1e-6) & (row < 1 - 1e-6)).sum()) == 6 * radius
        assert torch.equal(target.boundary_weight[0, 0, 40] == 0, (row > 1e-3) & (row < 1 - 1e-3))
        assert not target.boundary.any()
        assert bool((target.weight == 1).all())


@pytest.mark.slow
def test_the_notebook_says_what_its_store_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("STORE", str(ROOT / "reports" / "findings" / "quickstart"))
    kept, made = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    nbclient.NotebookClient(made, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    remedy = "execute it again: jupyter execute --inplace sweeps/examples/store.ipynb"
    for before, now in zip(kept.cells, made.cells, strict=True):
        assert list(map(said, now.get("outputs", []))) == list(map(said, before.get("outputs", []))), remedy
    drawn = [cell.source for cell in made.cells if any(said(output)["picture"] for output in cell.get("outputs", []))]
    assert drawn == ['report.figure("methods")', 'report.figure("speed")']
    assert (tmp_path / "leaderboard.csv").read_text().startswith("rank,")
    assert NOTEBOOK.stat().st_size < 500_000


def said(output: nbformat.NotebookNode) -> dict[str, object]:
    """What an output says, and of a picture that it is there."""
    data = output.get("data", {})
    texts = {kind: value for kind, value in data.items() if kind in ("text/plain", "text/markdown")}
    return {"kind": output.output_type, "text": output.get("text"), "picture": "image/png" in data} | texts
