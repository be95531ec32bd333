"""Single sections: published figures, licences, failures, and what is said where there is little."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import yaml

from bench.cost import CostModel
from bench.store import Store
from reports.comparison import compare
from reports.document import Listing
from reports.leaderboard import boards
from reports.load import load
from reports.sections import (
    architectures,
    backbones,
    blending,
    failures,
    licences,
    methods,
    published,
    qualitative,
    seeds,
)
from tests.reports import stored_findings
from tests.reports.example_store import fill
from wsshm.errors import UserError


def test_the_published_figures_that_come_along_are_valid_and_have_their_sources():
    found = published.read()
    assert len(found.speed) >= 15
    assert len(found.accuracy) >= 15
    assert all(row.source for row in (*found.speed, *found.accuracy))
    tables = published.section().blocks
    assert [len(table.rows) for table in tables] == [len(found.speed), len(found.accuracy)]


def test_published_figures_name_their_sources_and_where_these_disagree():
    found = published.read()
    assert not [
        row for row in (*found.speed, *found.accuracy) if "not recorded" in row.source or "unknown" in row.source
    ]
    keys = [(row.method, row.dataset, row.measure, row.value, row.source) for row in found.accuracy]
    assert len(set(keys)) == len(keys)
    assert published.spread(found) == (
        "The protocol is a part of a result: by source, Matte Anything on P3M-500-NP has SAD 10.70 or 58.91, MODNet on "
        "PPM-100 has SAD 94.78 or 104.35 and MODNet HRNet-W18 (Paddle) at 512 px on V100 has FPS 62.6 or 32.6."
    )
    once = found.model_copy(update={"accuracy": found.accuracy[:1] * 2, "speed": found.speed[:1] * 2})
    assert published.spread(once) == ""
    assert ["01402d74" in str(row.note) for row in found.speed if row.fps == "32.6"] == [True]
    summaries = [row for row in (*found.speed, *found.accuracy) if "arXiv 2606.27339" in row.source]
    assert all("summary" in str(row.note) for row in summaries)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("speed: [{method: a, size: b, device: c, type: d, fps: '1', counted: e}]", "speed, row 1: source"),
        ("accuracy: [{method: a, dataset: b, measure: c, value: '1', source: s, vale: x}]", "accuracy, row 1: vale"),
        ("sped: []", "sped"),
        ("speed: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_of_published_figures_is_one_sentence(tmp_path, text, named):
    file = tmp_path / "published.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=named) as error:
        published.read(file)
    assert "\n" not in str(error.value)


def test_licences_by_default_tag_by_tag_and_not_stated(tmp_path):
    file = tmp_path / "licences.csv"
    file.write_text(
        "backbone,tag,default,licence,hub_id,origin,timm_version\n"
        "a,one,false,mit,,,9\na,two,true,cc-by-nc-4.0,timm/a.two,https://a,9\nb,x,true,,timm/b.x,,9\n"
    )
    used = pd.DataFrame({"backbone": ["a", "a.one", "b", "c", "a"], "weights": ["hub", "hub", None, "none", "none"]})
    frame = licences.data(used, file).set_index("backbone")
    assert frame["licence"].to_dict() == {
        **{"a": "cc-by-nc-4.0", "a.one": "mit", "b": licences.NOT_STATED, "c": licences.NOT_STATED}
    }
    assert frame.loc["a", "weights used"] == "hub, none"
    assert frame.loc["b", "weights used"] == "none trained"
    assert licences.restricted("cc-by-nc-4.0")
    assert not licences.restricted("apache-2.0")


def test_the_licences_that_come_along_are_whole():
    frame = pd.read_csv(licences.FILE, dtype=str, keep_default_na=False)
    assert len(frame) > 1000
    assert not frame.duplicated(["backbone", "tag"]).any()
    assert frame[frame["default"] == "true"].groupby("backbone").size().max() == 1
    assert len(set(frame["timm_version"])) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("out of memory at batch 16: 23.4 GB of 24 GB", "out of memory at batch 16"),
        ("ValueError: no such map\n  at line 3", "ValueError: no such map"),
        (None, "no reason was recorded"),
        ("  ", "no reason was recorded"),
    ],
)
def test_errors_are_counted_by_their_beginning(error, kind):
    assert failures.kind(error) == kind


def test_with_one_seed_the_spread_is_said_to_be_unknown(tmp_path):
    fill(tmp_path, seeds=(0,), images=5, budgets=((40, 1000),), failed=False)
    frames = load(tmp_path)
    comparisons = compare(frames, CostModel())
    spread = seeds.section(frames, comparisons)
    assert "one seed" in spread.text[0]
    assert not spread.blocks
    assert "One seed each" in methods.section(frames, comparisons, CostModel()).blocks[0].caption
    for section, command in (
        (blending.section(frames, comparisons), "wsshm sweep run blending"),
        (architectures.section(comparisons), "train one with another"),
    ):
        assert not section.filled
        assert command in section.missing


def test_a_small_search_names_its_best_but_no_importance(simulated):
    runs = simulated.read("runs")
    search = runs[runs["run_id"].str.startswith("search-")].head(9)
    frames = load(simulated.root)
    few = type(frames)(
        root=frames.root,
        runs=frames.runs[frames.runs["run_id"].isin(search["run_id"])].reset_index(drop=True),
        scores=frames.scores[frames.scores["run_id"].isin(search["run_id"])].reset_index(drop=True),
        speed=frames.speed.head(0),
        epochs=frames.epochs,
    )
    few.scores["run_id"] = few.scores["run_id"].cat.remove_unused_categories()
    section = blending.section(few, compare(few, CostModel()))
    assert any("too few to say which key matters" in text for text in section.text)
    names = [block.name for block in section.blocks]
    assert names == ["blending-slices", "blending-best", "blending-best.yaml"]
    assert isinstance(section.blocks[-1], Listing)
    finished = search[search["status"] == "finished"]
    assert len(section.blocks[0].frame) == len(finished)


@pytest.mark.parametrize("count", [8, 16])  # too few for importances, and enough
def test_a_search_over_null_and_numbers_has_null_for_a_choice(simulated, tmp_path, count):
    runs, scores = simulated.read("runs"), simulated.read("scores")
    search = runs[runs["run_id"].str.startswith("search-") & runs["status"].eq("finished")].head(count)
    store = Store(tmp_path)
    for index, row in enumerate(search.to_dict("records")):
        config = json.loads(row["config"])
        config["method"]["matte_share"] = [None, 0.25, 0.5][index % 3]
        store.write("runs", [row | {"config": json.dumps(config), "error": None}])
    store.write("scores", scores[scores["run_id"].isin(search["run_id"])].to_dict("records"))
    epochs = simulated.read("epochs")
    store.write("epochs", epochs[epochs["run_id"].isin(search["run_id"])].to_dict("records"))
    frames = load(tmp_path)
    blocks = {block.name: block for block in blending.section(frames, compare(frames, CostModel())).blocks}
    assert set(blocks["blending-slices"].frame["method.matte_share"]) == {"default", "0.25", "0.5"}
    best = blocks["blending-best"].frame["run_ids"].iloc[0]
    share = json.loads(store.read("runs").set_index("run_id")["config"][best])["method"]["matte_share"]
    assert yaml.safe_load(blocks["blending-best.yaml"].text)["base"]["method"]["matte_share"] == share


def test_other_networks_are_named_and_their_cells_kept(simulated):
    frames = load(simulated.root)
    comparisons = compare(frames, CostModel())
    section = methods.section(frames, comparisons, CostModel())
    text = " ".join(section.text)
    assert "further networks" in text
    assert "tables/cells.csv" in text
    cells = next(block for block in section.blocks if block.name == "cells").frame
    assert len(cells) == sum(len(comparison.cells) for comparison in comparisons)
    assert cells.groupby(["backbone", "architecture"]).ngroups == 42


def test_a_copy_without_sample_pictures_is_not_said_to_have_failed():
    frames = load(stored_findings.HERE / "findings" / "quickstart")
    assert failures.section(frames).text == ["Every run in the store finished."]
    sheet = qualitative.section(frames, compare(frames, CostModel()))
    assert not sheet.filled
    assert "if it is a copy, copy its folder samples as well" in sheet.missing
    assert "Failures" not in sheet.missing


def test_timings_of_a_busy_machine_are_said_to_be_left_out(tmp_path):
    frames = load(fill(tmp_path, images=4).root)
    assert backbones.section(frames, []).text[0].endswith("left out (1 unavailable).")
    busy = type(frames)(**vars(frames) | {"speed": frames.speed.assign(status="unstable")})
    section = backbones.section(busy, compare(busy, CostModel()))
    count = len(busy.speed)
    assert section.text[0].startswith(f"None of the {count} timings can be used ({count} unstable: a busy machine")
    assert "`wsshm bench speed --models" in section.text[0]
    assert [block.name for block in section.blocks] == ["speed"]
    assert boards(busy, CostModel())[0].condition.startswith(f"None of the {count} timings can be used")
