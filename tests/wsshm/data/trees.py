"""Miniature trees of published data sets, each as its publisher ships it, and the rows that a manifest should have of it."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wsshm.data.pictures import write_png

HEIGHT, WIDTH = 12, 16
DISC = cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (8, 6), 4, 255, -1)
MATTE = np.maximum(cv2.GaussianBlur(DISC, (0, 0), 1.5), DISC // 2)
TRIMAP = np.select([MATTE == 0, MATTE == 255], [np.uint8(0), np.uint8(255)], np.uint8(128))


@dataclass(frozen=True)
class Row:
    """What a manifest should say of a picture; `mask` is where it is drawn or chosen on import."""

    split: str
    kind: str
    domain: str | None
    files: dict[str, str]
    attributes: dict[str, str] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None


Rows = dict[str, Row]
Build = Callable[[Path], Rows]


def photo(path: Path, height: int = HEIGHT, width: int = WIDTH) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32("/".join(path.parts[-5:]).encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    done, content = cv2.imencode(path.suffix.lower(), pixels)
    assert done
    path.write_bytes(content.tobytes())


def label(path: Path, values: NDArray[np.uint8] = MATTE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix.lower(), values)[1].tobytes())


def cutout(path: Path) -> None:
    write_png(path, np.dstack([np.full((HEIGHT, WIDTH, 3), 90, np.uint8), MATTE]))


def p3m_10k(root: Path) -> Rows:
    rows = {}
    for name in ("p_01", "p_02"):
        photo(root / f"train/blurred_image/{name}.jpg")
        label(root / f"train/mask/{name}.png")
        photo(root / f"train/fg/{name}.png")
        photo(root / f"train/bg/{name}.png")
        files = {"image": f"train/blurred_image/{name}.jpg", "matte": f"train/mask/{name}.png"}
        rows[name] = Row("train", "photo", "natural", files, {"part": "train"})
    for part, images in (("P3M-500-P", "blurred_image"), ("P3M-500-NP", "original_image")):
        place, name = f"validation/{part}", f"p_{part}"
        photo(root / place / images / f"{name}.jpg")
        label(root / place / "mask" / f"{name}.png")
        label(root / place / "trimap" / f"{name}.png", TRIMAP)
        files = {
            "image": f"{place}/{images}/{name}.jpg",
            "matte": f"{place}/mask/{name}.png",
            "trimap": f"{place}/trimap/{name}.png",
        }
        rows[name] = Row("test", "photo", "natural", files, {"part": part})
    return rows


def p3m_10k_flat(root: Path) -> Rows:
    """A copy without the level validation/, the training set and fg/."""
    rows = p3m_10k(root / "whole")
    for part in ("P3M-500-P", "P3M-500-NP"):
        (root / "whole/validation" / part).rename(root / part)
    shutil.rmtree(root / "whole")
    kept = {name: row for name, row in rows.items() if row.split == "test"}
    return {
        name: Row(
            "test",
            "photo",
            "natural",
            {column: file.removeprefix("validation/") for column, file in row.files.items()},
            row.attributes,
        )
        for name, row in kept.items()
    }


def aim_500(root: Path) -> Rows:
    said = {"o_1": {"type": "SO", "category": "portrait"}, "o_2": {"type": "STM", "category": "plant"}}
    for name in said:
        photo(root / f"original/{name}.jpg")
        for folder in ("mask", "trimap", "usr"):
            label(root / folder / f"{name}.png", MATTE if folder == "mask" else TRIMAP)
    (root / "aim_category_type.json").write_text(json.dumps(said))
    return {
        name: Row(
            "test",
            "photo",
            "natural",
            {"image": f"original/{name}.jpg", "matte": f"mask/{name}.png", "trimap": f"trimap/{name}.png"},
            attributes,
        )
        for name, attributes in said.items()
    }


def ppm_100(root: Path) -> Rows:
    photo(root / "image/100_o.jpg")
    label(root / "matte/100_o.jpg")
    return {"100_o": Row("test", "photo", "natural", {"image": "image/100_o.jpg", "matte": "matte/100_o.jpg"})}


def ppm_100_val(root: Path) -> Rows:
    photo(root / "val/fg/100_o.jpg")
    label(root / "val/alpha/100_o.jpg")
    return {"100_o": Row("test", "photo", "natural", {"image": "val/fg/100_o.jpg", "matte": "val/alpha/100_o.jpg"})}


def rwp_636(root: Path) -> Rows:
    photo(root / "image/7.jpg")
    label(root / "alpha/7.png")
    label(root / "detailmap/7.png")
    return {"7": Row("test", "photo", "natural", {"image": "image/7.jpg", "matte": "alpha/7.png"})}


def human_2k(root: Path) -> Rows:
    """Both parts count from 0."""
    rows = {}
    for part, split in (("train", "train"), ("val", "test")):
        photo(root / part / "fg/0.png")
        label(root / part / "alpha/0.png")
        files = {"matte": f"{part}/alpha/0.png", "foreground": f"{part}/fg/0.png"}
        rows[f"{part}/0"] = Row(split, "cutout", "synthetic", files)
    return rows


def distinctions_646(root: Path) -> Rows:
    rows = {}
    for part, name in (("Train", "girl"), ("Test", "glass")):
        photo(root / part / f"FG/{name}.png")
        label(root / part / f"GT/{name}.png")
        files = {"matte": f"{part}/GT/{name}.png", "foreground": f"{part}/FG/{name}.png"}
        rows[name] = Row(part.lower(), "cutout", "synthetic", files)
    return rows


def photomatte85(root: Path) -> Rows:
    cutout(root / "PhotoMatte85/0001.png")
    return {"0001": Row("train", "cutout", "synthetic", {"matte": "0001.png", "foreground": "0001.png"})}


def photomatte85_pairs(root: Path) -> Rows:
    photo(root / "fgr/1.jpg")
    label(root / "pha/1.jpg")
    return {"1": Row("train", "cutout", "synthetic", {"matte": "pha/1.jpg", "foreground": "fgr/1.jpg"})}


def videomatte240k(root: Path) -> Rows:
    rows = {}
    for split in ("train", "test"):
        for clip in ("0000", "0001"):
            photo(root / split / f"fgr/{clip}/00000.jpg")
            label(root / split / f"pha/{clip}/00000.jpg")
            files = {"matte": f"{split}/pha/{clip}/00000.jpg", "foreground": f"{split}/fgr/{clip}/00000.jpg"}
            rows[f"{split}/{clip}/00000"] = Row(split, "cutout", "synthetic", files, {"clip": clip})
    return rows


def aisegment(root: Path) -> Rows:
    """Two groups have a clip and a picture of the same names; macOS left files beside one of them."""
    rows = {}
    for group in ("1803151818", "1803201916"):
        image, matte = f"clip_img/{group}/clip_00000000/1.jpg", f"matting/{group}/matting_00000000/1.png"
        photo(root / image)
        cutout(root / matte)
        rows[f"{group}/clip_00000000/1"] = Row("train", "photo", "natural", {"image": image, "matte": matte})
    (root / "matting/1803201916/._matting_00000000").write_bytes(b"left by macOS")
    (root / "matting/1803201916/matting_00000000/._1.png").write_bytes(b"left by macOS")
    return rows


def polygon(*corners: int) -> list[list[int]]:
    return [list(corners)]


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    """A rectangle's polygon; right and bottom are not in it."""
    return polygon(left, top, right, top, right, bottom, left, bottom)


