"""The boxes of the first screen: every answer against plain means of the rows that it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn_by

from bench.cost import CostModel
from bench.store import Store
from reports import answers, choice, shipping
from reports.comparison import compare
from reports.document import Answer, decimals
from reports.figures import speed
from reports.figures.style import theme
from reports.load import load
from reports.page import build
from reports.sections import Given, limits, strip
from tests.reports import simulated_runs
from tests.reports.example_store import DATA, run_row, sample_rows, speed_rows
from tests.reports.pages import Page
from tests.reports.plain_sentences import Plain
from tests.reports.test_sentences import fill, studies
from tests.test_printed_commands import taken

Levels = Mapping[str, float]  # SAD of methods, or of backbones
PHOTOS = "photos.parquet"
LABELS = {"matte_only": (40, 0), "seg_only": (0, 1000)}
ONE_STAGE = {"teacher": "average", "threshold": 0.02, "band": 0.015}
MS = {"small": 10.0, "middle": 20.0, "large": 50.0}  # of a picture


def write(
    store: Store, run: dict, dataset: str, level: float, images: int, noise: float = 0.05, **changes: object
) -> None:
    """Scores of a run whose mean SAD is exactly `level`, with a scatter of its own over the images."""
    rng = np.random.default_rng(sum(map(ord, f"{run['run_id']}{dataset}")))
    values = np.linspace(0.5, 1.5, images) * (1 + rng.normal(0, noise, images))
    shared = {"run_id": run["run_id"], "dataset": dataset, "protocol": "short128", "convention": "p3m"}
    shared |= {"truth": "exact", "metric_version": "1", "region": "whole", **changes}
    sads = level * values / values.mean()
    store.write("scores", [{**shared, "image": f"{n:03d}", "sad": float(sad)} for n, sad in enumerate(sads)])


def configured(method: str, seed: int = 0, data: Mapping[str, object] | None = None) -> dict[str, object]:
    """What a run's row has beside its scores: a blend of its own for mlb."""
    own = {"name": method} | ({"blend": ONE_STAGE} if method == "mlb" else {})
    config = {"method": own, "train": {"steps": 400, "seed": seed}, "data": {**DATA, **(data or {})}}
    return run_row(method, *LABELS.get(method, (40, 1000)), seed, config=json.dumps(config))


def methods(root: Path, levels: Mapping[str, Levels], images: int = 40, noise: float = 0.05, **data: object) -> Store:
    """A run of each method, scored on test sets (by name: SAD of each method)."""
    store = Store(root)
    for method in dict.fromkeys(name for of_set in levels.values() for name in of_set):
        row = configured(method, data=data)
        store.write("runs", [row])
        for dataset, of_set in levels.items():
            write(store, row, dataset, of_set[method], images, noise)
    return store


def networks(root: Path, levels: Mapping[str, Levels], noise: float = 0.01) -> Store:
    """A run of mlb with each backbone of `MS`, timed, scored on test sets."""
    store = Store(root)
    timing = next(row for row in speed_rows(np.random.default_rng(0)) if row["scope"] == "end_to_end")
    for backbone, ms in MS.items():
        row = configured("mlb") | {"run_id": backbone, "backbone": backbone}
        store.write("runs", [row])
        times = {"p50_ms": ms, "median_low_ms": 0.98 * ms, "median_high_ms": 1.02 * ms, "fps": 1000 / ms}
        store.write("speed", [timing | times | {"backbone": backbone, "model": f"unet/{backbone}"}])
        for dataset, of_set in levels.items():
            write(store, row, dataset, of_set[backbone], 40, noise)
    return store


def given(root: Path, budget: float | None = None, target_fps: float | None = None) -> Given:
    frames, cost = load(root), CostModel()
    found = compare(frames, cost) if len(frames.scores) else []
    return Given(frames, found, cost, None, budget, target_fps)


def said(root: Path, **asked: float) -> dict[str, Answer]:
    with theme():
        return {answer.name: answer for answer in answers.made(given(root, **asked))}


def whole(answer: Answer) -> str:
    return " ".join([answer.text, answer.why, *answer.sure, answer.remedy])


