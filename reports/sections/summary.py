"""What the store says in plain words, a sentence a finding, below the answers of the first screen.

Every sentence is made from the comparison whose tables stand below it, with the decimals of those tables. It stays
short however much the store holds: the largest budget of each test set's main network in full, and a sentence each for
what other budgets, networks, clocks and other people's predictions say.
"""

from __future__ import annotations

import pandas as pd

from bench.cost import CostModel
from bench.statistics import NOT_SIGNIFICANT
from reports import other_labels, tables, timings
from reports.comparison import GROUNDS, REFERENCE, Budget, Comparison, by_ground, ground_titles
from reports.document import Section, between, counted, decimals, listed, network_name, number
from reports.figures import speed as backbones
from reports.load import FINISHED, is_peer
from reports.measures import BY_NAME
from reports.sections import PageSection, register

NAMED = 4  # budgets, predictions or conditions in one sentence: more are counted
VERDICTS = (("worse", "better than"), ("better", "worse than"), (NOT_SIGNIFICANT, "not significantly different from"))


def sentences(
    comparisons: list[Comparison],
    runs: pd.DataFrame,
    speed: pd.DataFrame,
    cost: CostModel,
) -> list[str]:
    """A sentence per finding, about a dozen at most for each test set."""
    said = [_counts(runs)] if len(runs) else []
    groups = by_ground(comparisons)
    shown = [group for group in groups if group[0].budgets[0].known]
    titles = ground_titles(groups)
    mains = [group[0] for group in shown[:GROUNDS]]
    where = [f"On {title}, " if len(shown) > 1 else "" for title in titles]
    for main, on in zip(mains, where, strict=False):  # those with known labels come first
        # The network is named once: all that follows is of the same.
        said += _started(f"On {main.title}, " if len(comparisons) > 1 else "", _lowest(main, cost))
        said += _started(on, _verdicts(main) + other_labels.changes(main) + _lowest_elsewhere(main))
    for group, on in zip(shown[:GROUNDS], where, strict=False):
        said += _started(on, _networks(group))
    if left := len(shown) - len(mains):
        said.append(f"{counted(left, 'further test set or protocol', 'further test sets or protocols')} in the tables.")
    said += _external([group[0] for group in groups], titles)
    return said + _fastest(speed, mains)


def _started(where: str, texts: list[str]) -> list[str]:
    """Sentences that begin with where they hold, or with their own first letter large."""
    return [f"{where}{text}" if where else text[0].upper() + text[1:] for text in texts]


def _counts(runs: pd.DataFrame) -> str:
    own = runs[~runs["external"]]
    finished = int((own["status"] == FINISHED).sum())
    text = f"{counted(finished, 'run')} finished"
    text += f"; {len(own) - finished} did not, see Failures." if len(own) > finished else ", none failed."
    if len(own):
        return text
    models = int(is_peer(runs["run_id"]).sum())
    sets = f"{counted(len(runs) - models, 'set')} of predictions made elsewhere" if len(runs) > models else ""
    others = f"{counted(models, 'model')} of other people" if models else ""
    return f"No run of this suite, but {listed(filter(None, (sets, others)))}."


def _rivals(comparison: Comparison, budget: Budget) -> pd.DataFrame:
    """The SAD of the contenders that `budget` pays for, each method by the variant that stands for it."""
    cells = comparison.shown("sad", own=True)
    return cells[cells["cell"].isin(comparison.at(budget)) & ~cells["control"]]


def _winners(rivals: pd.DataFrame) -> list[str]:
    """The methods with the lowest mean; several where they are equal."""
    return list(dict.fromkeys(rivals.loc[rivals["mean"] == rivals["mean"].min(), "method"]))


def _lowest(comparison: Comparison, cost: CostModel) -> list[str]:
    budget = comparison.budgets[0]
    rivals = _rivals(comparison, budget)
    count = rivals["method"].nunique()
    if count < 2:
        return []
    price = cost.format(cost.of(budget.mattes, budget.by_grade))
    beginning = f"with {budget} ({price} of annotation)" if cost.is_time else f"with {budget} ({price})"
    names = _winners(rivals)
    value = _value(comparison, rivals.loc[rivals["mean"].idxmin()])
    verb = "has" if len(names) == 1 else "share"
    return [f"{beginning}, {listed(names)} {verb} the lowest SAD of {count} methods ({value})."]