def boxed(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> str:
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    numbered = [{"id": k, "iscrowd": 0, "category_id": 1, **a} for k, a in enumerate(annotations, 900)]
    whole = [{"width": WIDTH, "height": HEIGHT, **image} for image in images]
    return json.dumps({"images": whole, "annotations": numbered, "categories": categories})


def coco_persons(root: Path) -> Rows:
    """Of the pictures to train on one has two persons and a dog, one a dog and one a crowd."""
    for name in ("train2017/001", "train2017/002", "train2017/003", "val2017/004"):
        photo(root / f"{name}.jpg")
    (root / "annotations").mkdir()
    train = [{"id": k, "file_name": f"00{k}.jpg"} for k in (1, 2, 3)]
    shapes = [
        {"image_id": 1, "segmentation": box(1, 2, 6, 9)},
        {"image_id": 1, "segmentation": box(8, 0, 12, 4)},
        {"image_id": 1, "segmentation": box(0, 0, 16, 12), "category_id": 18},
        {"image_id": 2, "segmentation": box(0, 0, 16, 12), "category_id": 18},
        {"image_id": 3, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}, "iscrowd": 1},
        {"image_id": 3, "segmentation": box(1, 2, 6, 9)},
    ]
    (root / "annotations/instances_train2017.json").write_text(coco(train, shapes))
    val = [{"id": 4, "file_name": "004.jpg"}]
    code = {"size": [HEIGHT, WIDTH], "counts": [2 * HEIGHT, 3 * HEIGHT, 11 * HEIGHT]}
    (root / "annotations/instances_val2017.json").write_text(coco(val, [{"image_id": 4, "segmentation": code}]))
    persons = boxed(1, 2, 6, 9) | boxed(8, 0, 12, 4)
    return {
        "001": Row("train", "photo", "natural", {"image": "train2017/001.jpg"}, {"persons": "2"}, persons),
        "004": Row("val", "photo", "natural", {"image": "val2017/004.jpg"}, {"persons": "1"}, boxed(2, 0, 5, 12)),
    }


