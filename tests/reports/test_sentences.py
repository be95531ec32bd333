"""Every sentence of the summary against the store it was made from, on stores made by chance and by hand."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.store import Store
from tests.reports.example_store import run_row, score_rows
from tests.reports.plain_sentences import Checker
from tests.reports.test_summary import said

METHODS = ("matte_only", "seg_only", "joint", "mlb", "mlb_masklabel", "oracle")
COUNTS = ((40, 1000), (10, 1000), (10, 300), (5, 300))


@st.composite
def studies(draw):
    """Runs as (method, mattes, masks, seed, level, status), test sets with their numbers of images, and lost scores."""
    sets = draw(st.dictionaries(st.sampled_from(["one/test", "two/test"]), st.integers(1, 6), min_size=1))
    budgets = draw(st.lists(st.sampled_from(COUNTS), min_size=1, max_size=4, unique=True))
    runs = {}
    for mattes, masks in budgets:
        for method in draw(st.lists(st.sampled_from(METHODS), min_size=1, max_size=5, unique=True)):
            uses = {"matte_only": (mattes, 0), "seg_only": (0, masks), "oracle": (mattes + masks, 0)}
            for seed in draw(st.sampled_from([(0,), (0, 1), (1,)])):
                level = draw(st.sampled_from([0.4, 0.5, 0.52, 0.9]))
                status = draw(st.sampled_from(["finished", "finished", "finished", "failed"]))
                labels = uses.get(method, (mattes, masks))
                runs[method, *labels, seed] = (level, status)
    return sets, runs, draw(st.integers(0, 1000)), draw(st.booleans())


def fill(root: str | Path, sets, runs, number: int, lost: bool) -> Store:
    store, rng, scores = Store(root), np.random.default_rng(number), []
    rows = [run_row(*key, status=status) for key, (_, status) in runs.items()]
    for row, (level, _) in zip(rows, runs.values(), strict=True):
        for dataset, images in sets.items():
            scores += score_rows(row["run_id"], level, np.linspace(0.5, 1.5, images), rng, dataset=dataset)
    if lost:
        scores[0]["sad"] = None
    store.write("runs", rows)
    store.write("scores", scores)
    return store


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(studies())
def test_every_sentence_is_so(study):
    with TemporaryDirectory() as root:
        checker = Checker(fill(root, *study))
        sentences = said(root)
        for sentence in sentences:
            checker.check(sentence)
        if len(checker.sets) > 1:
            judged = {
                name
                for name, plain in checker.sets.items()
                if len({c[0] for c in plain.rivals(plain.budgets()[0])}) > 1
            }
            assert judged <= checker.about, "a test set is left out of the summary"


RUNS = {
    ("joint", 40, 1000, 0): 0.4,
    ("seg_only", 0, 1000, 0): 0.6,
    ("mlb", 40, 1000, 0): 0.5,
    ("mlb", 10, 1000, 0): 0.9,
}


def by_hand(root: Path, changes: dict[tuple, float | None] | None = None, sets=None) -> list[str]:
    runs = {key: (level, "finished") for key, level in (RUNS | (changes or {})).items() if level is not None}
    checker = Checker(fill(root, sets or {"photos": 6}, runs, 0, lost=False))
    sentences = said(root)
    for sentence in sentences:
        checker.check(sentence)
    return sentences


def test_a_method_that_was_not_run_with_fewer_labels_is_named_beside_who_is_the_lowest_there(tmp_path):
    told = " ".join(by_hand(tmp_path))
    assert "joint has the lowest SAD of 3 methods" in told
    assert "With 10 mattes + 1,000 masks, where joint has no result, seg_only has the lowest SAD." in told
    assert " too" not in told.replace("too narrow", "")


def test_the_same_method_in_the_lead_again_is_said_so(tmp_path):
    told = " ".join(by_hand(tmp_path, {("joint", 10, 1000, 0): 0.45}))
    assert "With 10 mattes + 1,000 masks too, joint has the lowest SAD." in told


def test_photos_and_composites_both_have_their_sentences(tmp_path):
    told = by_hand(tmp_path, sets={"composites": 6, "photos": 5})
    for name in ("composites", "photos"):
        assert any(line.startswith(f"On {name}, with 40 mattes + 1,000 masks") for line in told)
        assert any(line.startswith(f"On {name}, by SAD on the whole image") for line in told)
    assert any("6 images of composites and 5 images of photos" in line for line in told)


def test_one_image_gets_no_verdict(tmp_path):
    told = " ".join(by_hand(tmp_path, sets={"photos": 1}))
    assert "Of photos one image was scored" in told
    for word in ("better than", "worse", "significant", "corrected"):
        assert word not in told


@pytest.mark.parametrize(
    "wrong",
    [
        ("joint has the lowest SAD of", "mlb has the lowest SAD of"),
        ("of 3 methods", "of 4 methods"),
        ("4 runs", "5 runs"),
    ],
)
def test_a_wrong_sentence_would_be_found(tmp_path, wrong):
    sentences = by_hand(tmp_path)
    [found] = [line for line in sentences if wrong[0] in line]
    checker = Checker(Store(tmp_path))
    with pytest.raises(AssertionError):
        checker.check(found.replace(*wrong))
