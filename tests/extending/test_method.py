"""A training method from outside the package: one file, no list touched, from configuration to report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from matplotlib.colors import to_hex
from typer.testing import CliRunner

from bench.accuracy import SavedModel, measure
from bench.store import Store
from reports.comparison import method_order
from reports.figures.style import colours, marker
from reports.load import load
from sweeps.door import app
from sweeps.trial import curves, describe
from tests.extending.conftest import Add, example
from tests.sweeps.asking import sweep
from tests.wsshm import tiny
from wsshm import methods, plugins
from wsshm.config import RunConfig, override, parse
from wsshm.errors import UserError
from wsshm.keys import explained
from wsshm.methods import stages_of
from wsshm.training.planning import plan_run
from wsshm.training.run import train

HALVES = Path(__file__).with_name("halves.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def halves(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(HALVES))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


def run(config: RunConfig, folder: Path, store: Store) -> str:
    """Train a run in this process and write its rows, as a sweep's trial does. Returns its id."""
    planned = tiny.planned(config)
    trained = train(planned, folder)
    measured = measure(SavedModel(trained.model, device="cpu"), planned.sources.test, planned.run_id)
    store.write("scores", measured.scores)
    store.write("epochs", curves(planned.run_id, trained.stages))
    row = {"plan": "tiny", "status": "finished", **describe(planned)}
    store.write("runs", [row | {"train_s": trained.train_s, "teacher_s": trained.teacher_s}])
    return planned.run_id


