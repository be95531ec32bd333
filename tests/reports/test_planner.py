"""Which labels to buy: against the true laws behind simulated runs, by brute force; and when there is no answer."""

from __future__ import annotations

import dataclasses
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import CostModel
from reports import planner
from reports.comparison import Budget, compare
from reports.figures import planner as figure
from reports.figures.style import theme
from reports.laws import fit
from reports.load import load
from reports.planner import measured, plan_budget
from reports.sections.planner import section
from reports.splits import Plan, affordable, plan
from sweeps.plan import load_plan
from tests.reports import example_store
from tests.reports.simulated_runs import LAWS, MASKS, MATTES, fill, simulated
from wsshm.errors import UserError

EUR = CostModel.parse("matte=23EUR,mask=2EUR")
CORNER = EUR.of(MATTES[-1], MASKS[-1])


def asked(runs: pd.DataFrame, budget: float = CORNER, cost: CostModel = EUR, **options) -> Plan:
    return plan(runs, cost, budget, rounds=options.pop("rounds", 60), **options)


def least(name: str, cost: CostModel, budget: float) -> float:
    """The lowest true SAD that the budget buys, of all splits there are."""
    mattes = np.arange(int(budget // cost.matte) + 1)
    return float(LAWS[name](mattes, np.floor((budget - cost.matte * mattes) / cost.mask)).min())


@pytest.mark.parametrize("ratio", [5, 11.5, 30])
@pytest.mark.parametrize("name", LAWS)
def test_the_proposed_split_is_within_ten_per_cent_of_the_best_there_is(name, ratio):
    cost = dataclasses.replace(EUR, matte=ratio * EUR.mask)
    fitted = fit(simulated(name, rng=[3, int(ratio)]), rounds=60)
    for budget in (0.5 * cost.of(80, 1000), cost.of(80, 1000), 2 * cost.of(80, 1000)):
        made = asked(fitted.runs, budget, cost, fitted=fitted)
        assert made.answer is not None
        best = made.answer.best
        truth = LAWS[name](np.float64(best.mattes), np.float64(best.masks))
        if name == "substitutes" and made.reasons:  # the least is at a corner: too unlike the law, and said to be
            assert "the law misses the runs' means" in made.sentences()[0]
            continue
        assert truth <= 1.10 * least(name, cost, budget)


def test_grids_of_laws_like_ours_are_answered():
    for name in ("sum", "slow sum", "product", "offsets", "logarithm"):
        assert asked(simulated(name, rng=[5, 1])).reasons == ()


def test_the_regret_it_names_covers_what_the_split_costs():
    kept = []
    for name in ("slow sum", "product", "offsets"):
        best = least(name, EUR, CORNER)
        for repeat in range(6):
            answer = asked(simulated(name, rng=[11, repeat])).answer
            truth = LAWS[name](np.float64(answer.best.mattes), np.float64(answer.best.masks))
            kept.append(truth / best - 1 <= answer.regret + 1e-3)
    assert np.mean(kept) >= 0.88


def test_grids_that_carry_an_answer_are_supported_and_said_in_words():
    made = asked(simulated("sum", rng=3), have=Budget(10, 100), budget=2000)
    assert made.status == "supported"
    said = made.sentences()
    best, buy = made.answer.best, made.buy
    assert (buy.mattes, buy.masks) == (best.mattes - 10, best.masks - 100)
    assert f"buy {buy.mattes} mattes and {buy.masks:,} masks next" in said[0]
    assert said[0].startswith(
        "For 2,000 EUR (a matte at 23 EUR, a mask at 2 EUR), with 10 mattes and 100 masks already"
    )
    text = " ".join(said)
    for part in ("95 % interval of the best split", "How sure:", "All of it on masks", "36 runs", "3 seeds"):
        assert part in text
    assert "None" not in text
    assert "nan" not in text
    assert "extrapolated" not in str(planner.table([made]).rows)
    few = asked(simulated("sum", rng=3), budget=2000, most_mattes=12)
    assert f"As much as possible on mattes (12 mattes + {few.answer.all_mattes.masks:,} masks)" in " ".join(
        few.sentences()
    )
    beyond = asked(simulated("sum", rng=3), budget=4000)
    assert beyond.extrapolated is ("extrapolated" in str(planner.table([beyond]).rows))
    assert beyond.extrapolated


def test_the_numbers_of_an_answer_hang_together():
    made = asked(simulated("product", rng=1))
    answer, line = made.answer, made.answer.line
    assert answer.best.sad == line["sad"].min()
    assert answer.best.low < answer.best.sad < answer.best.high
    assert answer.best.cost == EUR.of(answer.best.mattes, answer.best.masks) <= made.budget
    for few, many in (answer.interval, answer.near):
        assert few.mattes <= answer.best.mattes <= many.mattes
        assert few.masks >= answer.best.masks >= many.masks
    inside = line[line["mattes"].between(answer.near[0].mattes, answer.near[1].mattes)]
    assert (inside["sad"] <= 1.01 * answer.best.sad).all()
    assert (answer.all_masks.mattes, answer.all_mattes.mattes) == (0, int(CORNER // 23))
    predicted = answer.fitted.law.at(line["mattes"], line["masks"])[0]
    assert line["sad"].to_numpy() == pytest.approx(predicted)


counts = st.integers(0, 3000)
more = st.none() | st.integers(1, 500)
prices = st.floats(0.5, 900).map(lambda price: round(price, 2))


@given(prices, prices, st.floats(1, 200), counts, counts, more, more)
def test_a_split_spends_what_there_is_and_no_more(matte, mask, times, mattes, masks, more_mattes, more_masks):
    cost = CostModel(matte, mask, "EUR")
    budget = times * min(matte, mask)
    most = [None if more is None else there + more for there, more in ((mattes, more_mattes), (masks, more_masks))]
    line = affordable(cost, budget, Budget(mattes, masks), *most)
    spent = cost.of(line["mattes"] - mattes, line["masks"] - masks)
    assert (line[["mattes", "masks"]] >= [mattes, masks]).all(axis=None)
    assert (spent <= budget * (1 + 1e-6)).all()
    assert line["cost"].to_numpy() == pytest.approx(spent.to_numpy())
    another = (budget - spent >= mask * (1 + 1e-6)) & (line["masks"] < (np.inf if most[1] is None else most[1]))
    assert not another.any()
    assert line["mattes"].is_monotonic_increasing
    assert line["mattes"].is_unique
    assert most[0] is None or line["mattes"].max() <= most[0]
    assert line["mattes"].max() == mattes + min(int(budget / matte + 1e-9), np.inf if most[0] is None else more_mattes)


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return simulated("sum", rng=4)


@pytest.fixture(scope="module")
def fitted(runs):
    return fit(runs, rounds=40)


@settings(max_examples=15, deadline=None)
@given(st.floats(30, 20_000), st.floats(1.02, 5), st.integers(0, 60), st.integers(0, 900))
def test_more_money_and_labels_already_there_never_hurt(runs, fitted, budget, times, mattes, masks):
    def sad(money: float, have: Budget) -> float:
        return asked(runs, money, fitted=fitted, have=have).answer.best.sad

    base = sad(budget, Budget(0, 0))
    # Whole labels, and of many mattes not every number is tried: a small step back is theirs.
    assert sad(times * budget, Budget(0, 0)) <= base * 1.002
    assert sad(budget, Budget(mattes, masks)) <= base * 1.002


@settings(max_examples=12, deadline=None)
@given(st.floats(0.01, 1000), st.floats(100, 20_000))
def test_neither_the_unit_of_money_nor_that_of_the_error_changes_the_split(runs, fitted, scale, budget):
    cents = CostModel(EUR.matte * scale, EUR.mask * scale, "EUR")
    one, other = asked(runs, budget, fitted=fitted), asked(runs, budget * scale * (1 + 1e-12), cents, fitted=fitted)
    assert (one.answer.best.mattes, one.answer.best.masks) == (other.answer.best.mattes, other.answer.best.masks)


def test_the_error_may_be_in_any_unit(runs):
    one, other = asked(runs), asked(runs.assign(sad=1000 * runs["sad"]))
    assert one.answer.best.budget == other.answer.best.budget
    assert other.answer.best.high == pytest.approx(1000 * one.answer.best.high, rel=1e-6)
    assert one.answer.regret == pytest.approx(other.answer.regret, rel=1e-4)


def test_a_dearer_matte_is_bought_less_often(runs, fitted):
    bought = []
    for ratio in (2, 5, 10, 20, 40):
        cost = dataclasses.replace(EUR, matte=ratio * EUR.mask)
        bought.append(asked(runs, CORNER, cost, fitted=fitted).answer.best.mattes)
    assert bought == sorted(bought, reverse=True)
    assert bought[0] > bought[-1]


def steps(mattes: tuple[int, ...] = MATTES, masks: tuple[int, ...] = MASKS, **options) -> pd.DataFrame:
    return simulated("sum", mattes=mattes, masks=masks, **options)


UNSUPPORTED = {
    "two numbers of mattes": (steps((10, 40), (50, 100, 300, 1000)), {}, r"2 numbers of mattes \(10 and 40\)"),
    "one number of masks": (steps(MATTES, (1000,)), {}, r"1 number of masks \(1,000\)"),
    "few cells": (
        steps((10, 40, 80)).query("mattes == 10 or masks == 100"),
        {},
        "5 combinations of mattes and masks",
    ),
    "one seed": (steps(seeds=1), {}, "one seed"),
    "no effect": (simulated(lambda m, s: 1.0 + 0 * m, rng=2), {}, "does not fall significantly with more labels"),
    "a rise": (simulated(lambda m, s: 0.2 * (m + 1) ** 0.3 + 5 / s), {}, "rises with more mattes"),
    "another law": (
        simulated(lambda m, s: 0.3 + (m < 30) + 0.5 * (s < 500), noise=0.01),
        {},
        r"misses the runs' means by \d+.\d %",
    ),
    "far beyond": (steps(), {"budget": 40 * CORNER}, r"outside of what was measured, at .* a factor of \d+\.\d"),
    "noise": (
        simulated("slow sum", rng=8, noise=0.6, seeds=2),
        {},
        "another split may have an SAD lower by|does not fall",
    ),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_data_that_carry_no_answer_are_called_so_with_the_sweep_to_run(case):
    frame, options, said = UNSUPPORTED[case]
    made = asked(frame, base={"method": {"name": "mlb"}, "train": {"steps": 80, "teacher_steps": 40}}, **options)
    assert made.status == "unsupported"
    text = " ".join(made.sentences())
    assert "the data do not support an answer" in text
    assert re.search(said, text), text
    assert "buy" not in made.sentences()[0]
    suggested = load_plan("annotation-cost", assignments(made.remedy))
    budgets = suggested.label_budgets()
    assert suggested.space == {"method.name": ["mlb"]}
    for kind in ("mattes", "masks"):
        assert len({getattr(budget, kind) for budget in budgets}) >= 3
        assert max(getattr(budget, kind) for budget in budgets) == frame[kind].max(), "labels that there may not be"
    measured_before = {tuple(row) for row in frame[["mattes", "masks", "seed"]].to_numpy()}
    wanted = {(budget.mattes, budget.masks, seed) for budget in budgets for seed in suggested.seeds}
    assert wanted - measured_before, "the sweep would measure nothing new"
    assert len(suggested.seeds) >= 3


def assignments(remedy: str) -> list[str]:
    words = shlex.split(remedy[remedy.index("wsshm ") :])
    assert words[:4] == ["wsshm", "sweep", "run", "annotation-cost"]
    return [words[index + 1] for index, word in enumerate(words) if word == "--set"]


def test_labels_that_must_be_bought_first_are_said_so():
    assert "buy more" in asked(steps(), budget=40 * CORNER).remedy
    assert "buy more" not in asked(steps(seeds=1)).remedy
    few = asked(simulated("sum", mattes=(1, 2), masks=(100, 1000)))
    assert (
        few.remedy
        == "annotate more labels first: runs with three numbers of each kind are needed, and there are only 2 mattes"
    )


def test_labels_without_effect_are_said_so():
    made = asked(simulated(lambda m, s: 0.3 + 6 * (s + 1) ** -0.5 + 0 * m, rng=1), have=Budget(40, 100), budget=1500)
    assert any("No effect of more mattes was found" in caution for caution in made.cautions)


@pytest.mark.parametrize(
    ("budget", "options", "said"),
    [
        (0, {}, "must be a positive number"),
        (float("nan"), {}, "must be a positive number"),
        (1.5, {}, "buys no label: the cheapest costs 2 EUR"),
        (100, {"have": Budget(50, 0), "most_mattes": 40}, "already 50 mattes, more than the most there can be"),
        (100, {"have": Budget(50, 10), "most_mattes": 50, "most_masks": 10}, "nothing can be bought"),
    ],
)
def test_mistakes_are_one_sentence(runs, fitted, budget, options, said):
    with pytest.raises(UserError, match=said):
        asked(runs, budget, fitted=fitted, **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory, runs):
    return fill(tmp_path_factory.mktemp("grid"), runs)


def test_runs_are_read_on_one_ground_over_the_same_images(store, runs):
    frames = load(store.root)
    unfinished = example_store.run_row("mlb", 40, 1000, 9, status="failed")
    store.write("runs", [unfinished])
    store.write("scores", example_store.score_rows(unfinished["run_id"], 9.0, np.ones(6), np.random.default_rng(0)))
    hardness = {"procedural/test": 1.0, "other/test": 3.0 * 0.9}  # the other has the easier five of six images
    found_grounds = compare(load(store.root), EUR)
    assert {comparison.ground["dataset"] for comparison in found_grounds} == set(hardness)
    for comparison in found_grounds:
        scale = hardness[comparison.ground["dataset"]]
        found, about, notes = measured(frames, comparison)
        assert (about["method"], notes) == ("mlb", [])
        both = found.merge(runs, on=["mattes", "masks", "seed"], suffixes=("", "_true"))
        assert len(both) == len(runs)
        assert both["sad"].to_numpy() == pytest.approx(scale * both["sad_true"].to_numpy())


def test_the_command_prints_the_answer_and_writes_it(store, tmp_path, capsys):
    plans = plan_budget(store.root, 5000, EUR, ratios=[5, 11.5], have=Budget(10, 100), out=tmp_path / "plan")
    shown = capsys.readouterr().out
    assert [each.ratio for each in plans] == [5, 11.5]
    for each in plans:
        assert f"buy {each.buy.mattes:,} mattes and {each.buy.masks:,} masks next" in shown
    names = {path.name for path in (tmp_path / "plan").iterdir()}
    assert names == {f"plan-budget{end}" for end in (".csv", ".png", ".svg", ".pdf", "-figure.csv")}
    written = pd.read_csv(tmp_path / "plan" / "plan-budget.csv")
    assert list(written["buy_mattes"]) == [each.buy.mattes for each in plans]
    first = {path.name: path.read_bytes() for path in (tmp_path / "plan").iterdir()}
    plan_budget(store.root, 5000, EUR, ratios=[5, 11.5], have=Budget(10, 100), out=tmp_path / "plan")
    assert {path.name: path.read_bytes() for path in (tmp_path / "plan").iterdir()} == first


def test_a_store_without_the_method_is_a_users_mistake(store, tmp_path):
    with pytest.raises(UserError, match=r"no finished runs of the method 'mbl'; the nearest valid choice is 'mlb'"):
        plan_budget(store.root, 5000, EUR, method="mbl")
    with pytest.raises(UserError, match="no comparison 'elsewhere'"):
        plan_budget(store.root, 5000, EUR, on="elsewhere")
    with pytest.raises(UserError, match="the ratio -1 must be positive"):
        plan_budget(store.root, 5000, EUR, ratios=[-1])
    only_failed = example_store.fill(tmp_path, methods=(), failed=True)
    with pytest.raises(UserError, match=r"no finished run in .* was scored"):
        plan_budget(only_failed.root, 5000, EUR)


def test_a_store_with_two_budgets_gets_a_statement_not_an_error(tmp_path, capsys):
    store = example_store.fill(tmp_path, images=4)
    [made] = plan_budget(store.root, 5000, EUR)
    assert made.status == "unsupported"
    shown = capsys.readouterr().out
    assert "the data do not support an answer" in shown
    assert "To fill the gap: wsshm sweep run annotation-cost --out runs/annotation-cost-" in shown


def test_the_page_gets_a_section_where_the_store_has_a_grid(store, tmp_path):
    frames = load(store.root)
    made = section(frames, compare(frames, EUR), EUR)
    assert made.text[0].startswith(f"For {EUR.format(CORNER)}")
    picture, table = made.blocks
    assert set(picture.frame["kind"]) == {"map", "cell", "line", "split"}
    assert [round(ratio, 1) for ratio in table.frame["ratio"]] == [11.5, 5, 10, 20, 40]
    few = load(example_store.fill(tmp_path, images=4).root)
    empty = section(few, compare(few, EUR), EUR)
    assert not empty.text
    assert not empty.blocks
    assert ": wsshm sweep run annotation-cost --out" in empty.missing


def test_the_figures_data_are_the_plans(runs, fitted):
    plans = [asked(runs, CORNER, cost, fitted=fitted) for cost in planner.priced(EUR, [5, 20])]
    frame = figure.data(plans)
    cells = frame[frame["kind"] == "cell"]
    assert cells["sad"].to_numpy() == pytest.approx(runs.groupby(["mattes", "masks"])["sad"].mean().to_numpy())
    for each in plans:
        split = frame[(frame["kind"] == "split") & (frame["ratio"] == each.ratio)].iloc[0]
        best = each.answer.best
        assert (split["mattes"], split["masks"], split["sad"]) == (best.mattes, best.masks, best.sad)
        assert split["share"] == pytest.approx(each.cost.matte * best.mattes / best.cost)
    with theme():
        drawn = figure.draw(frame)
    texts = {text.get_text() for axes in drawn.axes for text in axes.texts}
    assert {axes.get_xlabel() for axes in drawn.axes} >= {
        "masks (logarithmic)",
        "spent on mattes (%); the rest on masks",
    }
    assert len(texts) >= 3  # contours with their values
    assert figure.data([asked(steps((10, 40)))]).empty