def percents(text: str, name: str) -> list[float]:
    """The difference and its interval as a line gives them: `joint (+3.4 %, +1.8 to +5.2)`."""
    [found] = re.findall(rf"{name} \((\S+) %, (\S+) to (\S+)\)", text)
    return [float(part.replace("−", "-")) for part in found]


def test_a_blend_that_is_significantly_better_is_advised_with_its_settings(tmp_path):
    methods(tmp_path, {"a/test": {"joint": 1.0, "seg_only": 0.9, "matte_only": 2.0, "mlb": 0.75}})
    answer = said(tmp_path)["blend"]
    assert answer.text == "Blend: train mlb in one stage (threshold 0.02 and band 0.015)."
    assert answer.why == (
        "The best method without a blend, seg_only, has an error 20.0 % higher, a significant difference."
    )
    difference, low, high = percents(" ".join(answer.sure), "seg_only")
    assert difference == 20.0
    assert 0 < low < 20 < high
    assert answer.sure[-1] == "From 40 images of a/test, one seed each, 40 mattes + 1,000 masks."
    assert answer.section == "methods"


def test_where_the_blend_loses_it_is_not_advised(tmp_path):
    methods(tmp_path, {"a/test": {"joint": 0.8, "seg_only": 1.0, "mlb": 0.9}})
    answer = said(tmp_path)["blend"]
    assert answer.text == "No blend: train joint (both kinds of labels in every batch)."
    assert answer.why == "Its error is the lowest, by a significant difference."
    assert percents(" ".join(answer.sure), "mlb")[0] == 12.5
    assert "No significant difference" not in whole(answer)


def test_without_a_significant_difference_the_simpler_method_is_advised(tmp_path):
    methods(tmp_path, {"a/test": {"joint": 1.0, "seg_only": 1.6, "mlb": 0.996}}, noise=0.1)
    answer = said(tmp_path)["blend"]
    assert answer.text == "No blend: train joint (both kinds of labels in every batch)."
    assert answer.why == (
        "The error of mlb in one stage is 0.4 % lower, which is no significant difference, and joint is simpler."
    )
    difference, low, high = percents(answer.sure[0], "mlb")
    assert difference == -0.4
    assert low < 0 < high
    assert "Significantly worse: seg_only (+60.0 %" in answer.sure[1]


def test_a_lead_that_is_large_and_not_significant_decides_nothing(tmp_path):
    methods(tmp_path, {"a/test": {"joint": 1.0, "mlb": 0.9}}, images=8, noise=0.5)
    answer = said(tmp_path)["blend"]
    assert answer.text == ("Not decided, but mlb in one stage (threshold 0.02 and band 0.015) has the lowest error.")
    assert answer.why == "That of joint, without a blend, is 11.1 % higher, which is no significant difference."


def test_a_test_set_that_contradicts_is_named_beside_the_advice(tmp_path):
    levels = {"a/test": {"joint": 1.0, "mlb": 0.8}, "b/test": {"joint": 2.0, "mlb": 2.5}}
    methods(tmp_path, levels)
    answer = said(tmp_path)["blend"]
    assert answer.text.startswith("Blend: train mlb")
    assert answer.why.endswith("On b/test, though, joint is significantly better.")
    [line] = [line for line in answer.sure if line.startswith("Test sets disagree: on b/test the error is lower with")]
    assert percents(line, "joint")[0] == -20.0
    assert set(answer.picture.frame["dataset"]) == {"a/test", "b/test"}


def test_a_test_set_that_agrees_is_named_too(tmp_path):
    levels = {
        "a/test": {"joint": 1.0, "mlb": 1.002},
        "b/test": {"joint": 2.0, "mlb": 2.5},
        "c/test": {"joint": 1, "mlb": 1},
    }
    methods(tmp_path, levels)
    told = said(tmp_path)["blend"]
    assert told.text.startswith("No blend: train joint")
    assert "though" not in told.why
    assert any(
        re.match(r"On b/test none is .* mlb \(\+25.0 %.*\) is significantly worse\.", line) for line in told.sure
    )
    assert "On c/test none is significantly better either." in told.sure


