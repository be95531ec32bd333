"""Grades of masks: one list, one way to write numbers by grade, a page that says what the list says."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost import CostModel
from wsshm import grades
from wsshm.errors import UserError
from wsshm.grades import GRADES

PAGE = (Path(grades.__file__).parent / "data" / "README.md").read_text()
COUNTS = st.dictionaries(st.sampled_from(list(GRADES)), st.integers(0, 10**6))


def test_the_default_is_the_grade_of_the_default_price() -> None:
    assert CostModel().mask == GRADES[grades.DEFAULT].seconds == 79.2
    assert all(CostModel().mask_of(name) == grade.seconds for name, grade in GRADES.items())


def test_better_masks_take_longer_but_for_those_that_a_model_helps_with() -> None:
    drawn = [GRADES[name] for name in ("polygon", "fine", "expert")]
    for worse, better in pairwise(drawn):
        assert worse.seconds < better.seconds
        assert worse.iou[1] < better.iou[0]
    assert GRADES["clicks"].seconds == pytest.approx(GRADES["polygon"].seconds / 3)


def test_the_time_of_fine_is_computed_and_says_so() -> None:
    """On logarithms a straight line through polygon and expert, over 1 - IoU."""
    known = [GRADES[name] for name in ("polygon", "expert")]
    line = np.polyfit([np.log(1 - each.middle) for each in known], [np.log(each.seconds) for each in known], 1)
    assert GRADES["fine"].seconds == pytest.approx(np.exp(np.polyval(line, np.log(1 - GRADES["fine"].middle))), abs=0.5)
    assert "ours" in GRADES["fine"].time_source


@given(COUNTS)
def test_numbers_are_written_in_one_way_and_read_back(counts: dict[str, int]) -> None:
    kept = {name: count for name, count in counts.items() if count}
    spelt = grades.shortest(counts)
    assert grades.counted(spelt) == grades.counted(counts) == kept
    assert spelt == grades.shortest(dict(reversed(counts.items())))
    assert isinstance(spelt, int) == (set(kept) <= {grades.DEFAULT})
    assert grades.from_text(grades.text_of(counts), sum(kept.values())) == kept
    assert (grades.text_of(counts) == "") == (set(kept) <= {grades.DEFAULT})


def test_words_name_grades_where_there_are_others() -> None:
    assert grades.in_words({"polygon": 1000}) == "1,000"
    assert grades.in_words({"fine": 100, "polygon": 1000}) == "1,000 polygon, 100 fine"
    assert grades.in_words({}) == "0"
    with pytest.raises(UserError, match="no grade 'fien'; the nearest valid choice is 'fine'"):
        grades.counted({"fien": 3})


def test_the_page_has_the_list() -> None:
    for name, grade in GRADES.items():
        low, high = grade.iou
        time, quality = (grade.time_source, grade.time_trust), (grade.quality_source, grade.quality_trust)
        cells = [f"`{name}`", f"{grade.seconds:g} s", f"{low:.2f} to {high:.2f}", *time, *quality]
        assert f"| {' | '.join(cells)} |" in PAGE
    errors = re.search(r"shorter side, is\s+(.*?) on the embedded set's test photos", PAGE, re.DOTALL)
    assert errors
    assert errors[1] == ", ".join(f"{grade.boundary:g} (`{name}`)" for name, grade in GRADES.items())
