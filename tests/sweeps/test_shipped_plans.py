"""The plans that come with the suite: valid, as large as they say, and shrunk by what their comments say."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench.comparable import same_input
from bench.settings import parse_size
from sweeps.expand import expand
from sweeps.plan import SHIPPED, configurations, draws, load_plan, searched_configuration, shipped_plans
from sweeps.show import as_random
from tests.wsshm import tiny
from wsshm import methods
from wsshm.config import BlendConfig
from wsshm.data.cli import app as data_app
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.sources import Sources
from wsshm.errors import UserError
from wsshm.grades import ATTRIBUTE, GRADES
from wsshm.methods import stages_of
from wsshm.models.encoder import Encoder
from wsshm.models.weights import PACKAGES
from wsshm.prediction.protocols import Short
from wsshm.training.planning import plan_run

COMMANDS = {
    name: [
        shlex.split(command)
        for command in re.findall(
            r"wsshm sweep run .*", re.sub(r"\\\n#\s*", "", (SHIPPED / f"{name}.yaml").read_text())
        )
    ]
    for name in shipped_plans()
}


def distinct(name: str, changes: list[str] | None = None) -> int:
    """How many different runs a plan holds; the plan names all its budgets, so that any data will do."""
    drawn = ((grade, i) for grade in GRADES for i in range(1000))
    label = {"image": "i", "matte": "m", "mask": "k"}
    many = Manifest("", (Sample(f"{g}-{i}", "train", "photo", **label, attributes={ATTRIBUTE: g}) for g, i in drawn))
    sources = Sources(many, many, many, many, {"test": many})
    return len(
        {
            plan_run(c, sources).run_id
            for c in configurations(load_plan(name, ["base.model.weights=none", *(changes or [])]))
        }
    )


def test_they_are_valid_and_say_what_they_do() -> None:
    assert shipped_plans() == [
        "annotation-cost", "backbones", "blending", "methods", "neighbours", "paper", "photos", "quickstart", "smoke",
        "standard",
    ]  # fmt: skip
    for name in shipped_plans():
        plan = load_plan(name)
        assert plan.name == name
        assert len(plan.about) > 20
        assert configurations(plan)


@pytest.mark.parametrize("name", [name for name, commands in COMMANDS.items() if commands])
def test_the_commands_in_their_comments_are_plans_of_fewer_steps(name: str) -> None:
    whole = configurations(load_plan(name))[0]
    for words in COMMANDS[name]:
        assert words[3] == name
        changes = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
        plan = load_plan(name, changes)
        small = configurations(plan)
        # Two plans' commands name the data, and one what a hub has.
        if changes and name not in ("paper", "photos") and "base.model.weights=hub" not in changes:
            assert small[0].train.steps < whole.train.steps
            assert plan.search.num_runs is None or plan.search.num_runs < 10


def neighbours() -> set[str]:
    """The methods of the plan `neighbours`, but for those that it compares them with."""
    return {run.method.name for run in configurations(load_plan("neighbours"))} - {"joint", "mlb"}


@pytest.mark.parametrize("name", ["methods", "standard"])
def test_methods_holds_every_method_but_the_neighbours_under_three_seeds(name: str) -> None:
    runs = configurations(load_plan(name))
    by_teacher = {
        teacher: sorted((r.method.name, r.train.seed) for r in runs if r.method.blend.teacher == teacher)
        for teacher in ("stage", "average")
    }
    assert by_teacher["stage"] == sorted((m, s) for m in set(methods.names()) - neighbours() for s in range(3))
    assert by_teacher["average"] == sorted((m, s) for m in ("mlb", "oracle") for s in range(3))
    assert "33 runs" in load_plan(name).about


def test_neighbours_stand_beside_runs_of_methods() -> None:
    """Their rivals are the same runs as those of the plan `methods`, and come from its stages where they are there."""
    assert len(neighbours()) == 6
    assert distinct("neighbours") == 3 * (6 + 2) == 24
    assert "24 runs" in load_plan("neighbours").about
    shared = [run for run in configurations(load_plan("neighbours")) if run.method.name not in neighbours()]
    assert len(shared) == 6
    assert all(run in configurations(load_plan("methods")) for run in shared)


def test_blending_searches_the_whole_blend_over_one_teacher() -> None:
    plan = load_plan("blending")
    blend = {f"method.blend.{key}" for key in BlendConfig.model_fields} - {"method.blend.when", "method.blend.teacher"}
    assert set(plan.searched) == blend | {"method.matte_share", "method.blended_weight"}
    runs = [searched_configuration(plan, drawn) for drawn in draws(as_random(plan))]
    assert len(runs) == 40
    # Every draw is possible, and none needs a teacher of its own.
    assert {stage for run in runs for stage in stages_of(run) if stage.name == "teacher"} == {stages_of(runs[0])[0]}


def test_backbones_have_weights_that_pip_installs_and_are_timed() -> None:
    plan = load_plan("backbones")
    names = plan.space["model.backbone"]
    assert names == list(PACKAGES)
    assert {run.model.weights for run in configurations(plan)} == {"package"}
    networks = plan.timed_networks(run.model for run in configurations(plan))
    assert len(networks) == 2 * len(names)
    assert {backbone for _, backbone in networks} == set(names)
    assert distinct("backbones") == 3 * len(networks) == 18
    assert "18 runs" in plan.about


def test_the_backbones_of_a_hub_are_pyramidal_and_light() -> None:
    [words] = [words for words in COMMANDS["backbones"] if "base.model.weights=hub" in words]
    plan = load_plan("backbones", [words[i + 1] for i, word in enumerate(words) if word == "--set"])
    names = {run.model.backbone for run in configurations(plan)}
    assert len(names) == 10
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in Encoder(name).parameters()) for name in names]
    assert max(sizes) < 22e6


def test_annotation_cost_runs_equal_runs_once() -> None:
    assert len(configurations(load_plan("annotation-cost"))) == (4 * 4 * 3 + 3 * 4 + 1) * 3
    # mlb and joint everywhere; seg_only by masks, matte_only by mattes alone; mlb at each further grade, and at two of them
    assert distinct("annotation-cost") == 3 * (2 * 12 + 3 + 4 + 3 * 4 + 1) == 132
    assert "132 runs" in load_plan("annotation-cost").about
    [without] = re.findall(
        r"# Without the further grades \((\d+) runs\)", (SHIPPED / "annotation-cost.yaml").read_text()
    )
    assert int(without) == distinct("annotation-cost", ["also=[]"]) == 93


def test_budgets_may_be_grids_over_grades() -> None:
    plan = load_plan(
        "annotation-cost", ["also=[]", "seeds=[0]", "budgets=[{mattes: [10, 80], masks: {polygon: [100, 1000]}}]"]
    )
    assert [(each.mattes, each.masks) for each in plan.label_budgets()] == [
        (10, 100),
        (10, 1000),
        (80, 100),
        (80, 1000),
    ]
    grid = "budgets=[{mattes: 10, masks: {polygon: [0, 100], fine: [30, 300]}}]"
    plan = load_plan("annotation-cost", ["also=[]", "seeds=[0]", grid])
    asked = [each.masks for each in plan.label_budgets()]
    assert asked == [{"fine": 30}, {"fine": 300}, {"polygon": 100, "fine": 30}, {"polygon": 100, "fine": 300}]
    assert plan.num_runs == 4 * 4


def test_paper_takes_manifests_and_names_a_missing_one(tmp_path: Path) -> None:
    here = [f"base.data.root={tmp_path}", "base.model.weights=none", "base.data.size=64"]
    plan = load_plan("paper", here)
    with pytest.raises(UserError, match=rf"there is no manifest at {tmp_path}/mattes.parquet; write one with `wsshm"):
        expand(plan)
    tiny.make(tmp_path)
    shutil.copy(tmp_path / "mattes.parquet", tmp_path / "backgrounds.parquet")
    for name in plan.base["data"]["test"]:
        shutil.copy(tmp_path / "test.parquet", tmp_path / name)
    runs = expand(plan)
    assert len(runs) == 45
    assert {(run.config.train.workers, run.config.train.gpus_per_worker) for run in runs} == {(2, 1.0)}


def test_photos_goes_with_what_its_comments_make(tmp_path: Path) -> None:
    """The commands in its head, on tiny pictures laid out as they say."""
    tiny.make_folders(tmp_path / "DATA")
    text = (SHIPPED / "photos.yaml").read_text()
    places = {"DATA": f"{tmp_path}/DATA", "M": f"{tmp_path}/M"}
    [words] = [shlex.split(line) for line in re.findall(r"#   wsshm data (prepare .*)", text)]
    done = CliRunner().invoke(data_app, [places.get(word, word) for word in words], catch_exceptions=False)
    *_, measuring, following = done.output.splitlines()
    stats = CliRunner().invoke(data_app, shlex.split(measuring.partition("wsshm data ")[2]), catch_exceptions=False)
    assert "boundary error 0.0 thousandths of the shorter side" in stats.output  # tiny masks are exact
    command = shlex.split(following.removeprefix("next: wsshm sweep run "))
    assert command == ["photos", "--set", f"base.data.root={tmp_path}/M"]
    runs = expand(load_plan(command[0], [command[2], "base.model.weights=none"]))
    assert len(runs) == 33
    sources = runs[0].sources
    assert (len(sources.mattes), len(sources.backgrounds), len(sources.masks)) == (8, 4, 4)
    assert (len(sources.val), {name: len(part) for name, part in sources.test.items()}) == (
        2,
        {"composites/composites.parquet": 8, "photos.parquet": 8},
    )
    assert {s.attributes["truth"] for s in sources.test["photos.parquet"].samples} == {"estimated"}


@pytest.mark.parametrize("name", shipped_plans())
def test_what_is_timed_is_an_input_that_is_scored(name: str) -> None:
    """Every plan that times models has timings of the rule that its runs are scored by: their own size."""
    plan = load_plan(name)
    for size in {run.data.size for run in configurations(plan)} if plan.speed.models else ():
        rule = str(Short(size))  # as bench.accuracy scores a run
        assert [timed for timed in plan.timed_sizes() if same_input(rule, *parse_size(timed))] == [size]