def test_photos_of_the_users_own_come_before_composites(tmp_path):
    levels = {"composites/c.parquet": {"joint": 1.0, "mlb": 1.5}, PHOTOS: {"joint": 1.0, "mlb": 0.7}}
    store = methods(tmp_path, levels, masks=PHOTOS)
    for dataset in levels:
        for method in levels[dataset]:
            rows = sample_rows(f"{method}-40-1000-0", method, 0.5)
            store.write("samples", [row | {"dataset": dataset} for row in rows])
    answer = said(tmp_path)["blend"]
    assert answer.text.startswith("Blend: train mlb")
    assert f"From 40 images of {PHOTOS}" in answer.sure[-1]
    found = given(tmp_path)
    with theme():
        [sheet] = strip.section(found.frames, found.comparisons).blocks
    assert sheet.caption.startswith(f"{PHOTOS}, 40 mattes + 1,000 masks")


def test_methods_without_a_blend_alone_are_said_to_be_so(tmp_path):
    methods(tmp_path, {"a/test": {"joint": 1.0, "seg_only": 1.6}})
    answer = said(tmp_path)["blend"]
    assert answer.text == "No method that was trained blends: train joint (both kinds of labels in every batch)."


@pytest.mark.parametrize(
    ("levels", "images", "words"),
    [({"mlb": 1.0}, 40, "mlb alone was trained"), ({"mlb": 1.0, "joint": 0.9}, 1, "one image was scored")],
)
def test_what_cannot_be_compared_is_no_answer(tmp_path, levels, images, words):
    methods(tmp_path, {"a/test": levels}, images=images)
    answer = said(tmp_path)["blend"]
    assert answer.text.startswith("This store cannot say: ")
    assert words in answer.text
    assert (answer.picture, answer.sure, answer.section) == (None, (), "")
    command = answer.remedy.partition(": ")[2]
    if images > 1:
        assert command.startswith("wsshm sweep run methods ")
        taken(command)


def test_the_numbers_are_those_of_the_tables(simulated, tmp_path):
    report = build(simulated.root, tmp_path / "report").parent
    drawn = pd.read_parquet(report / "figures/answer-blend.parquet").set_index("label")
    table = pd.read_csv(report / "tables/differences-80-mattes-3000-masks.csv")
    table = table[(table["measure"] == "sad")].set_index("label")
    means = pd.read_csv(report / "tables/methods-80-mattes-3000-masks.csv")
    means = means[means["measure"] == "sad"].set_index("label")["mean"]
    for label in ("joint", "seg_only", "matte_only"):
        assert drawn.loc[label, "mean"] == pytest.approx(means[label])
        for of, name in (("mean", "percent"), ("low", "low"), ("high", "high")):
            assert drawn.loc[label, name] == pytest.approx(100 * table.loc[label, of] / means["mlb"])
        assert drawn.loc[label, "verdict"] == table.loc[label, "verdict"]
    rates = pd.read_parquet(report / "figures/answer-backbone.parquet").set_index("network")
    section = pd.read_parquet(report / "figures/speed.parquet")
    section = section[(section["kind"] == "trained") & (section["panel"] == rates["panel"].iloc[0])].set_index(
        "network"
    )
    assert set(rates.index) == set(section.index)
    assert rates["mean"].to_numpy() == pytest.approx(section.loc[rates.index, "mean"].to_numpy())
    page = Page((report / "index.html").read_text())
    boxes = [str(attributes["id"]) for tag, attributes in page.tags if tag == "article"]
    assert boxes == ["answer-labels", "answer-blend", "answer-backbone"]
    assert page.ids.index("answers") < page.ids.index("strip") < page.ids.index("limits") < page.ids.index("summary")
    assert page.ids.index("qualitative") < page.ids.index("cost")
    links = {attributes.get("href") for tag, attributes in page.tags if tag == "a"}
    assert {"#methods", "#speed", "#cost"} <= links
    text = (report / "report.md").read_text()
    assert "### How to blend?\n\n**Blend: train mlb in two stages (threshold 0.3 and band 0.025).**" in text
    assert text.index("## In short") < text.index("## In pictures") < text.index("## What holds these answers back")


