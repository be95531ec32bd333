"""Plans: what they expand to, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench.cost import CostModel
from sweeps.expand import expand
from sweeps.plan import Plan, SpeedPlan, configurations, load_plan
from tests.wsshm import tiny
from wsshm import methods
from wsshm.config import ModelConfig, parse
from wsshm.errors import UserError
from wsshm.keys import first_difference
from wsshm.models import text_of
from wsshm.models.weights import PACKAGES


def test_quickstart_is_what_the_readme_promises() -> None:
    runs = configurations(load_plan("quickstart"))
    networks = {(text_of(r.model.architecture), r.model.backbone) for r in runs}
    assert networks == {("{name: fast, downsample: 1}", name) for name in PACKAGES}
    first = [r for r in runs if r.model.backbone == "tf_efficientnet_lite0" and r.budget.masks == 1000]
    assert sorted((r.method.name, r.method.blend.teacher, r.budget.mattes) for r in first) == [
        ("confident_masks", "stage", 40),
        ("joint", "stage", 40),
        ("mlb", "average", 40),
        ("mlb", "stage", 40),
        ("seg_only", "stage", 40),
    ]
    # Other networks and other labels are trained as one of these is, so that they can be compared.
    others = [r for r in runs if r not in first]
    [alike] = [r for r in first if r.method.blend.teacher == "average"]
    assert all(r.method == alike.method for r in others)
    assert [r.budget.masks for r in others if r.model == alike.model] == [500, {"fine": 500}]
    assert len([r for r in others if r.budget == alike.budget]) == len(PACKAGES) - 1
    assert all((r.train, r.data) == (alike.train, alike.data) for r in runs)


@given(
    st.lists(st.sampled_from(methods.names()), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(0.01, 0.2), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True),
)
def test_a_grid_is_every_combination_once(methods: list, bands: list, seeds: list, mattes: list) -> None:
    plan = Plan(
        name="x",
        space={"method.name": methods, "method.blend.band": bands},
        budgets=[{"mattes": n} for n in mattes],  # type: ignore[arg-type]
        seeds=tuple(seeds),
    )
    found = [(r.method.name, r.method.blend.band, r.train.seed, r.budget.mattes) for r in configurations(plan)]
    assert len(found) == len(set(found)) == len(methods) * len(bands) * len(seeds) * len(mattes)


def test_budgets_by_grade_are_every_combination() -> None:
    plan = Plan(
        name="x",
        budgets=[  # type: ignore[arg-type]
            {"mattes": [10, 20], "masks": {"polygon": [300, 1000], "fine": [0, 100]}},
            {"mattes": 40, "masks": [1000, {"polygon": 900, "fine": 100}]},
        ],
        base={"data": {"procedural": {"natural": {"polygon": 1000, "fine": 100}}}},
    )
    budgets = [(budget.mattes, budget.masks) for budget in plan.label_budgets()]
    several = [300, {"polygon": 300, "fine": 100}, 1000, {"polygon": 1000, "fine": 100}]
    assert budgets[:8] == [(mattes, masks) for mattes in (10, 20) for masks in several]
    assert budgets[8:] == [(40, 1000), (40, {"polygon": 900, "fine": 100})]
    assert plan.num_runs == len(budgets) == len(configurations(plan))
    for where, value in (("budgets", [{"masks": {"fien": 3}}]), ("report", {"cost": {"mask": {"fien": "2s"}}})):
        with pytest.raises(UserError, match=rf"{where}.*masks have no grade 'fien'"):
            parse({"name": "x", where: value}, Plan)


def test_a_plan_prices_masks_by_grade() -> None:
    def prices(**cost: object) -> CostModel:
        return Plan(name="x", report={"cost": cost}).report.cost.model()  # type: ignore[arg-type]

    assert prices(mask={"polygon": "79.2s", "fine": "200s"}) == CostModel.parse("matte=690s,mask=79.2s,mask.fine=200s")
    assert prices(mask={"fine": "200s"}) == prices(mask={"polygon": "79.2s", "fine": "200s"})
    assert prices(mask={"polygon": "80s"}) == prices(mask="80s")
    assert (
        load_plan("smoke", ["report.cost={matte: 600s, mask: {fine: 200s}}"]).report.cost.model().mask_of("fine") == 200
    )


def test_equal_runs_are_run_once(tmp_path: Path) -> None:
    base = tiny.config(tiny.make(tmp_path)).model_dump(mode="json")
    plan = Plan(
        name="x",
        base=base,
        space={"method.name": ["seg_only", "mlb"]},
        budgets=[{"mattes": 2, "masks": 4}, {"mattes": 4, "masks": 4}],  # type: ignore[arg-type]
    )
    runs = expand(plan)
    # seg_only never sees a matte: under both budgets it is one and the same run
    assert sorted((r.config.method.name, r.config.budget.mattes) for r in runs) == [
        ("mlb", 2),
        ("mlb", 4),
        ("seg_only", 2),
    ]


def test_weights_resolved_earlier_are_kept(tmp_path: Path) -> None:
    base = tiny.config(tiny.make(tmp_path)).model_dump(mode="json")
    base["model"]["weights"] = "auto"
    plan = Plan(name="x", base=base)
    weights: dict[str, str] = {"test_efficientnet": "none"}
    (run,) = expand(plan, weights)
    assert run.config.model.weights == "none"
    fresh: dict[str, str] = {}
    expand(plan, fresh)
    assert set(fresh) == {"test_efficientnet"}


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("base.train.bacth=3", ["'train.bacth'", "'batch'"]),
        ("sedes=[1]", ["'sedes'", "'seeds'"]),
        ("search.algorithm=optnua", ["search.algorithm", "'optuna'"]),
        ("report.cost.matte=690", ["690"]),
        ("budgets=[{mattes: -1}]", ["budgets", "-1"]),
        ("budgets=[]", ["budgets", "at least 1"]),
        ("speed.precisions=[fp33]", ["speed.precisions", "'fp32'"]),
    ],
)
def test_mistakes_in_a_plan_are_one_sentence(assignment: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        load_plan("smoke", [assignment])
    for word in words:
        assert word in str(caught.value)


def test_unknown_plans_and_spaces(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no shipped plan 'quikstart'.*'quickstart'"):
        load_plan("quikstart")
    with pytest.raises(UserError, match=r"no file .*mine.yaml"):
        load_plan(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "space": {"method.nmae": ["mlb"]}}))
    with pytest.raises(UserError, match=r"'method.nmae'.*'name'"):
        configurations(load_plan(str(tmp_path / "mine.yaml")))


def test_the_first_difference_of_two_plans() -> None:
    def plan(**base: object) -> dict:
        document = {"name": "x", "base": {"train": {"steps": 4, **base}}}
        return parse(document, Plan).model_dump(mode="json")

    assert first_difference(plan(), plan()) is None
    assert first_difference(plan(), plan(workers=4, loader_workers=2)) is None
    assert first_difference(plan(lr=1.0), plan(lr=2.0)) == ("base.train.lr", 1.0, 2.0)
    assert first_difference(plan() | {"about": "a"}, plan() | {"about": "b"}, ("about",)) is None
    assert first_difference(plan(), plan() | {"seeds": [1]}) == ("seeds", [0], [1])


def test_runs_are_timed_at_the_size_they_are_trained_and_scored_at() -> None:
    assert Plan(name="x").timed_sizes() == [128]
    assert Plan(name="x", base={"data": {"size": 192}}).timed_sizes() == [192]
    varied = Plan(
        name="x",
        space={"data.size": [64, 128]},
        also=({"data.size": 256}, {"method.name": "joint"}),
        speed={"sizes": ["trained", "1080p", 64]},  # type: ignore[arg-type]
    )
    assert varied.timed_sizes() == [64, 128, 256, "1080p"]


def test_what_is_timed_is_what_is_trained_and_what_is_named_beside_it() -> None:
    models = [
        parse({"backbone": backbone, "architecture": architecture}, ModelConfig)
        for architecture, backbone in (("unet", "resnet18"), ("fast", "mobilenetv3_small_100"), ("unet", "resnet18"))
    ]
    trained = [("unet", "resnet18"), ("fast", "mobilenetv3_small_100")]
    assert Plan(name="x").timed_networks(models) == []
    assert Plan(name="x", speed=SpeedPlan(models=("trained",))).timed_networks(models) == trained
    both = Plan(name="x", speed=SpeedPlan(models=("trained", "resnet18"))).timed_networks(models)
    assert both == [*trained, ("fast", "resnet18")]
