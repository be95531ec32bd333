"""Supervisely's annotations: polygons with holes and bitmaps with an origin become the pixels that they mean."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.wsshm.data.trees import HEIGHT, WIDTH, bitmap, boxed, outline, photo, supervisely, supervisely_person
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask
from wsshm.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One picture, yet without an annotation."""
    photo(tmp_path / "set" / "img" / "a.jpg")
    (tmp_path / "set" / "ann").mkdir()
    return tmp_path / "set"


def imported(root: Path, **options: Any) -> Manifest:
    return import_layout("supervisely-person", root, options=options, converted=root.parent / "m-masks")


def mask_of(root: Path, *objects: dict[str, Any], **options: Any) -> NDArray[np.uint8]:
    (root / "ann" / "a.jpg.json").write_text(supervisely(*objects))
    manifest = imported(root, **options)
    return read_mask(manifest.path(manifest.samples[0], "mask"))


SQUARE = [[1, 1], [9, 1], [9, 9], [1, 9]]
HOLE = [[4, 4], [6, 4], [6, 6], [4, 6]]
FIGURE = np.array([[1, 0, 1], [0, 1, 1]], bool)


def test_outlines_hold_their_corners_and_holes_do_not(root: Path) -> None:
    np.testing.assert_array_equal(mask_of(root, outline(SQUARE, HOLE)), boxed(1, 1, 10, 10) & ~boxed(4, 4, 7, 7))


def test_what_one_person_leaves_open_another_may_fill(root: Path) -> None:
    mask = mask_of(root, outline([[5, 5], [5, 5], [5, 5]]), outline(SQUARE, HOLE), bitmap(FIGURE, 13, 10))
    expected = boxed(1, 1, 10, 10) & ~boxed(4, 4, 7, 7) | boxed(5, 5, 6, 6)
    expected[10:12, 13:16] |= FIGURE
    np.testing.assert_array_equal(mask, expected)


def grey(plane: NDArray[np.uint8]) -> dict[str, Any]:
    packed = zlib.compress(cv2.imencode(".png", plane)[1].tobytes())
    return {"classTitle": "person_bmp", "bitmap": {"data": base64.b64encode(packed).decode(), "origin": [2, 3]}}


def test_bitmaps_of_one_channel_are_read_by_its_values(root: Path) -> None:
    expected = boxed(0, 0, 0, 0)
    expected[3:5, 2:5] = FIGURE
    np.testing.assert_array_equal(mask_of(root, grey(FIGURE * np.uint8(255))), expected)


def test_classes_are_chosen_by_their_titles(root: Path) -> None:
    rider, bike = outline(SQUARE, title="rider"), outline(HOLE, title="Person on a bike")
    np.testing.assert_array_equal(mask_of(root, rider, bike), boxed(4, 4, 7, 7))
    (root.parent / "m-masks").rename(root.parent / "old")
    np.testing.assert_array_equal(mask_of(root, rider, bike, classes=["rider"]), boxed(1, 1, 10, 10))


def test_photos_without_a_person_or_an_annotation_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supervisely_person(tmp_path / "set")
    photo(tmp_path / "set" / "ds2" / "img" / "bare.jpg")
    assert [s.id for s in imported(tmp_path / "set").samples] == ["a", "b"]
    assert "left out 1 picture without a person: empty.png" in caplog.text
    assert "skipped 1 photo without an annotation: bare.jpg" in caplog.text


def test_pictures_of_one_stem_keep_their_places(tmp_path: Path) -> None:
    supervisely_person(tmp_path / "set")
    photo(tmp_path / "set" / "ds2" / "img" / "a.png")
    (tmp_path / "set" / "ds2" / "ann" / "a.json").write_text(supervisely(outline(HOLE)))
    assert [s.id for s in imported(tmp_path / "set").samples] == ["ds1/img/a.jpg", "ds2/img/a.png", "b"]
    photo(tmp_path / "set" / "ds2" / "img" / "a.jpg")
    with pytest.raises(UserError, match=r"ds2/ann/a\.json may annotate any of several pictures a in .*ds2/img"):
        imported(tmp_path / "set")


