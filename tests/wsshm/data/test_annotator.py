"""The simulated annotator: as good as the grade that is asked for, whatever the picture's size."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask
from wsshm.data.procedural import DEFAULT_COUNTS, ensure
from wsshm.data.procedural.annotator import HANDS, draw
from wsshm.data.procedural.pictures import draw_photo, plan_photo
from wsshm.data.stats import boundary_error
from wsshm.grades import GRADES

STREAMS = {"val": 4, "test": 5}  # of the embedded set's random numbers; its annotators' are 10 more
FIRST = 24  # of the test photos: enough to tell the grades apart, few enough to be drawn at once
SIZES = (128, 192)


@cache
def alpha(part: str, size: int, index: int) -> np.ndarray:
    return draw_photo(plan_photo(np.random.default_rng([0, STREAMS[part], index])), size)[1]


def mask(part: str, size: int, index: int, grade: str) -> np.ndarray:
    return draw(np.random.default_rng([0, STREAMS[part] + 10, index]), alpha(part, size, index), grade)


def quality(part: str, size: int, count: int, grade: str) -> tuple[float, float]:
    """Mean IoU and boundary error over the first photos of a part."""
    values = []
    for index in range(count):
        truth, drawn = alpha(part, size, index) > 127, mask(part, size, index, grade) > 0
        error = boundary_error(drawn.astype(float), truth.astype(float))
        values.append(((truth & drawn).sum() / (truth | drawn).sum(), np.nan if error is None else error))
    iou, error = np.nanmean(values, axis=0)
    return float(iou), float(error)


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("size", SIZES)
def test_masks_are_as_good_as_their_grade_says(grade: str, size: int) -> None:
    low, high = GRADES[grade].iou
    iou, error = quality("test", size, FIRST, grade)
    assert low <= iou <= high
    assert error == pytest.approx(GRADES[grade].boundary, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("size", SIZES)
def test_all_test_photos_have_masks_of_their_grade(grade: str, size: int) -> None:
    """What the validation photos have is told as well."""
    low, high = GRADES[grade].iou
    for part in ("val", "test"):
        iou, error = quality(part, size, DEFAULT_COUNTS[part], grade)
        print(f"{part}, {grade}, {size} px: IoU {iou:.3f}, boundary error {error:.2f} thousandths")
    assert low <= iou <= high
    assert error == pytest.approx(GRADES[grade].boundary, rel=0.15)


def test_the_embedded_set_is_drawn_so(tmp_path) -> None:
    listed = Manifest.read(ensure("test", 128, counts={"test": 1}, masks="fine", cache=tmp_path))
    (sample,) = listed.samples
    assert sample.attributes["mask_grade"] == "fine"
    assert (read_mask(listed.path(sample, "mask")) == (mask("test", 128, 0, "fine") > 0)).all()


@pytest.mark.parametrize("grade", GRADES)
def test_a_picture_of_another_size_has_the_same_mask(grade: str) -> None:
    """Errors are shares of the picture: what differs is less than what whole pixels can say."""
    for index in range(6):
        large = alpha("test", 192, index)
        small = cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA)
        drawn = [draw(np.random.default_rng(index), each, grade) for each in (large, small)]
        shrunk = cv2.resize(drawn[0], (96, 96), interpolation=cv2.INTER_AREA) > 127
        both, either = (shrunk & (drawn[1] > 0)).sum(), (shrunk | (drawn[1] > 0)).sum()
        low, _ = GRADES[grade].iou
        assert both / either > (1 + low) / 2


@pytest.mark.parametrize("grade", HANDS)
def test_masks_are_binary_without_holes_and_there_where_somebody_is(grade: str) -> None:
    person = np.zeros((90, 60), np.uint8)
    cv2.circle(person, (30, 45), 20, 255, 5)  # a ring: what is inside it is filled
    found = draw(np.random.default_rng(0), person, grade)
    assert set(np.unique(found)) == {0, 255}
    assert found[45, 30] == 255
    assert (draw(np.random.default_rng(0), person, grade) == found).all()
    tiny = np.zeros((90, 60), np.uint8)
    tiny[44:46, 30:32] = 255  # smaller than any detail
    assert draw(np.random.default_rng(0), tiny, grade).any()
    assert not draw(np.random.default_rng(0), np.zeros((9, 7), np.uint8), grade).any()
    assert draw(np.random.default_rng(0), np.full((9, 7), 255, np.uint8), grade).any()


def test_every_grade_has_an_annotator() -> None:
    assert list(HANDS) == list(GRADES)
