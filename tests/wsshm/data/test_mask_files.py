"""Which pixels of a mask's file are the person: two levels, soft edges, class indices; right or refused."""

import cv2
import numpy as np
import pytest
from PIL import Image

from wsshm.data.pictures import format_classes, parse_classes, read_mask, read_mask_values
from wsshm.errors import UserError

VOC = [0, 0, 0, 128, 0, 0] + [64, 0, 0] * 13 + [192, 128, 128] + [1, 2, 3] * 239 + [224, 224, 192]
LEVELS = np.zeros((24, 24), np.uint8)  # background, a cat (8), a person (15) and a void outline (255)
LEVELS[2:10, 2:10] = 8
LEVELS[10:22, 8:20] = 255
LEVELS[11:21, 9:19] = 15
PERSON = (LEVELS == 15).astype(np.uint8)


def saved(path, array, palette=None):
    image = Image.fromarray(array)
    if palette is not None:
        image = image.convert("P")
        image.putpalette(palette)
    image.save(path)
    return path


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_a_palette_is_read_by_its_indices(tmp_path, ending):
    path = saved(tmp_path / f"voc.{ending}", LEVELS, VOC)
    np.testing.assert_array_equal(read_mask(path, (15,)), PERSON)
    np.testing.assert_array_equal(read_mask(path, (8, 15)), (LEVELS == 8) | (LEVELS == 15))
    assert not read_mask(path, (3,)).any()
    with pytest.raises(UserError, match=r"values 0 \(\d+ px\), 8 \(64 px\), 15 \(100 px\), 255 \(44 px\).*--class 15"):
        read_mask(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_class_indices_are_refused_or_chosen_from(tmp_path, dtype):
    for levels in (LEVELS, np.where(LEVELS == 255, 0, LEVELS), np.minimum(LEVELS // 8, 2) + (LEVELS == 255) * 253):
        path = saved(tmp_path / "grey.png", levels.astype(dtype))
        with pytest.raises(UserError, match=r"grey\.png holds the values .*--class \d"):
            read_mask(path)
    assert read_mask(saved(path, LEVELS.astype(dtype)), (15,)).tolist() == PERSON.tolist()
    three = saved(tmp_path / "three.png", np.dstack([LEVELS] * 3))
    assert read_mask(three, (15,)).tolist() == PERSON.tolist()


@pytest.mark.parametrize(
    "palette",
    [[0, 0, 0, 128, 0, 0], [0, 0, 0, 100, 0, 60], [0, 0, 0, 1, 1, 1], [0, 0, 0, 255, 255, 255], [255, 0, 0, 0, 0, 255]],
)
def test_a_palette_of_two_is_nobody_and_somebody_whatever_its_colours(tmp_path, palette):
    path = saved(tmp_path / "two.png", PERSON, palette)
    np.testing.assert_array_equal(read_mask(path), PERSON)
    np.testing.assert_array_equal(read_mask(path, (1,)), PERSON)


def test_a_palette_of_white_and_black_is_read_by_its_colours(tmp_path):
    path = saved(tmp_path / "turned.png", 1 - PERSON, [255, 255, 255, 0, 0, 0])
    np.testing.assert_array_equal(read_mask(path), PERSON)


def test_soft_masks_are_thresholded(tmp_path):
    soft = cv2.GaussianBlur(np.kron(PERSON, np.full((8, 8), 255, np.uint8)), (0, 0), 3)
    for name in ("soft.png", "soft.jpg", "soft.webp"):
        mask = read_mask(saved(tmp_path / name, soft))
        assert (mask != np.kron(PERSON, np.ones((8, 8)))).mean() < 0.01
    supersampled = cv2.resize(np.kron(PERSON, np.full((9, 9), 255, np.uint8)), None, fx=0.25, fy=0.25, interpolation=3)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "a.png", supersampled)), supersampled > 127)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "b.png", PERSON * np.uint8(200))), PERSON)


def test_one_colour_is_the_person_and_several_are_refused(tmp_path):
    red = np.dstack([PERSON * np.uint8(255), PERSON * np.uint8(0), PERSON * np.uint8(0)])
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "red.png", red)), PERSON)
    with pytest.raises(UserError, match=r"red\.png has colours .*leave out --class"):
        read_mask(tmp_path / "red.png", (1,))
    painted = np.array(VOC, np.uint8).reshape(-1, 3)[LEVELS]
    with pytest.raises(UserError, match=r"painted\.png has several colours.*save the class indices"):
        read_mask(saved(tmp_path / "painted.png", painted))
    composite = np.dstack([painted, np.full_like(LEVELS, 255)])
    with pytest.raises(UserError, match="several colours"):
        read_mask(saved(tmp_path / "opaque.png", composite))


def test_a_trimap_is_no_mask(tmp_path):
    with pytest.raises(UserError, match=r"128 \(100 px\), 255 .* or a trimap do"):
        read_mask(saved(tmp_path / "t.png", np.where(PERSON == 1, np.uint8(128), LEVELS // 255 * 255)))


def test_classes_of_a_plain_mask_or_of_floats_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"0 and 255 only.*leave out --class"):
        read_mask(saved(tmp_path / "plain.png", PERSON * 255), (15,))
    with pytest.raises(UserError, match=r"f\.tif holds floats"):
        read_mask(saved(tmp_path / "f.tif", PERSON.astype(np.float32) / 2), (15,))


def test_values_are_what_is_thresholded(tmp_path):
    values = read_mask_values(saved(tmp_path / "a.png", np.array([[0, 51, 255]], np.uint8)))
    np.testing.assert_allclose(values, [[0, 0.2, 1]], atol=1e-6)


def test_classes_as_text():
    assert parse_classes("15") == (15,)
    assert parse_classes(" 3, 1,3") == (1, 3)
    assert parse_classes(format_classes((15, 1))) == (1, 15)
    for wrong in ("", "person", "-1", "1,,2", "1.5", "70000", "²", "9" * 5000):
        with pytest.raises(UserError, match="--class 15"):
            parse_classes(wrong)