def _value(comparison: Comparison, row: pd.Series) -> str:
    """A mean SAD with its interval, as the comparison's tables have it."""
    places = tables.places_of(comparison)["sad"]
    interval = between(row["low"], row["high"], places)
    value = f"{number(row['mean'], places)} thousand pixels"
    return value + (f", 95 % interval {interval}" if interval else ", from one image, so without an interval")


def _verdicts(comparison: Comparison) -> list[str]:
    """What is said of `mlb` beside the other methods at the largest budget; nothing of a single image."""
    budget = comparison.budgets[0]
    reference = comparison.reference(budget)
    if reference is None or len(comparison.images) < 2:
        return []
    once = comparison.heads[comparison.heads["shown"] & ~comparison.heads["external"]]
    said, families = [], []
    for name in ("sad", "mad_boundary"):
        part = comparison.beside(budget, reference, measure=name)
        part = part[part["cell"].isin(once.index)]
        names = part["cell"].map(once["method"] + once["control"].map({True: " (control)", False: ""}))
        groups = [
            f"{words} {listed(names[part['verdict'] == verdict])}"
            for verdict, words in VERDICTS
            if (part["verdict"] == verdict).any()
        ]
        if groups:
            measure = BY_NAME[name]
            text = f"by {measure.header} on the {measure.where}, {REFERENCE} with {budget} is"
            said.append(f"{text} {'; '.join(groups)}.")
            families.append(int((comparison.differences["measure"] == name).sum()))
    if said:
        counts = " and ".join(dict.fromkeys(counted(family, "difference") for family in families))
        of = " of each measure" if len(families) > 1 and len(set(families)) == 1 else ""
        verb = "is" if counts == "1 difference" else "are"
        said[-1] += f" These verdicts are corrected for the {counts}{of} that {verb} looked at."
    return said


def _lowest_elsewhere(comparison: Comparison) -> list[str]:
    """Who has the lowest SAD at the further budgets, among which methods where not all were run there."""
    largest, *others = comparison.budgets
    main = _rivals(comparison, largest)
    every = list(dict.fromkeys(main["method"]))
    # Budgets with the same winners and the same methods missing are one statement.
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Budget]] = {}
    for budget in others:
        rivals = _rivals(comparison, budget)
        if len(set(rivals["method"])) > 1:
            absent = tuple(name for name in every if name not in set(rivals["method"]))
            found.setdefault((tuple(_winners(rivals)), absent), []).append(budget)
    if not found:
        return []
    if len(found) == 1:
        [((names, absent), budgets)] = found.items()
        too = " too" if list(names) == _winners(main) and len(every) > 1 and not absent else ""
        without = f", where {listed(absent)} {'has' if len(absent) == 1 else 'have'} no result" if absent else ""
        verb = "has" if len(names) == 1 else "share"
        text = f"with {listed(map(str, budgets), NAMED)}{too}{without}, {listed(names)} {verb} the lowest SAD."
        return [text]
    counts: dict[str, int] = {}
    for (names, _), budgets in found.items():
        counts[" and ".join(names)] = counts.get(" and ".join(names), 0) + len(budgets)
    winners = listed([f"{names} ({count})" for names, count in sorted(counts.items(), key=lambda item: -item[1])])
    lacking = sum(len(budgets) for (_, absent), budgets in found.items() if absent)
    total = sum(counts.values())
    text = f"at {total} further budgets the lowest SAD is that of {winners}"
    text += f"; at {lacking} of them not every method has a result" if lacking else ""
    return [f"{text}."]


