"""Do the test sets agree? Verdicts side by side, on rows whose differences are worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.cost import CostModel
from bench.store import Store
from reports.agreement import Agreement, from_comparisons
from reports.comparison import compare
from reports.document import Section, Table
from reports.load import load
from reports.sections.agreement import section
from tests.reports.commands import reports, rows
from tests.reports.example_store import run_row
from tests.reports.pages import Page

NEAR, FAR = "near.parquet", "far.parquet"
LABELS = {"oracle": (0, 0), "matte_only": (40, 0), "seg_only": (0, 1000), "joint": (40, 1000), "mlb": (40, 1000)}
EVEN = (1, -1, 1, -1)  # of mean 0: no significant difference, whatever the images
# SAD by method: on four images of either set; what mlb has there is 10 and 20.
NEAR_SAD = {"mlb": (10, 10, 10, 10), "joint": (8, 8, 8, 8), "seg_only": (11, 11, 11, 11), "matte_only": (15,) * 4}
FAR_SAD = {
    "mlb": (20, 20, 20, 20),
    "joint": tuple(20 + apart for apart in EVEN),
    "seg_only": (15, 15, 15, 15),
    "matte_only": (22, 22, 22, 22),
}


def scored(
    store: Store,
    method: str,
    values: Sequence[float],
    unknown: float | None = None,
    measure: str = "sad",
    mattes: int | None = None,
    data: str = "a" * 16,
    **ground: str,
) -> None:
    """A method's run, and its errors on as many images of a test set; in the unknown region its SAD is `unknown` on each."""
    own, masks = LABELS[method]
    row = run_row(method, mattes or own, masks, 0, run_id=f"{method}-{mattes}-{data}", data_fingerprint=data)
    store.write("runs", [row])
    shared = {"run_id": row["run_id"], "protocol": "short128", "convention": "p3m", "metric_version": "1"}
    shared |= {"truth": "exact"} | ground
    made = [{**shared, "image": f"{i}", "region": "whole", measure: value} for i, value in enumerate(values)]
    if unknown is not None:
        made += [{**row, "region": "unknown", "sad": unknown} for row in made]
    store.write("scores", made)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two test sets. In the unknown region joint is better on both, and nobody else was scored there."""
    store = Store(tmp_path_factory.mktemp("agreement") / "store")
    unknown = {"mlb": 4.0, "joint": 3.0}
    for dataset, sads in ((NEAR, NEAR_SAD), (FAR, FAR_SAD)):
        for method, own in sads.items():
            scored(store, method, own, unknown.get(method), dataset=dataset)
    return store


def made(store: Store) -> Section:
    frames = load(store.root)
    return section(frames, compare(frames, CostModel()))


def found(store: Store) -> list[Agreement]:
    return from_comparisons(compare(load(store.root), CostModel()))


def cells(table: Table) -> dict[tuple[str, str], list[str]]:
    """By method and where it was measured: what the columns of test sets and the last one show."""
    return {
        (row[0].text, row[1].note): [f"{cell.text} [{cell.note}]" if cell.note else cell.text for cell in row[2:]]
        for row in table.rows
    }


def test_verdicts_stand_side_by_side_and_sentences_name_those_that_differ(store: Store) -> None:
    page = made(store)
    (table,) = page.blocks
    assert isinstance(table, Table)
    # The order of test sets is the comparisons': both have as many runs, so that it is by name.
    assert [(column.header, column.unit) for column in table.columns[2:-1]] == [
        (FAR, "4 images, truth exact"),
        (NEAR, "4 images, truth exact"),
    ]
    shown = cells(table)
    assert shown["seg_only", "whole image"] == [
        "−25.0 % [−25.0 to −25.0; better]",
        "+10.0 % [+10.0 to +10.0; worse]",
        "opposite",
    ]
    assert shown["matte_only", "whole image"] == [
        "+10.0 % [+10.0 to +10.0; worse]",
        "+50.0 % [+50.0 to +50.0; worse]",
        "agree",
    ]
    even, fifth, differ = shown["joint", "whole image"]
    assert even.startswith("0.0 % [")
    assert even.endswith("; no significant difference]")
    assert (fifth, differ) == ("−20.0 % [−20.0 to −20.0; better]", "differ")
    quarter = "−25.0 % [−25.0 to −25.0; better]"
    assert shown["joint", "unknown region"] == [quarter, quarter, "agree"]
    assert page.text[1:3] == [
        "By SAD on the whole image, verdicts on 2 of 3 methods compared with mlb differ between test sets: "
        "seg_only is better on far.parquet and worse on near.parquet (opposite verdicts); "
        "joint is better on near.parquet and not significantly different on far.parquet.",
        "By SAD on the unknown region, no verdict on 1 method compared with mlb differs between test sets.",
    ]


def test_truths_are_named_and_protocols_of_one_test_set_told_apart(tmp_path: Path) -> None:
    truths, protocols = Store(tmp_path / "truths"), Store(tmp_path / "protocols")
    for method in ("mlb", "joint"):
        scored(truths, method, NEAR_SAD[method], dataset=NEAR, truth="exact")
        scored(truths, method, FAR_SAD[method], dataset=FAR, truth="estimated")
        scored(protocols, method, NEAR_SAD[method], dataset=NEAR, protocol="short192")
        scored(protocols, method, FAR_SAD[method], dataset=NEAR, protocol="short512")
    (own,) = found(truths)
    assert own.about_sets == {NEAR: "4 images, truth exact", FAR: "4 images, truth estimated"}
    assert made(truths).text[0] == (
        f"The same runs were scored on 2 test sets: {FAR} (4 images, truth estimated) and {NEAR} (4 images, truth exact)."
    )
    (own,) = found(protocols)
    assert own.sentences() == [
        "By SAD on the whole image, verdicts on 1 of 1 method compared with mlb differ between test sets: joint is better "
        f"on {NEAR}, protocol short192 and not significantly different on {NEAR}, protocol short512."
    ]


def test_masks_as_truth_are_compared_by_iou(tmp_path: Path) -> None:
    store, masks = Store(tmp_path), "near (masks)"
    for method, of_mattes, of_masks in (("mlb", 0.8, 0.5), ("joint", 0.9, 0.4)):
        scored(store, method, [of_mattes] * 4, measure="iou", dataset=NEAR)
        scored(store, method, [of_masks] * 4, measure="iou", dataset=masks, truth="mask")
    (own,) = found(store)
    (pair,) = own.pairs
    assert pair["verdicts"] == {masks: "worse", NEAR: "better"}  # more of it is better
    percents = {name: row["percent"] for name, row in pair["by_set"].items()}
    assert percents == {masks: pytest.approx(-20), NEAR: pytest.approx(12.5)}
    assert own.sentences() == [
        "By IoU on the whole image, verdicts on 1 of 1 method compared with mlb differ between test sets: joint is better "
        f"on {NEAR} and worse on {masks} (opposite verdicts)."
    ]


def test_what_one_test_set_lacks_and_a_single_image_are_no_verdicts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method in ("mlb", "joint", "seg_only"):
        scored(store, method, NEAR_SAD[method], dataset=NEAR)
    for method in ("mlb", "joint"):
        scored(store, method, FAR_SAD[method][:1], dataset=FAR)
    (own,) = found(store)
    shown = cells(own.table("t", ""))
    assert own.sets == (NEAR, FAR)
    assert shown["seg_only", "whole image"] == ["+10.0 % [+10.0 to +10.0; worse]", "–", "–"]
    assert shown["joint", "whole image"] == ["−20.0 % [−20.0 to −20.0; better]", "+5.0 % [one image: no verdict]", "–"]
    assert own.sentences() == []


def test_one_test_set_and_nothing_to_compare_with_are_reasons(tmp_path: Path) -> None:
    one, alone = Store(tmp_path / "one"), Store(tmp_path / "alone")
    for method in ("mlb", "joint"):
        scored(one, method, NEAR_SAD[method], dataset=NEAR)
    page = made(one)
    assert not page.filled
    assert page.missing.startswith("Every run was scored on one test set (near.parquet), so there is no second one")
    for dataset, sads in ((NEAR, NEAR_SAD), (FAR, FAR_SAD)):
        scored(alone, "mlb", sads["mlb"], dataset=dataset)
    page = made(alone)
    assert not page.filled
    assert page.missing.startswith("On no two test sets that runs share is there anything beside mlb")


def test_runs_of_other_data_are_not_compared_across_it(tmp_path: Path) -> None:
    """Two plans, each with its own data and test set: no run was scored twice."""
    store = Store(tmp_path)
    for dataset, data in ((NEAR, "a" * 16), (FAR, "b" * 16)):
        for method in ("mlb", "joint"):
            scored(store, method, NEAR_SAD[method], data=data, dataset=dataset)
    assert found(store) == []
    assert made(store).missing.startswith("Every run was scored on one test set (far.parquet and near.parquet)")


def test_the_terminal_says_it_beside_the_tables(store: Store, tmp_path: Path) -> None:
    said = reports("table", store.root, "--against", "joint", "--measure", "sad", "--format", "csv")
    assert said.code == 0
    assert {(row["label"], row["dataset"]) for row in rows(said.out)} == {
        (method, dataset) for method in ("mlb", "seg_only", "matte_only") for dataset in (NEAR, FAR)
    }
    # Against joint: mlb is 25 % worse and even, seg_only 37.5 % worse and 25 % better, matte_only worse and worse.
    assert said.err == (
        "By SAD on the whole image, verdicts on 2 of 3 methods compared with joint differ between test sets: "
        "seg_only is better on far.parquet and worse on near.parquet (opposite verdicts); "
        "mlb is worse on near.parquet and not significantly different on far.parquet.\n"
    )
    one = Store(tmp_path)
    for method in ("mlb", "joint"):
        scored(one, method, NEAR_SAD[method], dataset=NEAR)
    assert reports("table", one.root, "--against", "joint").err == ""


def test_methods_with_the_same_verdicts_share_their_words(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for dataset, sads in ((NEAR, NEAR_SAD), (FAR, FAR_SAD)):
        for method, like in (("mlb", "mlb"), ("joint", "joint"), ("matte_only", "joint"), ("seg_only", "matte_only")):
            scored(store, method, sads[like], dataset=dataset)
    (own,) = found(store)
    assert own.sentences() == [
        "By SAD on the whole image, verdicts on 2 of 3 methods compared with mlb differ between test sets: "
        "matte_only and joint are better on near.parquet and not significantly different on far.parquet."
    ]


def test_two_oracles_of_one_budget_are_two_rows(tmp_path: Path) -> None:
    """A true matte for each mask, with the budget's mattes and without: both stand beside the other methods."""
    store = Store(tmp_path)
    for dataset, sads in ((NEAR, NEAR_SAD), (FAR, FAR_SAD)):
        scored(store, "mlb", sads["mlb"], dataset=dataset)
        scored(store, "oracle", sads["joint"], mattes=1040, dataset=dataset)
        scored(store, "oracle", sads["matte_only"], mattes=1000, dataset=dataset)
    (own,) = found(store)
    assert [(pair["label"], list(pair["verdicts"].values())) for pair in own.pairs] == [
        ("oracle", ["no significant difference", "better"]),
        ("oracle", ["worse", "worse"]),
    ]


