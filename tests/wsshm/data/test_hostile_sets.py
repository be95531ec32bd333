"""`wsshm data check` of photos and masks as they come: read as they are meant, or one row that says what is wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.wsshm.data.test_check import picture
from tests.wsshm.data.test_cli import wsshm
from tests.wsshm.data.test_hostile_pictures import png
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import read_image, read_mask, read_matte

__all__ = ["wsshm"]  # a fixture
PHOTO = picture(3)  # 64 x 80
PERSON = cv2.circle(np.zeros((64, 80), np.uint8), (40, 30), 18, 1, -1)
TURNED = 6  # an orientation that viewers turn by 90 degrees clockwise


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def jpeg(**options: object) -> bytes:
    return saved(Image.fromarray(PHOTO), "JPEG", quality=95, **options)


def cv_png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> bytes:
    image = Image.fromarray(indices, "P")
    image.putpalette([value for colour in colours for value in colour])
    return saved(image, "PNG")


def tagged(pixels: np.ndarray, kind: str) -> bytes:
    """Stored lying, with the tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = TURNED
    return saved(Image.fromarray(np.rot90(pixels)), kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


# What is read as it is meant: (photo.jpg, mask.png).
GOOD: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "masks of 0 and 1": lambda: (jpeg(), cv_png(PERSON)),
    "masks of one bit": lambda: (jpeg(), saved(Image.fromarray(PERSON > 0), "PNG")),
    "16-bit mask": lambda: (jpeg(), cv_png(PERSON.astype(np.uint16) * 65535)),
    "16-bit photo": lambda: (cv_png(PHOTO[..., ::-1].astype(np.uint16) * 257), cv_png(PERSON * 255)),
    "palette mask": lambda: (jpeg(), palette(PERSON, (0, 0, 0), (255, 255, 255))),
    "palette mask, white first": lambda: (jpeg(), palette(1 - PERSON, (255, 255, 255), (0, 0, 0))),
    "palette photo": lambda: (saved(Image.fromarray(PHOTO).quantize(256), "PNG"), cv_png(PERSON * 255)),
    "CMYK photo": lambda: (saved(Image.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95), cv_png(PERSON * 255)),
    "progressive photo": lambda: (jpeg(progressive=True), cv_png(PERSON * 255)),
    "photo turned by its tag": lambda: (tagged(PHOTO, "JPEG"), cv_png(PERSON * 255)),
    "photo and mask turned by their tags": lambda: (tagged(PHOTO, "JPEG"), tagged(PERSON * 255, "PNG")),
}


def checked(wsshm: Callable, folder: Path, photo: bytes, mask: bytes, **more: str) -> tuple[int, str]:
    (folder / "photo.jpg").write_bytes(photo)
    (folder / "mask.png").write_bytes(mask)
    sample = Sample("a", "train", "photo", "natural", image="photo.jpg", mask="mask.png", **more)  # type: ignore[arg-type]
    manifest = Manifest(folder, [sample]).write(folder / "m.parquet")
    code, out, _ = wsshm("data", "check", manifest)
    return code, out


@pytest.mark.parametrize("case", GOOD)
def test_what_is_sound_is_read_as_it_is_meant(wsshm: Callable, tmp_path: Path, case: str) -> None:
    code, out = checked(wsshm, tmp_path, *GOOD[case]())
    assert (code, out) == (0, f"{tmp_path / 'm.parquet'}: 1 sample, no fault\n")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), PERSON)
    apart = np.abs(read_image(tmp_path / "photo.jpg").astype(int) - PHOTO)
    assert np.median(apart) <= 4
    assert apart.mean() <= 8


# What is not: (photo.jpg, mask.png, the column at fault, what is said of it).
BAD: dict[str, Callable[[], tuple[bytes, bytes, str, str]]] = {
    "photo cut off": lambda: (jpeg()[:-300], cv_png(PERSON), "image", "is not a readable picture; it may be cut off"),
    "progressive photo cut off": lambda: (
        *(jpeg(progressive=True)[:-300], cv_png(PERSON), "image", "is not a readable picture; it may be cut off"),
    ),
    "photo without its last marker": lambda: (jpeg()[:-2], cv_png(PERSON), "image", "is not a readable picture"),
    "photo whose end is zeros": lambda: (
        *(jpeg()[:-300] + bytes(300), cv_png(PERSON), "image", "is not a readable picture"),
    ),
    "mask cut off": lambda: (jpeg(), cv_png(PERSON)[:-20], "mask", "is not a readable picture"),
    "empty photo": lambda: (b"", cv_png(PERSON), "image", "is not a readable picture"),
    "macOS's companion of a photo": lambda: (
        *(b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", cv_png(PERSON), "image", "is not a readable picture"),
    ),
    "60,000 px a side": lambda: (
        *(png(60_000, 60_000), cv_png(PERSON), "image", "has 60,000 x 60,000 pixels, more than can be decoded"),
    ),
    "mask of 60,000 px a side": lambda: (
        *(jpeg(), png(60_000, 60_000), "mask", "has 60,000 x 60,000 pixels, more than can be decoded"),
    ),
    "mask of another size": lambda: (jpeg(), cv_png(PERSON[:, :70]), "mask", "70 x 64, but the image is 80 x 64"),
    "mask that lies though its photo was turned": lambda: (
        *(tagged(PHOTO, "JPEG"), cv_png(np.rot90(PERSON)), "mask", "64 x 80, but the image is 80 x 64"),
    ),
    "palette of classes": lambda: (
        *(
            jpeg(),
            palette(PERSON * 15, *[(k * 16, 0, 0) for k in range(16)]),
            "mask",
            "as class indices or a trimap do",
        ),
    ),
    "8 bits saved in 16": lambda: (jpeg(), cv_png(PERSON.astype(np.uint16) * 255), "mask", "as class indices"),
    "photo of 8 bits saved in 16": lambda: (
        *(cv_png((PHOTO // 2).astype(np.uint16)), cv_png(PERSON), "image", "has 16 bits but no value above"),
    ),
    "text": lambda: (b"<html>404</html>", cv_png(PERSON), "image", "is not a readable picture"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_is_one_row_that_names_the_file(wsshm: Callable, tmp_path: Path, case: str) -> None:
    photo, mask, column, said = BAD[case]()
    code, out = checked(wsshm, tmp_path, photo, mask)
    assert code == 1
    header, row, blank, *_ = out.splitlines()
    assert blank == ""
    severity, name, found, file, problem = row.split(maxsplit=4)
    assert (severity, name, found, file) == ("error", "a", column, "photo.jpg" if column == "image" else "mask.png")
    assert said in problem
    assert header.index("problem") == row.index(problem)


def test_16_bit_and_palette_mattes_are_read_as_they_are_meant(tmp_path: Path) -> None:
    matte = cv2.GaussianBlur(PERSON.astype(np.float32), (0, 0), 2)
    (tmp_path / "deep.png").write_bytes(cv_png(np.round(matte * 65535).astype(np.uint16)))
    np.testing.assert_allclose(read_matte(tmp_path / "deep.png"), matte, atol=1e-5)
    levels = np.round(matte * 255).astype(np.uint8)
    (tmp_path / "palette.png").write_bytes(palette(levels, *[(k, k, k) for k in range(256)]))
    np.testing.assert_array_equal(read_matte(tmp_path / "palette.png"), levels / np.float32(255))
