"""COCO's annotations: every kind of shape becomes the pixels that it means, or one sentence names what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as codes

from tests.wsshm.data.trees import HEIGHT, WIDTH, box, boxed, coco, coco_persons, photo, polygon
from wsshm.data.importing import import_layout
from wsshm.data.layouts.coco_persons import draw
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_image, read_mask
from wsshm.errors import UserError


def rows_of(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths down the columns, from left to right; the first is of background."""
    runs, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def packed(runs: list[int]) -> str:
    """Run lengths as COCO's text: from the fourth on the difference to the one before the last, in groups of 5 bits."""
    text = ""
    for k, run in enumerate(runs):
        number = run - runs[k - 2] if k > 2 else run
        more = True
        while more:
            group, number = number & 31, number >> 5
            more = number != (-1 if group & 16 else 0)
            text += chr((group | 32 if more else group) + 48)
    return text


def inside(corners: list[int], height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    """Whose centres a polygon holds, by counting the edges that a ray to the right crosses."""
    points = list(zip(corners[::2], corners[1::2], strict=True))
    mask = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
                if (y0 > y + 0.5) != (y1 > y + 0.5) and x + 0.5 < x0 + (y + 0.5 - y0) * (x1 - x0) / (y1 - y0):
                    mask[y, x] = not mask[y, x]
    return mask


def tree(root: Path, *annotations: dict[str, Any], **image: Any) -> Path:
    """A part of one picture, with its annotations."""
    photo(root / "val2017" / "a.jpg")
    (root / "annotations").mkdir(exist_ok=True)
    numbered = [{"image_id": 7, **annotation} for annotation in annotations]
    text = coco([{"id": 7, "file_name": "a.jpg", **image}], numbered)
    (root / "annotations" / "instances_val2017.json").write_text(text)
    return root


def imported(root: Path, **options: str) -> Manifest:
    return import_layout("coco-persons", root, options=options, converted=root.parent / "m-masks")


def masks(manifest: Manifest) -> list[NDArray[np.uint8]]:
    return [read_mask(manifest.path(sample, "mask")) for sample in manifest.samples]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "coco"


SHAPE = boxed(2, 1, 5, 4) | boxed(9, 0, 16, 7) | boxed(3, 10, 4, 12)


@pytest.mark.parametrize("runs", [rows_of(SHAPE), packed(rows_of(SHAPE))], ids=["uncompressed", "compressed"])
def test_both_kinds_of_run_lengths_are_drawn(root: Path, runs: object) -> None:
    (mask,) = masks(imported(tree(root, {"segmentation": {"size": [HEIGHT, WIDTH], "counts": runs}})))
    np.testing.assert_array_equal(mask, SHAPE)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_compressed_code_is_what_pycocotools_makes_of_it(mask: NDArray[np.bool_]) -> None:
    height, width = mask.shape
    code = codes.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert packed(rows_of(mask)) == code["counts"].decode()
    shape = {"size": [height, width], "counts": code["counts"].decode()}
    np.testing.assert_array_equal(draw([shape], width, height, "x"), mask)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_any_text_is_a_code_or_refused(text: str) -> None:
    try:
        mask = draw([{"size": [HEIGHT, WIDTH], "counts": text}], WIDTH, HEIGHT, "x")
    except UserError:
        return
    assert mask.shape == (HEIGHT, WIDTH)


def test_shapes_of_several_kinds_and_persons_are_united(root: Path) -> None:
    code = {"size": [HEIGHT, WIDTH], "counts": packed(rows_of(boxed(0, 0, 3, 3)))}
    several = box(1, 1, 5, 5) + box(8, 2, 12, 6)
    (mask,) = masks(imported(tree(root, {"segmentation": code}, {"segmentation": several})))
    np.testing.assert_array_equal(mask, boxed(0, 0, 3, 3) | boxed(1, 1, 5, 5) | boxed(8, 2, 12, 6))


@pytest.mark.parametrize(
    "corners", [(1, 1, 14, 3, 6, 11), (8, 0, 15, 6, 8, 12, 1, 6), (0, 0, 16, 0, 16, 12, 8, 5, 0, 12)]
)
def test_slanted_polygons_are_drawn_but_for_their_edges(root: Path, corners: tuple[int, ...]) -> None:
    (mask,) = masks(imported(tree(root, {"segmentation": polygon(*corners)})))
    expected = inside(list(corners)).astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    assert (cv2.erode(expected, square) <= mask).all()
    assert (mask <= cv2.dilate(expected, square)).all()
    assert (mask != expected).mean() < 0.06


def test_one_mask_a_person_and_crowds(root: Path) -> None:
    coco_persons(root)
    each = imported(root, per="person")
    assert [(s.id, s.image, s.attributes) for s in each.samples] == [
        ("001-900", "coco/train2017/001.jpg", {"picture": "001"}),
        ("001-901", "coco/train2017/001.jpg", {"picture": "001"}),
        ("003-905", "coco/train2017/003.jpg", {"picture": "003"}),
        ("004-900", "coco/val2017/004.jpg", {"picture": "004"}),
    ]
    for mask, expected in zip(masks(each), [boxed(1, 2, 6, 9), boxed(8, 0, 12, 4), boxed(1, 2, 6, 9)], strict=False):
        np.testing.assert_array_equal(mask, expected)
    (root.parent / "m-masks").rename(root.parent / "old")
    crowd = {s.id: s for s in imported(root, crowds="person").samples}
    assert crowd["003"].attributes == {"persons": "1", "crowds": "1"}
    assert read_mask(root.parent / "m-masks" / "003.png").all()


def test_a_crowd_is_left_out_and_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    coco_persons(root)
    assert "003" not in {s.id for s in imported(root).samples}
    assert "instances_train2017.json: left out 1 picture with a crowd" in caplog.text


def test_another_category_is_chosen_by_its_name(root: Path) -> None:
    coco_persons(root)
    assert [s.id for s in imported(root, category="dog").samples] == ["001", "002"]


def test_annotations_whose_pictures_were_not_fetched_are_skipped_and_said(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coco_persons(root)
    (root / "train2017").rename(root / "elsewhere")
    assert [s.id for s in imported(root).samples] == ["004"]
    assert "skipped annotations whose pictures are not there: instances_train2017.json" in caplog.text
    (root / "val2017").rename(root / "gone")
    with pytest.raises(UserError, match="has annotations, but not their pictures"):
        imported(root)


def test_pictures_below_images_and_in_nested_folders_are_found(root: Path) -> None:
    tree(root, {"segmentation": box(1, 1, 5, 5)}, file_name="b/Zoé 1.JPG")
    photo(root / "images" / "val2017" / "b" / "Zoe\u0301 1.JPG")
    (root / "val2017" / "a.jpg").unlink()
    (root / "val2017").rmdir()
    (sample,) = imported(root).samples
    assert (sample.id, sample.split) == ("Zoé 1", "val")


def test_pictures_of_one_stem_keep_their_names(root: Path) -> None:
    tree(root)
    images = [{"id": k, "file_name": name} for k, name in enumerate(("a.jpg", "a.png", "b/a.jpg"))]
    for image in images:
        photo(root / "val2017" / str(image["file_name"]))
    annotations = [{"image_id": k, "segmentation": box(0, 0, 2 + k, 2)} for k in range(3)]
    (root / "annotations" / "instances_val2017.json").write_text(coco(images, annotations))
    manifest = imported(root)
    assert [s.id for s in manifest.samples] == ["a.jpg", "a.png", "b/a.jpg"]
    assert [int(mask.sum()) for mask in masks(manifest)] == [4, 6, 8]


def turned_photo(path: Path, orientation: int, stored: NDArray[np.uint8]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, quality=100, subsampling=0, exif=exif)


@pytest.mark.parametrize(
    ("orientation", "annotated"),
    [*((tag, "stored") for tag in range(2, 9)), *((tag, "seen") for tag in range(5, 9))],
)
def test_a_mask_turns_with_its_picture(
    root: Path, orientation: int, annotated: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bright box in the stored picture is the person, annotated as it is stored, or (told by the size) as it is seen."""
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[4:12, 8:24] = 255
    tree(root)
    turned_photo(root / "val2017" / "a.jpg", orientation, stored)
    seen = read_image(root / "val2017" / "a.jpg")[..., 0] > 127
    where = np.argwhere(seen if annotated == "seen" else stored[..., 0] > 127)
    (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0) + 1
    shape = box(int(left), int(top), int(right), int(bottom))
    size = {"width": 32, "height": 48} if annotated == "seen" else {"width": 48, "height": 32}
    (mask,) = masks(imported(tree_with(root, shape, **size)))
    np.testing.assert_array_equal(mask, seen)
    assert ("does not say whether it is for the picture as it is stored" in caplog.text) == (orientation < 5)
    assert "the label does not have" not in caplog.text


def tree_with(root: Path, shape: object, **size: int) -> Path:
    text = coco([{"id": 7, "file_name": "a.jpg", **size}], [{"image_id": 7, "segmentation": shape}])
    (root / "annotations" / "instances_val2017.json").write_text(text)
    return root


FULL = {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({**FULL, "size": [WIDTH, HEIGHT]}, "run-length code of 12x16 for a picture of 16x12"),
        ({**FULL, "size": None}, "run-length code of no size"),
        ({**FULL, "counts": [0, 5]}, "run-length code of 5 pixels for a picture of 16x12"),
        ({**FULL, "counts": [-5, 197]}, "run's length is -5, not a whole number"),
        ({**FULL, "counts": [2**40]}, "not a whole number"),
        ({**FULL, "counts": packed([0, 400])}, "run-length code of 400 pixels for a picture of 16x12"),
        ({**FULL, "counts": packed([0, 200, 5, 0, -13])}, "run's length is -13, not a whole number"),
        ({**FULL, "counts": packed([0, 192])[:-1]}, "run-length code of 0 pixels for a picture of 16x12"),
        ({**FULL, "counts": "é"}, "run-length code that cannot be read"),
        ({**FULL, "counts": "o" * 1000}, "run-length code that cannot be read"),
        ("x", "neither polygons nor a run-length code"),
        ([["x", 1, 2]], "polygon that is no list of x and y"),
        ([[1, 2, 3]], "polygon that is no list of x and y"),
        ([[1, 2, 3, 4, 1e9, 2]], "polygon that leaves its picture of 16x12"),
        ([[1, 2, 3, 4, float("nan"), 2]], "polygon that leaves its picture of 16x12"),
        ([[10**400] * 6], "polygon that is no list of x and y"),
        ([[0, 0, 9, 9]], "has a pixel of a person"),
    ],
)
def test_shapes_that_fit_no_picture_are_refused(root: Path, segmentation: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        imported(tree(root, {"segmentation": segmentation}))
    assert str(root / "annotations" / "instances_val2017.json") in str(refused.value)
    assert not (root.parent / "m-masks").exists()


WHOLE = {"segmentation": box(0, 0, 4, 4)}


def test_persons_of_one_number_are_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"instances_val2017\.json has two annotations 5 of a\.jpg"):
        imported(tree(root, {**WHOLE, "id": 5}, {**WHOLE, "id": 5}), per="person")


@pytest.mark.parametrize(
    ("image", "annotation", "message"),
    [
        ({"width": 99}, WHOLE, r"is for a picture of 99x12, but .*a\.jpg has 16x12"),
        ({"width": None}, WHOLE, "the width of a.jpg is None, not a whole number"),
        ({"file_name": "gone.jpg"}, WHOLE, r"annotates 1 picture that .*val2017 lacks, the first is gone\.jpg"),
        ({"file_name": "../../a.jpg"}, WHOLE, r"lacks, the first is \.\./\.\./a\.jpg"),
        ({"file_name": None}, WHOLE, "the picture 7 has no file_name"),
        ({}, {**WHOLE, "image_id": 8}, "annotates the picture 8, which its images lack"),
        ({}, {**WHOLE, "category_id": 18}, r"instances_val2017\.json: no person is annotated"),
    ],
)
def test_pictures_and_annotations_that_do_not_meet_are_refused(
    root: Path, image: dict[str, Any], annotation: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        imported(tree(root, annotation, **image))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"instances_val2017\.json is empty"),
        ("{", r"instances_val2017\.json is not JSON \(.*line 1\)"),
        (b"\xff\xfe{}", r"instances_val2017\.json is not JSON \(it is not UTF-8 text"),
        ("[" * 100_000, r"instances_val2017\.json is (nested too deeply|not JSON)"),
        (f'{{"id": {"1" * 5000}}}', "holds a number too long"),
        ("[]", "holds no lists images, annotations, categories"),
        ('{"images": [], "annotations": [], "categories": []}', r"no category 'person' \(but none\)"),
        ('{"images": [{"id": []}], "annotations": [], "categories": []}', "ids that are no numbers"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}', r"'person' \(but cat\)"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}',
            r"instances_val2017\.json: no person is annotated",
        ),
    ],
)
def test_files_that_are_no_annotations_are_refused(root: Path, text: str | bytes, message: str) -> None:
    tree(root)
    (root / "annotations" / "instances_val2017.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError, match=message):
        imported(root)


def test_one_picture_listed_twice_is_refused(root: Path) -> None:
    tree(root, WHOLE)
    document = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    document["images"].append({**document["images"][0], "id": 8})
    document["annotations"].append({**document["annotations"][0], "image_id": 8})
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"lists the picture a\.jpg twice"):
        imported(root)


def test_classes_are_not_chosen_from_annotations(root: Path) -> None:
    with pytest.raises(UserError, match="--class 15 is for masks of class indices, and coco-persons has annotations"):
        import_layout("coco-persons", tree(root, WHOLE), classes=(15,), converted=root.parent / "m-masks")