def test_further_budgets_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for mattes in (10, 20, 40):
        for method in ("mlb", "joint"):
            scored(store, method, NEAR_SAD[method], mattes=mattes, dataset=NEAR)
            scored(store, method, FAR_SAD[method], mattes=mattes, dataset=FAR)
    page = made(store)
    assert [text.partition(":")[0] for text in page.text[1:3]] == [
        "40 mattes + 1,000 masks, tf_efficientnet_lite0",
        "20 mattes + 1,000 masks, tf_efficientnet_lite0",
    ]
    assert page.text[3] == "At 1 further budget or network, verdicts differ between test sets in 1 of 1 case."
    assert [(block.name, block.attached) for block in page.blocks if isinstance(block, Table)] == [
        ("agreement-1", False),
        ("agreement-2", False),
        ("agreement-further", True),
    ]
    assert set(page.blocks[2].frame["budget"]) == {"10 mattes + 1,000 masks"}


def test_the_page_has_the_section(store: Store, tmp_path: Path) -> None:
    said = reports("build", store.root, "--out", tmp_path)
    assert said.code == 0, said.err
    page = Page((tmp_path / "index.html").read_text())
    assert "agreement" in page.ids
    assert "Do the test sets agree?" in page.text
    assert "seg_only is better on far.parquet and worse on near.parquet (opposite verdicts)" in page.text