def report(store: Store, out: Path) -> str:
    """The text of the page that `wsshm report build` makes, in a process of its own."""
    command = [sys.executable, "-m", "reports", "build", str(store.root), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return (out / "index.html").read_text()


@pytest.mark.usefixtures("halves")
def test_the_configuration_knows_it(root: Path) -> None:
    config = tiny.config(root, "halves", steps=10, teacher_steps=4)
    assert [(stage.name, stage.steps) for stage in stages_of(config)] == [("teacher", 4), ("student", 6)]
    assert methods.names()[-4:] == ["halves", "mlb", "mlb_masklabel", "oracle"]
    assert "halves, mlb" in " ".join(explained(RunConfig, {}).replace("#", "").split())
    with pytest.raises(UserError, match=r"method.name = 'halvs'; the nearest valid choices? (is|are) 'halves'"):
        parse({"method": {"name": "halvs"}})
    with pytest.raises(UserError, match=r"teacher_steps \(10\) must be smaller than train.steps \(10\).*halves's"):
        tiny.config(root, "halves", steps=10, teacher_steps=10)


@pytest.mark.usefixtures("halves")
def test_its_identity_goes_by_what_it_reads(root: Path) -> None:
    config = tiny.config(root, "halves")
    planned = plan_run(config)
    assert (planned.mattes, planned.masks) == (6, 8)
    teacher, student = planned.stages
    assert teacher == plan_run(tiny.config(root, "mlb")).stages[0]  # trained once for both
    document = config.model_dump(mode="json")
    for key, same in (("method.blend.band", True), ("method.matte_share", False)):
        changed = plan_run(parse(override(document, [f"{key}=0.5"])))
        assert methods.is_unread("halves", key) is same
        assert (changed.run_id == planned.run_id) is same
        assert (changed.stages[1].address == student.address) is same


@pytest.mark.usefixtures("halves")
def test_its_options_are_typed_and_part_of_its_identity(root: Path) -> None:
    config = tiny.config(root, "halves")
    document = config.model_dump(mode="json")
    assert parse(override(document, ["method.options.share=0.5"])) == config  # its default
    other = parse(override(document, ["method.options.share=0.25"]))
    assert (methods.options_of(config).share, methods.options_of(other).share) == (0.5, 0.25)
    assert plan_run(other).run_id != plan_run(config).run_id
    assert not methods.is_unread("halves", "method.options.share")
    for assignments, message in {
        (
            "method.options.shar=1",
        ): "the method 'halves' has an unknown key 'shar'; the nearest valid choice is 'share'",
        ("method.options.share=-1",): "the method 'halves' has an impossible share = -1",
        ("method.name=mlb", "method.options.a=1"): "the method 'mlb' has no options of its own; leave out 'a'",
    }.items():
        with pytest.raises(UserError, match=message):
            parse(override(document, list(assignments)))


@pytest.mark.usefixtures("halves")
def test_it_trains_and_is_reported(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny.config(root, "halves").model_dump(mode="json")))
    done = CliRunner().invoke(app, ["train", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "one")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "one" / "model" / "model.json").read_text())["method"] == "halves"

    store = Store(tmp_path / "store")
    ids = {name: run(tiny.config(root, name), tmp_path / "one" / "stages", store) for name in ("halves", "mlb")}
    known = report(store, tmp_path / "known")
    assert "halves is mlb with the mean of mask and teacher as label; mlb is Matte Label Blending." in known
    assert "#112233" in known
    runs = load(store.root).runs.set_index("run_id")
    assert [runs.loc[ids[name], "label"] for name in ids] == ["halves", "mlb"]
    versions = json.loads(runs.loc[ids["halves"], "versions"])
    assert len(versions["plugin halves.py"]) == 16

    monkeypatch.delenv(plugins.VARIABLE)  # elsewhere, without the file: its rows are there all the same
    code = """
import sys
from bench.cost import CostModel
from reports.comparison import compare, method_order
from reports.figures import methods as figure, style
from reports.load import load
from reports.sections import methods
frames = load(sys.argv[1])
comparisons = compare(frames, CostModel())
print(*methods.section(frames, comparisons, CostModel()).text)
labels = method_order(list(comparisons[0].cells["label"]))
figure.draw(figure.data(comparisons[0]))
print(labels, style.colours(labels), style.marker("halves"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.root)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "halves is a method whose file is not loaded (WSSHM_PLUGINS); mlb is Matte" in done.stdout
    assert done.stdout.endswith("['halves', 'mlb'] {'halves': '#d55e00', 'mlb': '#0072b2'} X\n")


@pytest.mark.usefixtures("halves")
def test_figures_draw_it_as_it_says() -> None:
    assert method_order(["mlb", "halves", "oracle", "joint"]) == ["joint", "halves", "mlb", "oracle"]
    assert to_hex(colours(["halves"])["halves"]) == "#112233"
    assert (marker("halves"), marker("unheard_of")) == ("h", "X")


def test_the_documented_example_is_one(add: Add, root: Path) -> None:
    add("matte_then_joint", example(methods))
    first, second = stages_of(tiny.config(root, "matte_then_joint"))
    assert first == stages_of(tiny.config(root, "mlb"))[0]
    assert (second.start, second.matte_share, second.steps) == ("teacher", 0.5, 2)


def test_another_configurations_model_is_not_replaced_without_a_word(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny.config(root, "joint").model_dump(mode="json")))
    command = ["train", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "one")]
    for assignments in (["train.lr=0.001"], ["train.lr=0.001"], ["train.lr=0.004"]):
        assert not any("another configuration" in record.message for record in caplog.records)
        done = CliRunner().invoke(app, [*command, *(word for each in assignments for word in ("--set", each))])
        assert done.exit_code == 0, done.output
    (said,) = [record.message for record in caplog.records if "another configuration" in record.message]
    assert f"{tmp_path}/one/model is of another configuration (its train.lr is 0.001, this one's is 0.004)" in said
    assert parse(yaml.safe_load((tmp_path / "one" / "model" / "run.yaml").read_text())).train.lr == 0.004


def test_a_method_that_does_not_fit_is_one_sentence(add: Add, root: Path) -> None:
    add(
        "odd",
        "from wsshm.methods import Method, register\n"
        "from wsshm.methods.stage import Stage\n"
        "register(Method('short', lambda c: [Stage('s', 1, 1.0)], about='short'))\n"
        "register(Method('blind', lambda c: [Stage('s', c.train.steps, 0.5)], about='blind'))\n"
        "register(Method('late', lambda c: [Stage('s', c.train.steps, 1.0, start='t')], about='late'))\n"
        "register(Method('self', lambda c: [Stage('s', c.train.steps, 0.5, 'average')], about='self'))\n",
    )
    for name, message in {
        "short": "the stages of the method 'short' take 1 steps in all; every method takes train.steps, which is 4",
        "blind": "the stage 's' of the method 'blind' has natural pictures in its batches and no label for them",
        "late": "the stage 's' of the method 'late' builds on 't', which is not an earlier stage",
        "self": "the stage 's' of the method 'self' is taught by its own average and keeps none; give it a teacher",
    }.items():
        with pytest.raises(UserError, match=message):
            stages_of(tiny.config(root, name))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("", r"the stage 's' of the method 'odd' labels its natural pictures as 'odd', which has no target; give its"),
        (
            "target=lambda b, s, o: b.labels",
            r"the target of the label 'odd' is a Tensor; return a wsshm.losses.Target of",
        ),
        (
            "target=lambda b, s, o: Target(b.labels, 0, 1, 1)",
            r"'odd' has as boundary a int where the batch has \(2, 1, 64",
        ),
        (
            "target=lambda b, s, o: Target(*4 * [b.labels[0]])",
            r"'odd' has as matte \(1, 64, 64\) where the batch has \(2",
        ),
        (
            "target=lambda b, s, o: Target(*4 * [o.matte])",
            r"'odd' fails: AttributeError: 'NoneType' object has no attribute 'matte' \(output is None where the label is",
        ),
        (
            "target=lambda b, s, o: Target(*4 * [b.labels]), term=lambda b, s, o, t: o.matte",
            r"the term of the label 'odd' is \(2, 1, 64, 64\) for two pictures; return a loss for each, \(N,\)",
        ),
        (
            "target=lambda b, s, o: Target(*4 * [b.labels]), term=lambda b, s, o, t: t.matte.mean((1, 2, 3))",
            r"the term of the label 'odd' fails: AttributeError: .* \(taught is None where the label is not taught=True",
        ),
    ],
)
def test_a_label_that_makes_no_target_is_told_before_training(add: Add, root: Path, label: str, message: str) -> None:
    add(
        "odd",
        "from wsshm.losses import Target\nfrom wsshm.methods import Method, register\n"
        "from wsshm.methods.stage import LABELS, PhotoLabel, Stage\n"
        f"LABELS.register(PhotoLabel('odd', 'odd labels', {label}))\n"
        "register(Method('odd', lambda c: [Stage('s', c.train.steps, 0.5, 'odd')], about='odd'))\n",
    )
    with pytest.raises(UserError, match=message):
        plan_run(tiny.config(root, "odd"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", r"ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("from wsshm.methods import *\nregister(Method('mlb', None, ''))", r"there are two methods 'mlb'; give yours"),
        ("from wsshm.methods import *\nMethod('a', None, '', reads={'train.lr'})", r"reads 'train.lr'; name keys of"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(add: Add, text: str, message: str) -> None:
    file = add("wrong", text)
    with pytest.raises(UserError, match=rf"WSSHM_PLUGINS names {file}, which cannot be imported \(.*{message}"):
        methods.names()


def test_a_file_that_needs_torch_is_left_out_where_reports_are_built_without_it(
    add: Add, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = add("network", "import torch")
    add("plain_method", "from wsshm.methods import *\nregister(Method('plain_method', None, ''))")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "plain_method" in methods.names()
    (said,) = [record.message for record in caplog.records]
    assert said == f"{file} is left out, as it imports torch, which is not installed here"


def test_names_of_files_become_absolute_and_modules_stay(
    add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "here.py, json.decoder,")
    assert plugins.named() == [str(tmp_path / "here.py"), "json.decoder"]
    assert os.environ[plugins.VARIABLE] == f"{tmp_path}/here.py,json.decoder"
    with pytest.raises(UserError, match=r"names .*/here.py, which cannot be imported \(no such file on this machine\)"):
        methods.names()


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_trains_it_in_rays_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, os.path.relpath(HALVES))
    done = sweep(tmp_path / "out", "--set", "space={method.name: [halves]}")
    assert done.returncode == 0, done.err  # type: ignore[attr-defined]
    [run] = Store(tmp_path / "out" / "store").read("runs").to_dict("records")
    assert (run["method"], run["status"]) == ("halves", "finished")
    assert "#112233" in (tmp_path / "out" / "report" / "index.html").read_text()