def bitmap(plane: NDArray[np.bool_], left: int, top: int) -> dict[str, Any]:
    """An object of Supervisely's: a zlib-packed PNG whose fourth channel is the mask."""
    pixels = np.zeros((*plane.shape, 4), np.uint8)
    pixels[plane] = 255
    content = cv2.imencode(".png", pixels)[1].tobytes()
    data = base64.b64encode(zlib.compress(content)).decode()
    points = {"exterior": [], "interior": []}
    return {"classTitle": "person_bmp", "bitmap": {"data": data, "origin": [left, top]}, "points": points}


def outline(exterior: list[list[int]], *interior: list[list[int]], title: str = "person_poly") -> dict[str, Any]:
    return {"classTitle": title, "bitmap": None, "points": {"exterior": exterior, "interior": list(interior)}}


def supervisely(*objects: dict[str, Any], height: int = HEIGHT, width: int = WIDTH) -> str:
    return json.dumps({"size": {"height": height, "width": width}, "tags": [], "objects": list(objects)})


def supervisely_person(root: Path) -> Rows:
    """Two groups, with a polygon that has a hole, a bitmap and a picture of nobody."""
    for name in ("ds1/img/a.jpg", "ds1/img/empty.png", "ds2/img/b.png"):
        photo(root / name)
    (root / "meta.json").write_text("{}")
    for group in ("ds1", "ds2"):
        (root / group / "ann").mkdir()
    ring = outline([[1, 1], [9, 1], [9, 9], [1, 9]], [[4, 4], [6, 4], [6, 6], [4, 6]])
    everywhere = outline([[0, 0], [15, 0], [15, 11], [0, 11]], title="neutral")
    (root / "ds1/ann/a.jpg.json").write_text(supervisely(everywhere, ring))
    (root / "ds1/ann/empty.png.json").write_text(supervisely())
    figure = np.array([[1, 0, 1], [0, 1, 1]], bool)
    (root / "ds2/ann/b.png.json").write_text(supervisely(bitmap(figure, 10, 3)))
    drawn = boxed(0, 0, 0, 0)
    drawn[3:5, 10:13] = figure
    return {
        "a": Row("train", "photo", "natural", {"image": "ds1/img/a.jpg"}, {}, boxed(1, 1, 10, 10) & ~boxed(4, 4, 7, 7)),
        "b": Row("train", "photo", "natural", {"image": "ds2/img/b.png"}, {}, drawn),
    }


def supervisely_person_prepared(root: Path) -> Rows:
    photo(root / "img/a.jpg")
    label(root / "seg/a.png", DISC)
    return {"a": Row("train", "photo", "natural", {"image": "img/a.jpg", "mask": "seg/a.png"})}


def lip(root: Path) -> Rows:
    rows = {}
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    classes[2:9, 3:8] = 13
    classes[0:2, 4:7] = 2
    for part, name in (("train", "77_1"), ("val", "100034_4"), ("train", "78_2")):
        photo(root / f"TrainVal_images/TrainVal_images/{part}_images/{name}.jpg")
        segmentations = "TrainVal_parsing_annotations/TrainVal_parsing_annotations"
        write_png(root / segmentations / f"{part}_segmentations/{name}.png", classes)
        files = {"image": f"TrainVal_images/TrainVal_images/{part}_images/{name}.jpg"}
        chosen = {"mask_classes": ",".join(map(str, range(1, 20)))}
        rows[name] = Row(part, "photo", "natural", files, chosen, boxed(3, 2, 8, 9) | boxed(4, 0, 7, 2))
    return rows


def bg_20k(root: Path) -> Rows:
    photo(root / "train/h_1.jpg")
    photo(root / "testval/h_2.jpg")
    return {
        "h_1": Row("train", "background", None, {"image": "train/h_1.jpg"}),
        "h_2": Row("test", "background", None, {"image": "testval/h_2.jpg"}),
    }


TREES: list[tuple[str, Build]] = [
    ("p3m-10k", p3m_10k),
    ("p3m-10k", p3m_10k_flat),
    ("aim-500", aim_500),
    ("ppm-100", ppm_100),
    ("ppm-100", ppm_100_val),
    ("rwp-636", rwp_636),
    ("human-2k", human_2k),
    ("distinctions-646", distinctions_646),
    ("photomatte85", photomatte85),
    ("photomatte85", photomatte85_pairs),
    ("photomatte85", videomatte240k),
    ("aisegment", aisegment),
    ("coco-persons", coco_persons),
    ("supervisely-person", supervisely_person),
    ("supervisely-person", supervisely_person_prepared),
    ("lip", lip),
    ("bg-20k", bg_20k),
]
"""Layouts by name, each with a tree of it."""
