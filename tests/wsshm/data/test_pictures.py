import cv2
import numpy as np
import pytest
from PIL import Image

from wsshm.data import pictures
from wsshm.errors import UserError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)


@pytest.mark.parametrize(("array", "mode"), [(GREY, "L"), (COLOURS, "RGB"), (np.dstack([COLOURS, GREY]), "RGBA")])
def test_written_png_is_what_another_program_reads(tmp_path, array, mode):
    path = pictures.write_png(tmp_path / "new" / "a.png", array)
    with Image.open(path) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image), array)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = pictures.write_png(tmp_path / "a.png", GREY)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wsshm.files.whole.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        pictures.write_png(path, 255 - GREY)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(path)), GREY)


def test_image_is_rgb_whatever_the_file_holds(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([COLOURS, GREY])).save(tmp_path / "rgba.png")
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(pictures.read_image(tmp_path / "rgb.png"), COLOURS)
    np.testing.assert_array_equal(pictures.read_image(tmp_path / "rgba.png"), COLOURS)
    np.testing.assert_array_equal(pictures.read_image(tmp_path / "grey.png"), np.dstack([GREY] * 3))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_from_the_header_agrees_with_the_upright_picture(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOURS).save(path, exif=exif)
    image = pictures.read_image(path)
    assert pictures.read_size(path) == (image.shape[1], image.shape[0])
    assert image.shape[:2] == ((6, 9) if orientation < 5 else (9, 6))


@pytest.mark.parametrize("orientation", [3, 6])
def test_an_orientation_behind_the_pixels_of_a_png_counts(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    before, behind = tmp_path / "before.png", tmp_path / "behind.png"
    Image.fromarray(COLOURS).save(before, exif=exif)
    content = before.read_bytes()
    start = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[start : start + 4], "big")
    assert start < content.index(b"IDAT"), "Pillow writes it before the pixels"
    end = content.index(b"IEND") - 4
    behind.write_bytes(
        content[:start] + content[start + length : end] + content[start : start + length] + content[end:]
    )
    assert pictures.read_size(behind) == pictures.read_size(before)
    np.testing.assert_array_equal(pictures.read_image(behind), pictures.read_image(before))


def test_orientation_turns_the_picture_upright(tmp_path):
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera's left is the scene's top
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    upright = pictures.read_image(tmp_path / "a.jpg")
    assert upright[:6].mean() > 250
    assert upright[12:].mean() < 5


def test_matte_of_every_kind_of_file(tmp_path):
    truth = GREY / np.float32(255)
    wide = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([GREY] * 3)).save(tmp_path / "three.png")
    Image.fromarray(np.dstack([COLOURS, GREY])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])).save(tmp_path / "opaque.png")
    for name in ("grey", "three", "rgba", "opaque"):
        matte = pictures.read_matte(tmp_path / f"{name}.png")
        assert matte.dtype == np.float32
        np.testing.assert_array_equal(matte, truth)
    np.testing.assert_allclose(pictures.read_matte(tmp_path / "wide.png"), wide / 65535, atol=1e-7)


def test_matte_with_colours_is_refused(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png has colours"):
        pictures.read_matte(tmp_path / "a.png")


def test_mask_of_every_kind_of_file(tmp_path):
    truth = (GREY > 127).astype(np.uint8)
    palette = Image.fromarray(truth).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    files = {
        "byte": Image.fromarray(truth * 255),
        "label": Image.fromarray(truth),
        "soft": Image.fromarray(GREY),
        "boolean": Image.fromarray(truth.astype(bool)),
        "palette": palette,
        "alpha": Image.fromarray(np.dstack([COLOURS, truth * 255])),
    }
    for name, image in files.items():
        image.save(tmp_path / f"{name}.png")
        mask = pictures.read_mask(tmp_path / f"{name}.png")
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, truth, err_msg=name)


def test_trimap_goes_to_the_nearest_of_three_values(tmp_path):
    levels = np.array([[0, 5, 16, 120, 127, 128, 140, 240, 255]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert pictures.read_trimap(tmp_path / "a.png").tolist() == [[0, 0, 0, 128, 128, 128, 128, 255, 255]]


def test_what_is_no_trimap_lists_the_values_at_fault(tmp_path):
    levels = np.repeat(np.array([0, 128, 255, 40, 200], np.uint8), [60, 20, 60, 7, 3])[None]
    Image.fromarray(levels).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png holds values such as 40 \(7 px\), 200 \(3 px\), in 6\.7% of"):
        pictures.read_trimap(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 1, 2]], np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png holds no value above 2"):
        pictures.read_trimap(tmp_path / "b.png")


def test_a_cutout_gives_its_colours_and_its_alpha(tmp_path):
    pictures.write_png(tmp_path / "a.png", np.dstack([COLOURS, GREY]))
    np.testing.assert_array_equal(pictures.read_image(tmp_path / "a.png"), COLOURS)
    np.testing.assert_array_equal(pictures.read_matte(tmp_path / "a.png"), GREY / np.float32(255))


READERS = [
    pictures.read_size,
    pictures.read_image,
    pictures.read_matte,
    pictures.read_mask,
    pictures.read_trimap,
]


@pytest.mark.parametrize("read", READERS)
def test_missing_and_broken_files_are_named(tmp_path, read):
    with pytest.raises(UserError, match=r"there is no picture at .*gone\.png"):
        read(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name in ("text", "empty"):
        with pytest.raises(UserError, match=rf"{name}\.png is not a readable picture"):
            read(tmp_path / f"{name}.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_cut_off_is_broken(tmp_path, suffix):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(UserError, match="cut off"):
        pictures.read_image(path)
