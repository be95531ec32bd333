import numpy as np
import pytest
from PIL import Image

from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest, Sample
from wsshm.data.pictures import write_png
from wsshm.data.preview import GAP, checkerboard, preview
from wsshm.errors import UserError

RED, BLUE = (200, 0, 0), (0, 0, 200)


def sheet(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def count(pixels, colour):
    return int((pixels == colour).all(-1).sum())


@pytest.fixture
def photos(tmp_path):
    """Two red photos, 64 x 64, each with a mask that is 1 in the left half."""
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    for name in "ab":
        write_png(tmp_path / "set" / "images" / f"{name}.png", np.full((64, 64, 3), RED, np.uint8))
        write_png(tmp_path / "set" / "masks" / f"{name}.png", half)
    return import_layout("pairs", tmp_path / "set", domain="natural")


def test_photo_mask_and_cutout_are_on_the_sheet(photos, tmp_path):
    pixels = sheet(preview(photos, tmp_path / "sheet.png", cell=64))
    per_sample = 64 * 64
    assert count(pixels, RED) == 2 * (per_sample + per_sample // 2)  # the photo, and half of it as cut-out
    assert count(pixels, (0, 0, 0)) == 2 * per_sample // 2
    assert count(pixels, (255, 255, 255)) == 2 * per_sample // 2
    top, left = np.argwhere((pixels == RED).all(-1)).min(axis=0)
    expected = checkerboard(64, 64)
    expected[:, :32] = RED
    np.testing.assert_array_equal(pixels[top : top + 64, left + 64 + GAP : left + 128 + GAP], expected)
    assert (pixels.max(-1) < 100).sum() > 2 * per_sample // 2  # the captions' ink besides the masks' black


def test_number_and_choice_of_samples(photos, tmp_path):
    assert count(sheet(preview(photos, tmp_path / "one.png", count=1, cell=64)), RED) == 64 * 64 * 3 // 2
    first = preview(photos, tmp_path / "a.png", count=1, seed=5).read_bytes()
    assert preview(photos, tmp_path / "b.png", count=1, seed=5).read_bytes() == first
    assert len({preview(photos, tmp_path / f"{s}.png", count=1, seed=s).read_bytes() for s in range(8)}) == 2


def test_cutouts_are_composited_by_their_alpha(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., :3] = BLUE
    pixels[:16, :, 3] = 255
    write_png(tmp_path / "set" / "p.png", pixels)
    shown = sheet(preview(import_layout("rgba", tmp_path / "set"), tmp_path / "sheet.png", cell=32))
    assert count(shown, BLUE) == 16 * 32
    assert count(shown, (255, 255, 255)) == 16 * 32  # the matte


def test_mixed_manifest_with_a_long_name(photos, tmp_path):
    write_png(tmp_path / "wide.png", np.full((20, 300, 3), BLUE, np.uint8))
    background = Sample("a-very-long-name-" * 9, "val", "background", image=str(tmp_path / "wide.png"))
    mixed = Manifest(photos.root, [*photos.samples, background])
    shown = sheet(preview(mixed, tmp_path / "sheet.png", cell=64))
    assert count(shown, BLUE) == 64 * round(64 * 20 / 300)
    assert count(shown, RED) == 2 * 64 * 64 * 3 // 2


def test_bad_requests_are_one_sentence(photos, tmp_path):
    with pytest.raises(UserError, match="lists no samples"):
        preview(Manifest(tmp_path, []), tmp_path / "sheet.png")
    with pytest.raises(UserError, match=r"sheet\.png"):
        preview(photos, tmp_path / "sheet.jpg")
    photos.path(photos.samples[0], "mask").unlink()
    with pytest.raises(UserError, match=r"masks/a\.png"):
        preview(photos, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
