"""The first page of `reports/findings.md`: its tables are what the command prints, its sentences say what they say."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from bench.cost import CostModel
from reports import against, gains, gains_table
from reports.comparison import scored
from reports.load import load
from reports.measures import WITH_FURTHER
from reports.per_image import measures
from tests.reports.stored_findings import HERE, TEXT, of_images
from wsshm.grades import GRADES

README = (HERE.parent / "README.md").read_text()
PAGE = TEXT.partition("## On one page")[2].partition("\n## ")[0]

RIVALS = {name: TEXT.partition(f"<!-- rival: {name} -->")[2].split("\n\n")[1] for name in ("confident_masks", "ddc")}
NUMBER = r"[−+]\d+\.\d"
TESTS = {
    "photos": ("photos-grades", "photos.parquet"),
    "photos, second truth": ("photos-grades", "second/second.parquet"),
    "composites": ("photos-grades", "composites/composites.parquet"),
    "painted characters (unlike)": ("photos-grades", "painted/painted.parquet"),
    "drawn people": ("drawn-polygon", "procedural/test"),
    "drawn people (unlike)": ("drawn-polygon", "procedural/test-shifted"),
}


def minuses(text: str) -> str:
    """Hyphens before digits as minus signs."""
    return re.sub(r"-(?=\d)", "−", text)


def block(region: str) -> str:
    """What stands between a table's marker and its end."""
    found = re.search(rf"^<!-- gains: {region} -->\n\n(.*?)\n\n<!-- end -->$", TEXT, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("region", ["whole", "unknown"])
@pytest.mark.parametrize(("settings", "name"), [("settings", ""), ("networks-settings", "networks, ")])
def test_the_tables_are_what_the_command_prints(settings: str, name: str, region: str) -> None:
    found = gains.gains(HERE / "findings" / f"{settings}.yaml", gains.measure_of("sad", region))
    assert gains_table.markdown(found).strip() == block(name + region)


def test_every_number_of_the_sentences_stands_in_a_table() -> None:
    numbered = re.findall(r"^\d+\. .*", PAGE, re.MULTILINE)
    assert len(numbered) == 10
    cells = re.findall(rf"({NUMBER})(?: better| worse)? \(({NUMBER} to {NUMBER}), ", block("whole") + block("unknown"))
    shown = re.findall(rf"({NUMBER})% \[({NUMBER})%, ({NUMBER})%\]", minuses("\n".join(RIVALS.values())))
    cells += [(number, f"{low} to {high}") for number, low, high in shown]
    said = re.findall(r"([−+]\d+\.\d) % \(([−+]\d+\.\d to [−+]\d+\.\d)\)", "\n".join(numbered))
    assert len(said) >= 15
    assert "()" not in PAGE
    assert set(said) <= set(cells)
    baselines = re.findall(r"best baseline \((\d+\.\d{3}) 10³ px", block("whole"))
    (better_masks,) = [line for line in numbered if "best baseline has an SAD" in line]
    (readme,) = [line for line in README.splitlines() if "best baseline has an SAD" in line]
    for line in (better_masks, readme):
        assert set(re.findall(r"\d+\.\d{3}", line)) <= set(baselines)
    seconds = [f"{GRADES[grade].seconds:g} s" for grade in ("fine", "polygon")]
    assert re.findall(r"[\d.]+ s\b", better_masks) == seconds


@pytest.mark.parametrize("store", ["photos-grades", "drawn-polygon", "drawn-fine"])
def test_runs_differ_from_joint_only_in_their_method(store: str) -> None:
    """Labels, data, network, steps and learning rate are those of `joint`; masks of photos are of two kinds."""
    runs = [json.loads(text) for text in pd.read_parquet(HERE / "findings" / store / "runs")["config"]]
    masks = {run["data"]["masks"] for run in runs}
    alike = {json.dumps(run | {"method": None, "train": run["train"] | {"seed": 0}}, sort_keys=True) for run in runs}
    assert len(alike) == len(masks)


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("name", TESTS)
def test_mlb_beside_a_rival_is_as_the_command_prints_it(name: str, rival: str) -> None:
    store, dataset = TESTS[name]
    frames = load(HERE / "findings" / store)
    wanted = measures("sad,mse,sad_unknown", None, (), WITH_FURTHER)
    frame = pd.concat(table.frame for table in against.tables(frames, scored(frames, CostModel()), rival, wanted))
    rows = frame[(frame["dataset"] == dataset) & (frame["method"] == "mlb") & ~frame["label"].str.contains("stage")]
    [line] = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", RIVALS[rival], re.MULTILINE)
    assert [cell.strip() for cell in line.split("|")] == [
        f"{row.percent:+.1f}% [{row.percent_low:+.1f}%, {row.percent_high:+.1f}%]" for row in rows.itertuples()
    ]


def test_what_the_width_is_worth_to_a_student_is_said_of_its_rows() -> None:
    [said] = re.findall(
        r"a threshold of (\S+) in the same band .*? an SAD of (\S+), and (\S+) on people .*?"
        r" with (\S+) it has (\S+) and (\d\.\d+)",
        PAGE,
    )
    runs = pd.read_parquet(HERE / "findings" / "drawn-polygon" / "runs")
    blends = runs["config"].map(lambda text: json.loads(text)["method"]["blend"])
    for threshold, like, unlike in (said[:3], said[3:]):
        same = blends.map(lambda blend, at=float(threshold): (blend["teacher"], blend["threshold"]) == ("average", at))
        [run_id] = runs.loc[(runs["method"] == "mlb") & (runs["seed"] == 0) & same, "run_id"]
        means = [
            of_images("drawn-polygon", [run_id], "sad", "whole", name).mean()
            for name in ("procedural/test", "procedural/test-shifted")
        ]
        assert [f"{mean:.3f}" for mean in means] == [like, unlike]
