"""The fairness rules: equal steps, who sees which label, what is shared, what a run's identity covers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.wsshm import tiny
from wsshm import methods
from wsshm.config import Budget, RunConfig, override, parse
from wsshm.data.manifest import Manifest
from wsshm.data.sources import Sources, budgeted, budgeted_masks, open_sources
from wsshm.errors import UserError
from wsshm.methods import stages_of
from wsshm.training.planning import digest, plan_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def sources(root: Path) -> Sources:
    return open_sources(tiny.config(root).data)


def changed(config: RunConfig, *assignments: str) -> RunConfig:
    return parse(override(config.model_dump(mode="json"), list(assignments)))


def run_id(config: RunConfig, sources: Sources) -> str:
    return plan_run(config, sources).run_id


def test_a_method_stands_in_the_file_of_its_name() -> None:
    assert set(methods.names()) == set(methods.METHODS.own)


@pytest.mark.parametrize("method", methods.names())
@pytest.mark.parametrize("refresh", [1, 3])
def test_every_method_gets_the_same_number_of_steps(root: Path, method: str, refresh: int) -> None:
    config = changed(tiny.config(root, method, steps=100, teacher_steps=30), f"method.blend.refresh={refresh}")
    stages = stages_of(config)
    assert sum(stage.steps for stage in stages) == 100
    names = [stage.name for stage in stages]
    assert len(set(names)) == len(names)
    for position, stage in enumerate(stages):  # a stage builds on earlier ones only
        assert {name for name in (stage.start, stage.teacher) if name} <= set(names[:position])


def test_who_sees_which_label(root: Path, sources: Sources) -> None:
    runs = {method: plan_run(tiny.config(root, method)) for method in methods.names()}
    assert {method: (run.mattes, run.masks) for method, run in runs.items()} == {
        "matte_only": (6, 0),
        "seg_only": (0, 8),
        "joint": (6, 8),
        "matte_then_seg": (6, 8),
        "mlb": (6, 8),
        "mlb_masklabel": (6, 8),
        "pseudo_label": (6, 0),
        "mean_teacher": (6, 0),
        "mixmatch_like": (6, 0),
        "ddc": (0, 8),
        "confident_masks": (6, 8),
        "matanyone_like": (6, 8),
        "sghm_like": (6, 8),
        "bshm_like": (6, 8),
        "oracle": (6 + 8, 0),
    }
    assert not any(stage.uses_photos for stage in stages_of(tiny.config(root, "matte_only")))
    for method in ("seg_only", "ddc"):
        assert not any(stage.uses_mattes for stage in stages_of(tiny.config(root, method)))


def test_the_controls_differ_from_mlb_in_the_label_alone(root: Path) -> None:
    mlb = stages_of(tiny.config(root, "mlb"))
    for control, label in (("mlb_masklabel", "masklabel"), ("oracle", "truth"), ("pseudo_label", "pseudo")):
        stages = stages_of(tiny.config(root, control))
        assert stages[0] == mlb[0]
        assert stages[1].photo_label == label
        assert (stages[1].steps, stages[1].matte_share, stages[1].start) == (
            mlb[1].steps,
            mlb[1].matte_share,
            mlb[1].start,
        )


def test_the_share_of_mattes_is_the_methods_own_unless_it_is_given(root: Path) -> None:
    for method, own in (("joint", 0.5), ("mean_teacher", 0.5), ("mlb", 0.0), ("mlb_masklabel", 0.0), ("oracle", 0.0)):
        config = tiny.config(root, method)
        assert stages_of(config)[-1].matte_share == own
        assert stages_of(changed(config, "method.matte_share=0.25"))[-1].matte_share == 0.25
    (student,) = stages_of(changed(tiny.config(root, "joint"), "method.matte_share=0"))
    assert not student.uses_mattes
    for method, only in (("matte_only", 1.0), ("seg_only", 0.0)):
        assert stages_of(changed(tiny.config(root, method), "method.matte_share=0.25"))[0].matte_share == only


def test_one_teacher_serves_all_that_need_it(root: Path, sources: Sources) -> None:
    first = {
        method: plan_run(tiny.config(root, method)).stages[0].address
        for method in ("mlb", "mlb_masklabel", "matte_then_seg", "pseudo_label", "oracle")
    }
    assert len(set(first.values())) == 1
    config = tiny.config(root)
    teacher = first["mlb"]
    for other_teacher in ("train.seed=1", "train.teacher_steps=1", "budget.mattes=3", "train.lr=0.1", "data.size=128"):
        assert plan_run(changed(config, other_teacher)).stages[0].address != teacher
    for same_teacher in ("train.steps=9", "budget.masks=4", "method.blend.threshold=0.3", "method.matte_share=0.5"):
        other = plan_run(changed(config, same_teacher)).stages
        assert other[0].address == teacher
        assert other[1].address != plan_run(config).stages[1].address


def test_a_run_is_what_changes_its_numbers(root: Path, sources: Sources) -> None:
    config = tiny.config(root)
    own = run_id(config, sources)
    assert len(own) == 16
    for execution in ("train.workers=2", "train.cpus_per_worker=4", "train.loader_workers=1", "train.max_failures=9"):
        assert run_id(changed(config, execution), sources) == own
    for number in ("train.seed=1", "train.batch=8", "method.blend.band=0.1", "train.loss.l1=2", "train.ema=0.9"):
        assert run_id(changed(config, number), sources) != own
    moved = Sources(
        *(Manifest("/elsewhere", m.samples) for m in (sources.mattes, sources.backgrounds, sources.masks, sources.val)),
        {name: Manifest("/elsewhere", m.samples) for name, m in sources.test.items()},
    )
    assert run_id(config, moved) == own


RECIPES = {
    "matte_only": "6d0da28200635d0f",
    "seg_only": "524664232694063c",
    "joint": "59406392eea62990",
    "matte_then_seg": "48e1dc9dd7a13e88",
    "mlb": "361fe137fd1a484e",
    "mlb_masklabel": "15f5714f80bd4c69",
    "oracle": "180ec96d76ae98e2",
}


@pytest.mark.parametrize("method", RECIPES)
def test_what_was_trained_with_an_older_release_keeps_its_address(method: str) -> None:
    blend = {"threshold": 0.5, "band": 0.04}  # what that release had by default
    stages = stages_of(parse({"method": {"name": method, "blend": blend}}))
    assert digest([stage.recipe() for stage in stages]) == RECIPES[method]


def test_all_labels_and_their_number_are_the_same_budget(root: Path, sources: Sources) -> None:
    config = tiny.config(root)
    assert run_id(changed(config, "budget={mattes: 6, masks: 8}"), sources) == run_id(config, sources)


def test_a_weights_file_counts_by_its_content(root: Path, sources: Sources, tmp_path: Path) -> None:
    ids = []
    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        file = tmp_path / folder / "w.safetensors"
        file.parent.mkdir()
        file.write_bytes(content)
        ids.append(run_id(changed(tiny.config(root), f"model.weights={file}"), sources))
    assert ids[0] == ids[1] != ids[2]


def test_a_label_that_a_method_needs_cannot_be_budgeted_away(root: Path) -> None:
    for method, key in (("mlb", "masks"), ("joint", "mattes"), ("seg_only", "masks")):
        with pytest.raises(UserError, match=rf"'{method}' learns from {key}; raise budget.{key}"):
            plan_run(changed(tiny.config(root, method), f"budget.{key}=0"))
    assert plan_run(changed(tiny.config(root, "seg_only"), "budget.mattes=0"))
    with pytest.raises(UserError, match=r"a batch of 1 cannot hold a share of 0.5 mattes"):
        stages_of(changed(tiny.config(root, "joint"), "train.batch=1"))


def test_a_method_is_the_same_run_under_budgets_of_labels_it_never_uses(root: Path, sources: Sources) -> None:
    config = tiny.config(root, "seg_only")
    assert run_id(changed(config, "budget.mattes=2"), sources) == run_id(config, sources)
    assert run_id(changed(config, "budget.masks=2"), sources) != run_id(config, sources)
    assert run_id(changed(config, "method.blend.threshold=0.1"), sources) == run_id(config, sources)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_budgets_are_nested(sources: Sources, seed: int) -> None:
    subsets = [{s.id for s in budgeted(sources.masks, n, seed, "masks")} for n in range(len(sources.masks) + 1)]
    for smaller, larger in pairwise(subsets):
        assert smaller < larger
    shuffled = Manifest(sources.masks.root, reversed(sources.masks.samples))
    assert {s.id for s in budgeted(shuffled, 3, seed, "masks")} == subsets[3]


def test_seeds_draw_different_subsets(sources: Sources) -> None:
    assert len({tuple(s.id for s in budgeted(sources.masks, 4, seed, "masks")) for seed in range(8)}) > 4


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pictures, the last three of their eight masks stated to be fine."""
    root = tiny.make(tmp_path_factory.mktemp("graded"))
    masks = Manifest.read(root / "masks.parquet")
    states = [replace(s, attributes={"mask_grade": "fine"}) if s.id > "photo4" else s for s in masks.samples]
    Manifest(masks.root, states).write(root / "masks.parquet")
    return root