def test_the_planners_split_is_told_as_its_table_has_it(tmp_path):
    simulated_runs.fill(tmp_path, simulated_runs.simulated("sum"), images=12)
    found = given(tmp_path)
    [answer] = [each.answer(found) for each in answers.QUESTIONS.entries() if each.name == "labels"]
    best = found.purchase.plans[0].answer.best
    hours = [690 * best.mattes / 3600, 79.2 * best.masks / 3600]
    assert answer.text == (
        f"For 37.3 h of annotation: {best.mattes} mattes ({hours[0]:.1f} h) and {best.masks:,} masks ({hours[1]:.1f} h)."
    )
    assert "--budget" in answer.why
    places = decimals([best.sad])
    assert answer.sure[0].startswith(
        f"Predicted SAD {best.sad:.{places}f} thousand pixels (95 % interval {best.low:.{places}f} to"
    )
    assert answer.sure[3].startswith("From 36 runs of mlb (3 seeds) on 1")
    split = answer.picture.frame.set_index("kind").loc["split"]
    assert (split["mattes"], split["masks"]) == (best.mattes, best.masks)
    line = answer.picture.frame[answer.picture.frame["kind"] == "line"]
    assert line["sad"].min() == pytest.approx(best.sad)
    assert answer.section == "planner"
    asked = said(tmp_path, budget=20 * 3600.0)["labels"]
    assert asked.text.startswith("For 20.0 h of annotation: ")
    assert asked.why == ""


def test_a_store_that_carries_no_plan_says_so_and_what_it_knows(tmp_path):
    methods(tmp_path, {"a/test": {"joint": 1.0, "seg_only": 0.9, "matte_only": 2.0, "mlb": 0.75}})
    answer = said(tmp_path)["labels"]
    assert answer.text == "This store cannot say yet: its runs cover too few numbers of labels."
    command = answer.remedy.removeprefix("To answer it: ")
    assert command.startswith("wsshm sweep run annotation-cost ")
    taken(command)
    assert answer.sure[0] == (
        "Measured so far, lowest SAD in thousand pixels: mattes alone 2.000 (matte_only, 7.7 h); masks alone 0.900"
        " (seg_only, 22.0 h); both kinds 0.750 (mlb, 29.7 h)."
    )
    assert list(answer.picture.frame["sad"].round(6)) == [2.0, 0.9, 0.75]


def test_runs_that_do_not_support_a_plan_are_no_plan(tmp_path):
    simulated_runs.fill(tmp_path, simulated_runs.simulated(lambda m, s: 1.0 + 0 * m * s), images=6)
    answer = said(tmp_path)["labels"]
    assert answer.text.startswith("The runs do not support an answer: ")
    assert answer.remedy.startswith("To answer it: ")


LEVELS = {"small": 3.0, "middle": 2.0, "large": 1.0}


def test_what_to_ship_depends_on_the_rate_where_speed_costs_accuracy(tmp_path):
    networks(tmp_path, {"a/test": LEVELS})
    answer = said(tmp_path)["backbone"]
    assert answer.text == "It depends on the frame rate that you must hold."
    assert [line.partition(" (")[0] for line in answer.sure[:3]] == [
        "Up to 19 frames per second: large, SAD 1.00",
        "Up to 49 frames per second: middle, SAD 2.00",
        "Up to 98 frames per second: small, SAD 3.00",
    ]
    assert answer.sure[3].startswith("The error of the fastest compared with the lowest: +200.0 % (")
    assert answer.sure[3].endswith("a significant difference.")
    taken(answer.sure[-1].partition(": ")[2])
    assert answer.section == "speed"


def test_what_to_ship_at_a_rate_is_what_the_section_advises(tmp_path):
    networks(tmp_path, {"a/test": LEVELS})
    answer = said(tmp_path, target_fps=30)["backbone"]
    assert (answer.text, answer.why) == (
        "Ship middle.",
        "Of the 2 networks that hold 30 frames per second it has the lowest error.",
    )
    assert re.fullmatch(
        r"SAD 2\.00 \(\S+ to \S+\) thousand pixels at 50\.0 frames per second \(49\.0 to 51\.0\)\.", answer.sure[0]
    )
    found = given(tmp_path)
    [advice] = shipping.advice(speed.data(found.comparisons, found.frames.speed), 30)
    assert "ship middle" in advice
    assert "--target-fps" not in whole(answer)
    assert said(tmp_path, target_fps=80)["backbone"].why == "Of 3 networks it alone holds 80 frames per second."