def _networks(group: list[Comparison]) -> list[str]:
    """Which of several networks, trained alike, errs least: those of the figure under Backbones."""
    chosen, rows = backbones.shared(group), backbones.trained(group)
    if chosen is None or len(rows) < 2:
        return []
    part = pd.DataFrame(rows)
    best = part.loc[part["mean"].idxmin()]
    close = int((part["low"] <= best["high"]).sum()) - 1
    variant = " in the variant that Backbones names" if chosen.settings else ""
    budget = Budget(int(chosen.mattes), int(chosen.masks), chosen.grades)
    text = (
        f"of {len(part)} networks trained with {chosen.method}{variant} at {budget}, {best['network']} has the lowest "
        f"SAD ({_value(group[int(best['comparison'])], best)})"
    )
    if pd.notna(best["high"]):
        overlapping = counted(close, "other's overlaps", "others' overlap") if close else "no other's overlaps"
        text += f"; of the intervals, {overlapping} with its own, which alone is not a verdict"
    return [f"{text}."]


def _external(mains: list[Comparison], titles: list[str]) -> list[str]:
    """What was made elsewhere: its SAD on each test set; predictions, where they can be, compared with `mlb`."""
    found: dict[bool, list[str]] = {False: [], True: []}
    rows = [
        (comparison, title, row)
        for comparison, title in zip(mains, titles, strict=True)
        for _, row in comparison.shown("sad").query("external").iterrows()
    ]
    several = len({title for _, title, _ in rows}) > 1
    for comparison, title, row in rows:
        budget = comparison.budgets[0]
        own = comparison.beside(budget, comparison.reference(budget), measure="sad", cell=row["cell"])
        text = f"{row['method']} {_value(comparison, row)}{f' on {title}' if several else ''}"
        for verdict in own["verdict"] if len(comparison.images) > 1 else ():
            than = "not significantly different from" if verdict == NOT_SIGNIFICANT else f"{verdict} than"
            text += f", {than} {REFERENCE} with {budget}"
        found[bool(row["peer"])].append(text)
    said = []
    if found[False]:
        said.append(f"Predictions made elsewhere, by SAD on what they were scored on: {listed(found[False], NAMED)}.")
    if found[True]:
        said.append(
            "For reference, other people's models, trained on other data and compared with no run, by SAD: "
            f"{listed(found[True], NAMED)}."
        )
    return said


def _fastest(speed: pd.DataFrame, mains: list[Comparison]) -> list[str]:
    """The fastest model in each of the places (scope, device, size) in which most were timed, and how it was executed; places
    are never mixed.
    """
    timed = timings.usable(speed)
    if timed.empty:
        return []
    timed = timings.with_conditions(timed)
    counts = timed.groupby("place", sort=False)["model"].nunique().sort_values(ascending=False, kind="stable")
    said = []
    for place in counts.index[:2]:
        part = timed[timed["place"] == place]
        best = part.loc[part["fps"].idxmax()]
        of = f"the fastest of {counts[place]} models" if counts[place] > 1 else "the one model timed"
        rate = number(best["fps"], decimals([best["fps"]]))
        said.append(f"{network_name(best['model'])} is {of} at {rate} frames per second ({best['panel']})")
    rest = f"; {counted(len(counts) - 2, 'further condition')} in Speed" if len(counts) > 2 else ""
    return [f"{'; '.join(said)}{rest}.", *_other_inputs(timed, mains)]


def _other_inputs(timed: pd.DataFrame, mains: list[Comparison]) -> list[str]:
    """Which rates are not of the input that errors were measured at."""
    protocols = list(dict.fromkeys(comparison.ground["protocol"] for comparison in mains))
    other = [not any(same) for same in zip(*(timings.matches(timed, protocol) for protocol in protocols), strict=True)]
    if not any(other):
        return []
    return [
        f"Rates at {timings.sizes(timed[other])} do not belong to the errors above, which were measured at protocol "
        f"{listed(protocols)}: see Backbones."
    ]


register(
    PageSection(
        "summary",
        10,
        lambda given: Section(
            "summary",
            "In more detail",
            sentences(
                given.comparisons,
                given.frames.runs,
                given.frames.speed,
                given.cost,
            ),
            points=True,
        ),
    )
)