@pytest.mark.parametrize("annotated", ["stored", "seen"])
def test_a_mask_turns_with_its_picture(root: Path, annotated: str) -> None:
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[4:12, 8:24] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(root / "img" / "a.jpg", quality=100, subsampling=0, exif=exif)
    seen = read_image(root / "img" / "a.jpg")[..., 0] > 127
    plane = seen if annotated == "seen" else stored[..., 0] > 127
    (top, left), (bottom, right) = np.argwhere(plane).min(axis=0), np.argwhere(plane).max(axis=0) + 1
    figure = bitmap(plane[top:bottom, left:right], int(left), int(top))
    text = supervisely(figure, height=plane.shape[0], width=plane.shape[1])
    (root / "ann" / "a.jpg.json").write_text(text)
    manifest = imported(root)
    np.testing.assert_array_equal(read_mask(manifest.path(manifest.samples[0], "mask")), seen)


def packed(content: bytes, left: Any = 0) -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return {"classTitle": "person", "bitmap": {"data": data, "origin": [left, 0]}}


HUGE = cv2.imencode(".png", np.zeros((1, WIDTH + 1), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (bitmap(FIGURE, 14, 0), "has a bitmap that leaves its picture"),
        (bitmap(FIGURE, 0, HEIGHT - 1), "has a bitmap that leaves its picture"),
        (packed(zlib.compress(HUGE)), "has a bitmap that leaves its picture"),
        (packed(zlib.compress(HUGE), left=-1), "a bitmap's origin is -1, not a whole number of at least 0"),
        (packed(zlib.compress(HUGE), left="x"), "a bitmap's origin is x, not a whole number"),
        (packed(zlib.compress(b"\0" * 20_000_000)), "has a bitmap that cannot be read"),
        (packed(zlib.compress(HUGE[:40])), "has a bitmap that (cannot be read|leaves its picture)"),
        (packed(b"no zlib"), "has a bitmap that cannot be read"),
        ({"classTitle": "person", "bitmap": {"data": "*", "origin": [0, 0]}}, "has a bitmap that cannot be read"),
        ({"classTitle": "person", "bitmap": {"data": None, "origin": [0, 0]}}, "has a bitmap that cannot be read"),
        ({"classTitle": "person", "bitmap": {"data": ""}}, "has a bitmap without an origin"),
        (outline([[0, 0], [1, 1], [99, 5]]), "polygon that leaves its picture of 16x12"),
        (outline([[0, 0], [10**400, 1], [1, 1]]), "polygon that is no list of x and y"),
        (outline([[0, 0], [1]]), "polygon that is no list of x and y"),
        ({"classTitle": "person", "geometryType": "rectangle"}, "neither a polygon nor a bitmap but 'rectangle'"),
    ],
)
def test_shapes_that_fit_no_picture_are_refused(root: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        mask_of(root, entry)
    assert str(root / "ann" / "a.jpg.json") in str(refused.value)
    assert not (root.parent / "m-masks").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jpg", "", r"a\.jpg\.json is empty"),
        ("a.jpg", "nothing", r"a\.jpg\.json is not JSON"),
        ("a.jpg", "[]", "has no `size` and `objects`"),
        ("a.jpg", json.dumps({"size": {"width": "x", "height": 2}, "objects": []}), "the width is x, not a whole"),
        ("a.jpg", supervisely(outline(SQUARE), width=99), r"is for a picture of 99x12, but .*a\.jpg has 16x12"),
        ("a.jpg", supervisely(outline(SQUARE, title="neutral")), "no annotation in .* has a person"),
        ("b.jpg", supervisely(outline(SQUARE)), r"b\.jpg\.json annotates a picture that .*img lacks; add b\.jpg"),
    ],
)
def test_files_that_are_no_annotations_are_refused(root: Path, name: str, text: str, message: str) -> None:
    (root / "ann" / f"{name}.json").write_text(text)
    with pytest.raises(UserError, match=message):
        imported(root)