def test_a_rate_that_no_network_holds_is_said_to_be_so(tmp_path):
    networks(tmp_path, {"a/test": LEVELS})
    answer = said(tmp_path, target_fps=500)["backbone"]
    assert answer.text == "None of the 3 networks holds 500 frames per second."
    assert answer.why.startswith("The fastest is small. SAD 3.00 (")
    assert "ship" not in whole(answer).lower()


def test_speed_that_costs_nothing_that_is_measured_is_taken(tmp_path):
    networks(tmp_path, {"a/test": {"small": 1.005, "middle": 1.5, "large": 1.0}, "b/test": LEVELS}, noise=0.2)
    answer = said(tmp_path)["backbone"]
    assert (answer.text, answer.why) == (
        "Ship small.",
        "It is the fastest of 3 networks, and its error is not significantly above the lowest.",
    )
    assert any("+0.5 % (" in line and line.endswith("no significant difference.") for line in answer.sure)
    assert "On b/test: large has the lowest error, small is the fastest." in answer.sure


def test_a_network_that_is_best_in_both_is_the_one_to_ship(tmp_path):
    networks(tmp_path, {"a/test": {"small": 1.0, "middle": 2.0, "large": 3.0}})
    answer = said(tmp_path)["backbone"]
    assert answer.text == "Ship small."
    assert answer.why == "Of 3 networks it is the fastest and has the lowest error."


def test_without_timings_or_a_second_network_there_is_nothing_to_ship(tmp_path):
    methods(tmp_path / "untimed", {"a/test": {"joint": 1.0, "mlb": 0.7}})
    untimed = said(tmp_path / "untimed")["backbone"]
    assert untimed.text == "This store cannot say: nothing was timed."
    taken(untimed.remedy.removeprefix("To answer it: "))
    store = methods(tmp_path / "single", {"a/test": {"joint": 1.0, "mlb": 0.7}})
    store.write("speed", speed_rows(np.random.default_rng(0)))
    single = said(tmp_path / "single")["backbone"]
    assert single.text == "This store cannot say: one network was trained."
    command = single.remedy.removeprefix("To answer it: ")
    assert command.startswith("wsshm sweep run backbones ")
    taken(command)


def test_networks_timed_at_another_size_are_not_ranked(tmp_path):
    store = networks(tmp_path, {"a/test": LEVELS})
    rows = store.read("speed").assign(height=512, width=512).to_dict("records")
    other = Store(tmp_path / "other")
    for table in ("runs", "scores"):
        other.write(table, store.read(table).to_dict("records"))
    other.write("speed", rows)
    answer = said(tmp_path / "other")["backbone"]
    assert answer.text == "This store cannot say: its networks were not timed at the size that was scored."
    assert "`wsshm bench speed --models" in answer.remedy


def test_predictions_of_others_or_timings_alone_answer_nothing(tmp_path):
    outside = Store(tmp_path / "external")
    kept = {"run_id": "external-01", "method": "theirs", "status": "finished", "config": json.dumps({"evaluate": {}})}
    row = dict.fromkeys(run_row("x", 1, 1, 0)) | kept
    outside.write("runs", [row])
    write(outside, row, "a/test", 1.0, 40, protocol="external")
    Store(tmp_path / "timed").write("speed", speed_rows(np.random.default_rng(0)))
    for name in ("external", "timed"):
        found = said(tmp_path / name)
        assert [answer.text.startswith(("This store cannot say", "No finished run")) for answer in found.values()] == [
            True
        ] * 3
        assert not any(answer.picture or answer.section in ("methods", "planner") for answer in found.values())
        for answer in found.values():
            taken(answer.remedy.removeprefix("To answer it: "))
        assert limits.sentences(given(tmp_path / name).comparisons, given(tmp_path / name).frames) == []


