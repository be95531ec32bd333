"""Which kinds of label to buy, mattes and masks of every grade: against the truth behind simulated runs, by brute force."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import CostModel
from bench.graded import column_of
from reports import marginal, worth
from reports.affordable import affordable, masks_in
from reports.comparison import Budget, compare
from reports.figures import grades as figure
from reports.figures import marginal as figure_of_gains
from reports.figures.style import theme
from reports.load import load
from reports.plans import MATTES, Plan
from reports.sections.planner import section
from reports.splits import plan
from reports.support import usable
from sweeps.plan import configurations, load_plan
from tests.reports.commands import mistake, reports
from tests.reports.simulated_kinds import Kinds, cells_of, simulated
from tests.reports.simulated_runs import fill
from tests.reports.test_planner import assignments
from wsshm.errors import UserError
from wsshm.grades import counted, text_of

TIME = CostModel()
BUDGET = TIME.of(80, 1000)
TRUTHS = {
    "fine pays": Kinds({"fine": 4.0}, {"fine": -0.15}),
    "fine does not": Kinds({"fine": 1.1}, {}),
    "of four": Kinds({"clicks": 0.6, "fine": 2.0, "expert": 3.0}, {"clicks": 0.05, "fine": -0.1, "expert": -0.2}),
    "product": Kinds({"fine": 3.0}, {"fine": -0.05}, "product"),
}


def made(name: str, rng) -> pd.DataFrame:
    cells = [
        cell
        for grade in TRUTHS[name].worth
        for cell in cells_of(grade, masks=(30, 300) if grade == "expert" else (100, 1000))
    ]
    return simulated(TRUTHS[name], cells, rng)


def asked(runs: pd.DataFrame, budget: float = BUDGET, cost: CostModel = TIME, **options) -> Plan:
    return plan(runs, cost, budget, rounds=options.pop("rounds", 60), **options)


def true_sad(truth: Kinds, labels: Budget) -> float:
    return float(truth(labels.mattes, labels.by_grade))


def least(truth: Kinds, cost: CostModel, budget: float, have: Budget = Budget(0, 0), steps: int = 60) -> float:
    """The lowest true SAD of all splits: every number of mattes, and the rest in so many parts over all grades."""
    grades = ("polygon", *truth.worth)
    parts = [part for part in itertools.product(range(steps + 1), repeat=len(grades) - 1) if sum(part) <= steps]
    shares = np.array([(*part, steps - sum(part)) for part in parts]) / steps
    best = np.inf
    for mattes in range(0, int(budget // cost.matte) + 1, 1 if len(grades) < 3 else 2):
        left = budget - cost.matte * mattes
        counts = {
            grade: have.by_grade.get(grade, 0) + np.floor(left * shares[:, place] / cost.mask_of(grade))
            for place, grade in enumerate(grades)
        }
        best = min(best, float(truth(have.mattes + mattes, counts).min()))
    return best


@pytest.mark.parametrize("name", TRUTHS)
def test_the_proposed_split_is_nearly_the_best_there_is(name):
    truth, have = TRUTHS[name], Budget(20, 300)
    steps = 60 if len(truth.worth) == 1 else 16
    lowest = {there: least(truth, TIME, BUDGET, there, steps) for there in (Budget(0, 0), have)}
    lost, covered, answered = [], [], []
    for repeat in range(8):
        runs = made(name, [5, repeat])
        used = usable(runs)
        fitted = worth.fit(used.runs, used.grades, 60)
        for there, best in lowest.items():
            found = asked(runs, have=there, fitted=fitted)
            answered.append(not found.reasons)
            lost.append(true_sad(truth, found.answer.best.budget) / best - 1)
            covered.append(lost[-1] <= found.answer.regret + 2e-3)
    assert np.quantile(lost, 0.8) <= 0.03
    assert max(lost) <= 0.12
    assert np.mean(covered) >= 0.85
    assert np.mean(answered) >= 0.8


def test_the_plan_annotation_cost_trains_what_this_needs():
    budgets = {
        str(each.budget): each.budget
        for each in configurations(load_plan("annotation-cost"))
        if each.method.name == "mlb"
    }
    cells = [(each.mattes, counted(each.masks)) for each in budgets.values()]
    assert len(cells) == 12 + 3 * 4 + 1
    found = asked(simulated(TRUTHS["of four"], [], 1, grid=cells))
    assert (found.grades, found.reasons) == (("polygon", "clicks", "fine", "expert"), ())
    assert "is an assumption" not in " ".join(found.sentences()), "one of its cells has two grades"


def test_a_dominated_grade_is_not_bought_and_a_better_and_cheaper_one_is():
    worse = Kinds({"expert": 0.5}, {"expert": 0.1})  # and dearer
    better = Kinds({"clicks": 2.0}, {"clicks": -0.1})  # and cheaper
    for truth, bought in ((worse, {"polygon"}), (better, {"clicks"})):
        [grade] = truth.worth
        found = asked(simulated(truth, cells_of(grade), 4))
        assert found.reasons == ()
        assert set(found.buy.by_grade) == bought
        spreads = {each.kind: each for each in found.answer.spreads}
        other = {"polygon", grade} - bought
        assert all(spreads[kind].bought <= 0.1 for kind in other)


def test_of_two_grades_that_are_the_same_one_is_bought():
    """Same price, same worth: every mixture is as good, and the plan names one grade, out of few candidates."""
    cost = CostModel.parse("matte=690s,mask.polygon=79.2s,mask.fine=79.2s,mask.expert=79.2s")
    same = simulated(
        Kinds({"fine": 1.0, "expert": 1.0}), [*cells_of("fine"), *cells_of("expert")], noise=0, seed_noise=0
    )
    found = asked(same, cost=cost)
    assert len(found.buy.by_grade) == 1
    assert len(found.answer.line) <= 13_000


@pytest.mark.parametrize("rng", range(4))
def test_the_search_finds_what_trying_every_split_finds(rng):
    """Whole labels, three grades, laws as they are drawn: every number of each is tried."""
    generator = np.random.default_rng(rng)
    fitted = worth.fit(made("of four", rng), ("polygon", "clicks", "fine", "expert"), 4)
    cost = CostModel.from_prices(
        {"matte": f"{generator.uniform(10, 40):.1f}EUR"}
        | {f"mask.{grade}": f"{generator.uniform(6, 30):.1f}EUR" for grade in ("polygon", "clicks", "fine", "expert")}
    )
    have = Budget(5, 20) if rng % 2 else Budget(0, 0)
    budget = 160.0
    prices = [cost.matte, *(cost.mask_of(grade) for grade in fitted.law.grades[:-1])]
    rows: list[tuple[int, ...]] = [()]
    for place, price in enumerate(prices):
        spent = [sum(count * each for count, each in zip(row, prices[:place], strict=True)) for row in rows]
        rows = [(*row, n) for row, s in zip(rows, spent, strict=True) for n in range(int((budget - s) // price) + 1)]
    left = [budget - sum(count * each for count, each in zip(row, prices, strict=True)) for row in rows]
    rows = [(*row, int(rest // cost.mask_of("expert"))) for row, rest in zip(rows, left, strict=True)]
    table = np.array(rows, float)
    counts = table[:, 1:] + np.array([have.masks, 0, 0, 0])
    line = affordable(cost, budget, have, grades=fitted.law.grades)
    for law in (
        fitted.law,
        dataclasses.replace(fitted.law, worth=fitted.draws.worth[:1], floors=fitted.draws.floors[:1]),
    ):
        slow = law.at(have.mattes + table[:, 0], counts)[0].min()
        fast = law.at(line["mattes"], masks_in(line, fitted.law.grades))[0].min()
        assert slow * (1 - 1e-9) <= fast <= slow * 1.01  # so few labels that the last money matters


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return made("of four", 4)


@pytest.fixture(scope="module")
def fitted(runs):
    return worth.fit(runs, usable(runs).grades, 30)


GRADES = ("polygon", "clicks", "fine", "expert")
counts = st.fixed_dictionaries({grade: st.integers(0, 400) for grade in GRADES})
price = st.floats(2, 900).map(lambda value: round(value, 2))
caps = st.dictionaries(st.sampled_from(GRADES), st.integers(0, 300))


def labels(mattes: int, masks: Mapping[str, int]) -> Budget:
    return Budget(mattes, sum(masks.values()), text_of(masks))


@settings(max_examples=25, deadline=None)
@given(price, st.fixed_dictionaries(dict.fromkeys(GRADES, price)), st.floats(1, 150), st.integers(0, 60), counts, caps)
def test_splits_spend_what_there_is_and_no_more(matte, masks, times, mattes, there, more):
    cost = CostModel(matte, masks["polygon"], "EUR", others=tuple((g, masks[g]) for g in GRADES if g != "polygon"))
    budget = times * min(matte, *masks.values())
    most = {grade: there[grade] + count for grade, count in more.items()}
    try:
        line = affordable(cost, budget, labels(mattes, there), None, most, GRADES)
    except UserError as error:
        assert "nothing can be bought" in str(error)  # noqa: PT017
        assert budget < matte
        return
    columns = [column_of(grade) for grade in GRADES]
    bought = line[columns] - [there[grade] for grade in GRADES]
    spent = cost.matte * (line["mattes"] - mattes) + sum(masks[g] * bought[column_of(g)] for g in GRADES)
    assert (bought >= 0).all(axis=None)
    assert (line["mattes"] >= mattes).all()
    assert (spent <= budget * (1 + 1e-6)).all()
    assert line["cost"].to_numpy() == pytest.approx(spent.to_numpy())
    assert (line["masks"] == line[columns].sum(axis=1)).all()
    assert all((line[column_of(grade)] <= count).all() for grade, count in most.items())
    assert not line.duplicated(["mattes", *columns]).any()


@settings(max_examples=10, deadline=None)
@given(st.floats(4_000, 400_000), st.floats(1.05, 4))
def test_more_money_never_hurts(runs, fitted, budget, times):
    one, more = (asked(runs, money, fitted=fitted).answer.best.sad for money in (budget, times * budget))
    assert more <= one * 1.003  # whole labels, in steps


@settings(max_examples=8, deadline=None)
@given(st.floats(0.01, 100), st.floats(4_000, 400_000))
def test_prices_scaled_together_change_nothing(runs, fitted, scale, budget):
    cents = CostModel(
        TIME.matte * scale, TIME.mask * scale, "EUR", others=tuple((g, TIME.mask_of(g) * scale) for g in GRADES[1:])
    )
    one, other = asked(runs, budget, fitted=fitted), asked(runs, budget * scale * (1 + 1e-12), cents, fitted=fitted)
    assert one.answer.best.budget == other.answer.best.budget
    per_hour, per_money = ({each.kind: each.gain for each in marginal.gains(each)} for each in (one, other))
    assert {kind: gain / 36 / scale for kind, gain in per_hour.items()} == pytest.approx(per_money, rel=1e-6, abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(st.floats(4_000, 400_000), st.sampled_from(GRADES))
def test_labels_of_which_there_are_none_change_nothing(runs, fitted, budget, grade):
    plain = asked(runs, budget, fitted=fitted)
    none = asked(runs, budget, fitted=fitted, have=labels(0, {grade: 0}), most_masks=None)
    assert plain.answer.line.equals(none.answer.line)
    assert plain.sentences() == none.sentences()


def test_a_limit_moves_the_money_elsewhere(runs, fitted):
    free = asked(runs, fitted=fitted)
    [grade] = free.buy.by_grade
    assert free.buy.masks > 20
    limited = asked(runs, fitted=fitted, most_masks={grade: 20})
    assert limited.buy.by_grade.get(grade, 0) <= 20
    assert set(limited.buy.by_grade) - {grade}
    assert free.answer.best.sad < limited.answer.best.sad


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"have": Budget(0, 30, "expert=30")}, "--have names expert masks, and the runs do not say"),
        ({"most_masks": {"clicks": 30}}, "--most-masks names clicks masks"),
        ({"have": Budget(0, 30, "fine=30"), "most_masks": {"fine": 20}}, "already 30 fine masks, more than the most"),
        ({"budget": 60.0}, "the budget of 1 min buys no label"),
    ],
)
def test_mistakes_are_one_sentence(options, said):
    with pytest.raises(UserError, match=said):
        asked(made("fine pays", 1), rounds=2, **options)


def test_gains_are_the_laws_and_equal_where_the_money_is_split_best(runs, fitted):
    found = asked(runs, 3 * BUDGET, fitted=fitted, have=Budget(40, 1000))
    by_kind = {each.kind: each for each in marginal.gains(found)}
    assert set(by_kind) == {MATTES, *GRADES}
    spent = marginal.STEP * found.budget
    law = fitted.law
    before = law.at(40, [[1000, 0, 0, 0]])[0, 0]
    assert by_kind[MATTES].gain == pytest.approx(
        (before - law.at(40 + spent / 690, [[1000, 0, 0, 0]])[0, 0]) / spent * 3600
    )
    fine = [[1000, 0, spent / TIME.mask_of("fine"), 0]]
    assert by_kind["fine"].gain == pytest.approx((before - law.at(40, fine)[0, 0]) / spent * 3600)
    assert all(each.low <= each.gain <= each.high for each in by_kind.values())
    # At the best split no kind that was bought brings much more than another, and none more than these.
    best = asked(runs, 3 * BUDGET, fitted=fitted)
    at_best = {each.kind: each.gain for each in marginal.gains(best)}
    bought = [at_best[kind] for kind in (MATTES, *best.buy.by_grade)]
    assert max(at_best.values()) == max(bought)
    assert min(bought) >= 0.6 * max(bought)


def test_spending_begins_at_the_labels_there_are_and_the_best_split_is_below_all(runs, fitted):
    found = asked(runs, fitted=fitted, have=Budget(40, 1000))
    frame = marginal.spending(found)
    begin = frame[frame["spent"] == 0]
    assert begin["sad"].to_numpy() == pytest.approx(begin["sad"].iloc[0])
    last = frame[frame["spent"] == frame["spent"].max()].set_index("kind")["sad"]
    assert last["best"] == pytest.approx(found.answer.best.sad, rel=1e-3)
    assert (last["best"] <= last * 1.001).all()
    assert frame.loc[frame["kind"] == "best", "sad"].is_monotonic_decreasing


def test_the_figures_data_are_the_plans(runs, fitted):
    found = asked(runs, fitted=fitted)
    frame = figure.data(found)
    measured = frame[frame["kind"] == "cell"].groupby("grade").size()
    assert measured.to_dict() == {"polygon": 12, "clicks": 4, "fine": 4, "expert": 4}
    proposed = frame[(frame["kind"] == "split") & (frame["grade"] == figure.MIXED)].iloc[0]
    assert (proposed["mattes"], proposed["sad"]) == (found.answer.best.mattes, found.answer.best.sad)
    alone = frame[(frame["kind"] == "split") & (frame["grade"] != figure.MIXED)]
    assert (alone["sad"] >= proposed["sad"]).all()
    assert list(alone["grade"]) == list(GRADES)
    with theme():
        titles = {axes.get_title(loc="left") for axes in figure.draw(frame).axes}
    assert {f"{grade} masks alone" for grade in GRADES} <= titles
    odd = figure.draw(frame[frame["grade"] != "expert"])
    assert len(odd.axes) == 3 + 2, "a map for each grade, the cuts, and the colours' key"
    falls = figure_of_gains.data(found)
    assert set(falls.loc[falls["part"] == "gain", "kind"]) == {MATTES, *GRADES}
    assert len(figure_of_gains.draw(falls).axes) == 2


@pytest.fixture(scope="module")
def store(tmp_path_factory, runs):
    few = simulated(TRUTHS["fine pays"], [(40, {"expert": 100})], 4)
    graded = simulated(TRUTHS["fine pays"], [*cells_of("fine"), (40, {"polygon": 300, "fine": 100})], 4)
    both = pd.concat([graded, few[few["grades"] != ""]], ignore_index=True)
    return fill(tmp_path_factory.mktemp("graded"), both)


def test_the_command_plans_over_all_kinds_and_names_what_it_leaves_out(store, tmp_path):
    shown = reports(
        "plan-budget", store.root, "--budget", "60h", "--cost", "matte=690s,mask.polygon=79.2s,mask.fine=155s",
        "--have", "mattes=10,masks.polygon=100", "--most-masks", "polygon=2000,fine=900", "--on", "procedural/test",
        "--out", tmp_path / "plan",
    ).out  # fmt: skip
    assert re.search(
        r"with 10 mattes and 100 polygon masks already there, buy [\d,]+ mattes and [\d,]+ fine masks next", shown
    )
    assert "a polygon mask at 79.2 s, a fine mask at 155 s" in shown
    assert "A fine mask makes up for" in shown
    assert "is an assumption" not in shown, "a run had both"
    assert "Marginal gain from the labels already there (10 mattes + 100 masks)" in shown
    [note] = [line for line in shown.splitlines() if line.startswith("Left out: expert masks.")]
    suggested = load_plan("annotation-cost", assignments(note))
    assert {configured.budget.masks["expert"] for configured in configurations(suggested)} == {12, 100}
    assert {configured.method.name for configured in configurations(suggested)} == {"mlb"}
    names = {path.name for path in (tmp_path / "plan").iterdir()}
    ends = (".csv", ".png", ".svg", ".pdf", "-figure.csv")
    assert names == {f"plan-budget{part}{end}" for part in ("", "-gains") for end in ends}
    [row] = pd.read_csv(tmp_path / "plan" / "plan-budget.csv").to_dict("records")
    assert row["buy_masks"] == row["buy_masks_polygon"] + row["buy_masks_fine"]
    assert row["masks"] == row["masks_polygon"] + row["masks_fine"] == row["buy_masks"] + 100
    assert row["masks_fine"] <= 900
    assert row["masks_fine_low"] <= row["masks_fine"] <= row["masks_fine_high"]
    falls = pd.read_csv(tmp_path / "plan" / "plan-budget-gains.csv").set_index("kind")
    assert set(falls.index) == {"mattes", "polygon", "fine"}
    assert falls["gain"].is_monotonic_decreasing
    assert falls.loc["mattes", "labels"] == pytest.approx(3600 / 690)


def test_a_grade_without_a_price_is_a_users_mistake(store):
    told = mistake("plan-budget", store.root, "--budget", "5000EUR", "--cost", "matte=23EUR,mask=2EUR")
    assert "no price for masks of the grade" in told


def test_the_page_shows_what_every_kind_would_bring(store):
    frames = load(store.root)
    made = section(frames, compare(frames, TIME), TIME)
    assert [block.name for block in made.blocks] == [
        "plan-budget",
        "plan-budget",
        "plan-budget-gains",
        "plan-budget-gains",
    ]
    table = made.blocks[1]
    assert [round(ratio, 1) for ratio in table.frame["ratio"]] == [8.7, 5, 10, 20, 40]
    assert len(table.rows) == 5 * 3
    assert any(note.startswith("Left out: expert masks.") for note in made.notes)


def test_data_that_carry_no_answer_name_the_sweep_over_all_grades(store):
    frames = load(store.root)
    base = {"method": {"name": "mlb"}, "train": {"steps": 80, "teacher_steps": 40}}
    single = made("fine pays", 1).query("seed == 0")
    found = asked(single, base=base)
    assert "one seed" in found.sentences()[0]
    suggested = load_plan("annotation-cost", assignments(found.remedy))
    wanted = {(each.mattes, str(each.masks)) for each in suggested.label_budgets()}
    assert len(wanted) == 12 + 4
    assert (80, "{'fine': 1000}") in wanted
    assert not suggested.also
    assert frames.runs["masks_fine"].max() == 1000


def test_masks_may_all_be_of_another_grade(tmp_path):
    truth = Kinds({})
    grid = [(m, {"fine": s}) for m in (10, 20, 40, 80) for s in (100, 300, 1000)]
    found = asked(simulated(truth, [], 3, grid=grid))
    assert found.grades == ("fine",)
    assert found.reasons == ()
    plain = asked(simulated(truth, [], 3), cost=dataclasses.replace(TIME, mask=TIME.mask_of("fine")))
    assert (found.answer.best.mattes, found.answer.best.masks) == (plain.answer.best.mattes, plain.answer.best.masks)
    assert found.answer.best.sad == plain.answer.best.sad
    assert f"{found.buy.masks:,} fine masks" in found.sentences()[0]
    root = fill(tmp_path / "store", simulated(truth, [], 3, grid=grid)).root
    said = reports("plan-budget", root, "--budget", "40h", "--ratio", "5,10", "--out", tmp_path / "plan")
    assert "a fine mask at 155 s" in said.out
    assert "Prices of masks throughout: fine 155 s." in said.out
    assert list(pd.read_csv(tmp_path / "plan" / "plan-budget.csv")["ratio"]) == [5, 10]