def test_a_run_is_the_same_however_its_masks_are_written(root: Path, graded: Path) -> None:
    config = tiny.config(root)
    same = {
        plan_run(changed(config, f"budget.masks={text}")).run_id
        for text in ("8", "{polygon: 8}", "{fine: 0, polygon: 8}")
    }
    assert same == {plan_run(config).run_id}
    mixed = tiny.config(graded)
    texts = ("{polygon: 5, fine: 3}", "{fine: 3, polygon: 5}", "{expert: 0, fine: 3, polygon: 5}")
    runs = [plan_run(mixed), *(plan_run(changed(mixed, f"budget.masks={text}")) for text in texts)]
    assert len({run.run_id for run in runs}) == 1
    assert len({str(run.config.budget) for run in runs[1:]}) == 1
    assert {str(run.masks_by_grade) for run in runs} == {str({"polygon": 5, "fine": 3})}
    assert all((run.mattes, run.masks) == (6, 8) for run in runs)
    # The same pictures and masks, of another grade: the labels have another price, so it is another run.
    assert plan_run(config).run_id != runs[0].run_id
    assert plan_run(changed(tiny.config(graded, "matte_only"))).masks_by_grade == {}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grades_have_pictures_of_their_own_and_are_nested_each(graded: Path, seed: int) -> None:
    sources = open_sources(tiny.config(graded).data)

    def chosen(polygon: int, fine: int) -> dict[str, str]:
        samples = budgeted_masks(sources, Budget(masks={"polygon": polygon, "fine": fine}), seed)
        assert len({s.id for s in samples}) == polygon + fine
        return {s.id: s.attributes.get("mask_grade", "polygon") for s in samples}

    budgets = {(p, f): chosen(p, f) for p in range(6) for f in range(4)}
    for (polygon, fine), found in budgets.items():
        assert Counter(found.values()) == {k: v for k, v in (("polygon", polygon), ("fine", fine)) if v}
        for (more, finer), other in budgets.items():
            assert (more < polygon or finer < fine) or found.items() <= other.items()
    assert set(chosen(5, 3)) == {s.id for s in budgeted_masks(sources, Budget(), seed)}
    # Without other grades the order is the one that budgets have always had.
    plain = open_sources(tiny.config(graded).data).masks.where(lambda s: not s.attributes)
    assert list(chosen(4, 0)) == [s.id for s in budgeted(plain, 4, seed, "masks")]