def test_pictures_are_of_the_two_best_methods_and_the_blend(tmp_path):
    store = methods(tmp_path, {"procedural/test": {"joint": 0.9, "seg_only": 0.8, "matte_only": 2.0, "mlb": 1.2}})
    for method in ("joint", "seg_only", "matte_only", "mlb"):
        mattes, masks = LABELS.get(method, (40, 1000))
        store.write("samples", sample_rows(f"{method}-{mattes}-{masks}-0", method, 0.5))
    found = given(tmp_path)
    with theme():
        section = strip.section(found.frames, found.comparisons)
    [sheet] = section.blocks
    assert set(sheet.frame["column"]) == {"photo", "mask", "blended label", "joint", "seg_only", "truth"}
    assert list(dict.fromkeys(sheet.frame["image"])) == ["test-0000", "test-0001", "test-0002"]
    titles = [axes.get_title(loc="center") for axes in sheet.figure.axes[:6]]
    assert titles == ["photo", "mask", "blended label", "seg_only", "joint", "truth"]


def test_a_store_without_pictures_has_a_page_without_the_strip(tmp_path):
    methods(tmp_path / "store", {"a/test": {"joint": 1.0, "mlb": 0.7}})
    page = Page(build(tmp_path / "store", tmp_path / "report").read_text())
    assert "strip" not in page.ids
    assert "In pictures" not in page.text


def test_what_holds_the_answers_back_is_read_from_the_rows(tmp_path):
    drawn = networks(tmp_path / "drawn", {"procedural/test": LEVELS})
    found = given(tmp_path / "drawn")
    told = limits.sentences(found.comparisons, found.frames)
    assert len(told) == limits.MOST
    assert told[0].startswith("Every method was trained with one seed only")
    assert told[1].startswith("Every test picture is drawn")
    assert "(400 steps at 128 px)" in told[2]
    assert told[3].startswith("Frame rates are of a CPU alone (Example CPU, 2 threads)")
    long = Store(tmp_path / "long")
    for seed in (0, 1):
        for method, level in {"mlb": 1.0, "joint": 1.1}.items():
            row = configured(method, seed) | {"steps": 60_000}
            long.write("runs", [row])
            write(long, row, PHOTOS, level, 40, truth="estimated")
    long.write("speed", [row | {"device": "Example GPU"} for row in drawn.read("speed").to_dict("records")])
    found = given(tmp_path / "long")
    [only] = limits.sentences(found.comparisons, found.frames)
    assert (
        only
        == f"The truth of {PHOTOS} is not exact but estimated: a method that errs as it does looks better than it is."
    )


def test_the_simplest_method_is_chosen_by_its_blend_and_its_order():
    assert choice.blends("mlb")
    assert not any(
        choice.blends(name) for name in ("joint", "seg_only", "confident_masks", "pseudo_label", "unheard of")
    )


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn_by(studies())
def test_whatever_a_store_holds_its_answers_are_whole_and_so(study):
    with TemporaryDirectory() as root:
        store = fill(root, *study)
        for answer in said(Path(root)).values():
            assert answer.text.endswith(".")
            assert not re.search(r"\b(nan|inf|None)\b", whole(answer))
            assert answer.section or not answer.picture
        box = said(Path(root))["blend"]
        if box.picture is None:
            assert box.remedy or "rerun the command" in box.text
            return
        frame = box.picture.frame[box.picture.frame["set"] == 0]
        plain = Plain.of(store, frame["dataset"].iloc[0])
        budget = next(b for b in plain.budgets() if len({cell[0] for cell in plain.rivals(b)}) > 1)
        rivals = {cell[0]: mean for cell, mean in plain.rivals(budget).items()}
        assert frame.set_index("label")["mean"].to_dict() == pytest.approx(rivals)
        [chosen] = frame.loc[frame["verdict"].isna(), "label"]
        assert f"train {chosen}" in box.text or f"but {chosen}" in box.text
        assert ("Its error is the lowest" in box.why) <= (rivals[chosen] == min(rivals.values()))
        best = frame.loc[frame["mean"] == min(rivals.values())]
        assert (best["percent"] >= -choice.CLOSE).all()
        assert (best["verdict"].isna() | (best["verdict"] == "no significant difference")).any()