def test_masks_of_a_grade_that_there_are_not_are_refused(root: Path, graded: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"asks for 1 fine masks but the data set has 0 \(8 polygon\); set budget.masks"
    ):
        plan_run(changed(tiny.config(root), "budget.masks={polygon: 7, fine: 1}"))
    with pytest.raises(UserError, match=r"asks for 6 polygon masks but the data set has 5 \(5 polygon, 3 fine\)"):
        plan_run(changed(tiny.config(graded), "budget.masks=6"))
    for value, said in (
        ("{fien: 3}", "budget.masks: masks have no grade 'fien'; the nearest valid choice is 'fine'"),
        ("{fine: -1}", "impossible budget.masks.fine = -1"),
        ("{}", "impossible budget.masks"),
        ("many", "impossible budget.masks = 'many'"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            changed(tiny.config(root), f"budget.masks={value}")
        assert "\n" not in str(caught.value)
    masks = Manifest.read(graded / "masks.parquet")
    unknown = [replace(s, attributes={"mask_grade": "fien"}) for s in masks.samples]
    Manifest(masks.root, unknown).write(tmp_path / "masks.parquet")
    with pytest.raises(UserError, match="sample 'photo0' has mask_grade 'fien'; the nearest valid choice is 'fine'"):
        plan_run(changed(tiny.config(graded), f"data.masks={tmp_path / 'masks.parquet'}"))


def test_impossible_budgets_and_missing_truth_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"asks for 7 mattes but the data set has 6; lower budget.mattes"):
        plan_run(changed(tiny.config(root), "budget.mattes=7"))
    without = tiny.make(tmp_path)
    masks = Manifest.read(without / "masks.parquet")
    bare = [replace(s, matte=None) for s in masks.samples]
    Manifest(masks.root, bare).write(without / "masks.parquet")
    with pytest.raises(UserError, match=r"'oracle' needs true mattes"):
        plan_run(tiny.config(without, "oracle"))
    assert plan_run(tiny.config(without, "mlb"))


def test_sources_that_hold_nothing_usable_are_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"data.val needs at least a val sample"):
        open_sources(changed(tiny.config(root), "data.val=masks.parquet").data)
    with pytest.raises(UserError, match=r"no embedded data set 'procedural/tset'.*procedural/test"):
        open_sources(changed(tiny.config(root), "data.test=[procedural/tset]").data)
    with pytest.raises(UserError, match=r"no manifest at .*absent.parquet"):
        open_sources(changed(tiny.config(root), "data.masks=absent.parquet").data)
