"""Files that are no pictures, pictures that are no matte, and bytes that nobody meant: read rightly, or one sentence."""

import os
import struct
import zlib
from contextlib import nullcontext

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wsshm.data import decoding, pictures
from wsshm.errors import UserError

GREY = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
READERS = [pictures.read_size, pictures.read_image, pictures.read_matte, pictures.read_mask, pictures.read_trimap]


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, pixels=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def made(folder, kind):
    path = folder / "x.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(folder / "gone")
    elif kind == "sparse":
        path.write_bytes(png(9, 6))
        os.truncate(path, 1 << 40)
    elif kind == "too long a name":
        path = folder / ("n" * 300 + ".png")
    elif kind == "null byte":
        path = folder / "a\0.png"
    elif kind == "under a file":
        (folder / "file").touch()
        path = folder / "file" / "x.png"
    elif kind == "bomb":
        path.write_bytes(png(100_000, 100_000, zlib.compress(bytes(1000))))
    elif kind == "long bomb":
        path.write_bytes(png(1 << 21, 1))
    elif kind == "animation":
        Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(255 - GREY)])
    elif kind == "no width":
        path.write_bytes(png(0, 6))
    elif kind == "gif":
        Image.fromarray(GREY).save(path, "GIF")
    elif kind == "avif":
        Image.fromarray(COLOURS).save(path, "AVIF")
    return path


HOSTILE = {
    "pipe": "not a regular file",
    "device": "not a regular file",
    "loop": "cannot be read",
    "folder": "it is a folder",
    "dangling link": "there is no picture",
    "sparse": "1,099,511,627,776 bytes for 9 x 6 pixels",
    "too long a name": "cannot be read",
    "null byte": "cannot be read",
    "under a file": "there is no picture",
    "bomb": "100,000 x 100,000 pixels, more than can be decoded",
    "long bomb": "2,097,152 x 1 pixels, more than can be decoded",
    "animation": "holds 2 pictures",
    "no width": "not a readable picture",
    "gif": r"not read \(GIF\); save it as JPG or PNG",
    "avif": r"not read \(AVIF\)",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_picture_is_one_sentence_for_every_reader(tmp_path, kind, capfd, recwarn):
    path = made(tmp_path, kind)
    for read in READERS:
        if (kind, read) == ("sparse", pictures.read_size):  # its header is sound, and nothing else is looked at
            continue
        with pytest.raises(UserError, match=HOSTILE[kind]):
            read(path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_the_limit_on_pixels_is_said_and_can_be_raised(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setenv("WSSHM_MAX_PIXELS", "53")
    for read in READERS:
        with pytest.raises(UserError, match=r"9 x 6 pixels, more than the 53 that are read.*WSSHM_MAX_PIXELS=54"):
            read(tmp_path / "a.png")
    monkeypatch.setenv("WSSHM_MAX_PIXELS", "54")
    np.testing.assert_array_equal(pictures.read_matte(tmp_path / "a.png"), GREY / np.float32(255))
    for wrong in ("many", "0", "-5", "1e9", "9" * 30):
        monkeypatch.setenv("WSSHM_MAX_PIXELS", wrong)
        with pytest.raises(UserError, match="WSSHM_MAX_PIXELS must be a number of pixels"):
            pictures.read_size(tmp_path / "a.png")


def test_a_phones_200_megapixels_are_within_the_limit_and_nothing_is_warned_of(tmp_path, recwarn):
    (tmp_path / "a.png").write_bytes(png(16320, 12240))
    assert pictures.read_size(tmp_path / "a.png") == (16320, 12240)
    assert not recwarn.list
    assert decoding.MAX_PIXELS == 300_000_000


def write_tiff(path, array):
    assert cv2.imwrite(str(path), array)
    return path


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint32])
def test_signed_and_32_bit_whole_numbers_are_refused(tmp_path, dtype):
    path = tmp_path / "a.tif"
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(path, (GREY // 2).astype(dtype))
    for read in READERS[1:]:
        with pytest.raises(
            UserError, match=r"a\.tif holds (8|16|32)-bit (signed )?numbers.* save (it|a label) (with|in) 8"
        ):
            read(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_alpha_or_refused(tmp_path, dtype):
    path = write_tiff(tmp_path / "a.tif", (GREY / 255).astype(dtype))
    np.testing.assert_allclose(pictures.read_matte(path), GREY / 255, atol=1e-6)
    np.testing.assert_array_equal(pictures.read_mask(path), GREY > 127)
    with pytest.raises(UserError, match="bit floats, which is not a photo"):
        pictures.read_image(path)
    for value, said in ((np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (255, "from 0 to 255")):
        changed = (GREY / 255).astype(dtype)
        changed[2, 3], changed[0, 0] = value, 0
        write_tiff(path, changed)
        for read in READERS[2:]:
            with pytest.raises(UserError, match=rf"a\.tif holds (values )?{said}"):
                read(path)


def test_8_bit_values_saved_in_16_bits_are_refused(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), GREY.astype(np.uint16))
    for read in (pictures.read_image, pictures.read_matte, pictures.read_trimap):
        with pytest.raises(UserError, match=r"16 bits but no value above 248 \(of 65535\).*multiply it by 257"):
            read(path)
    cv2.imwrite(str(path), GREY.astype(np.uint16) * 257)
    np.testing.assert_allclose(pictures.read_matte(path), GREY / 255, atol=1e-6)
    np.testing.assert_array_equal(pictures.read_image(path)[..., 0], GREY)
    cv2.imwrite(str(path), np.zeros((6, 9), np.uint16))
    assert not pictures.read_matte(path).any()
    assert not pictures.read_image(path).any()


@pytest.mark.parametrize(("bits", "factor"), [(10, "64.062"), (12, "16.004"), (14, "4.000")])
def test_fewer_bits_saved_in_16_are_refused(tmp_path, bits, factor):
    path = tmp_path / "a.tif"
    full = 2**bits - 1
    values = np.where(np.arange(54).reshape(6, 9) < 30, full, 300).astype(np.uint16)
    cv2.imwrite(str(path), values)
    with pytest.raises(
        UserError, match=rf"no value above {full} \(of 65535\), as a {bits}-bit .* multiply it by {factor}"
    ):
        pictures.read_matte(path)
    values[0, 0] -= 1  # nothing else is said of: a faint matte may end anywhere
    values[values == full] = full - 1
    cv2.imwrite(str(path), values)
    assert pictures.read_matte(path).max() == pytest.approx((full - 1) / 65535)


def test_an_opaque_composite_is_no_matte(tmp_path):
    Image.fromarray(np.dstack([COLOURS, np.full_like(GREY, 255)])).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png has an alpha channel that is full everywhere, over colours"):
        pictures.read_matte(tmp_path / "a.png")


def test_grey_with_alpha_and_one_bit_and_cmyk(tmp_path):
    Image.fromarray(np.dstack([GREY, 255 - GREY]), "LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(pictures.read_matte(tmp_path / "la.png"), (255 - GREY) / np.float32(255))
    for name, options in (("bit.png", {}), ("bit.tif", {"compression": "group4"})):
        Image.fromarray(GREY > 127).save(tmp_path / name, **options)
        np.testing.assert_array_equal(pictures.read_matte(tmp_path / name), GREY > 127)
    smooth = cv2.resize(COLOURS, (72, 48), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "inks.jpg", quality=100)
    assert np.abs(pictures.read_image(tmp_path / "inks.jpg").astype(int) - smooth).max() <= 4
    Image.fromarray(smooth).convert("CMYK").save(tmp_path / "inks.tif")
    np.testing.assert_array_equal(pictures.read_image(tmp_path / "inks.tif"), smooth)
    Image.fromarray(np.dstack([GREY, GREY]), "LA").save(tmp_path / "la.tif")
    for name in ("inks.tif", "la.tif"):
        with pytest.raises(UserError, match=rf"{name} holds .* which is not read as a label"):
            pictures.read_matte(tmp_path / name)


def test_pages_are_refused_but_for_thumbnails(tmp_path):
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.raises(UserError, match=r"a\.tif holds 2 pictures"):
        pictures.read_matte(tmp_path / "a.tif")
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        writer.write(GREY)
        writer.write(GREY[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(pictures.read_matte(tmp_path / "b.tif"), GREY / np.float32(255))


FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    for name in FORMATS:
        Image.fromarray(np.dstack([GREY] * 3)).save(folder / name, name)
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
@settings(max_examples=60)
@given(data=st.data())
def test_whatever_bytes_a_file_holds_it_is_read_or_refused_in_one_sentence(sound, data):
    content = bytearray((sound / data.draw(st.sampled_from(FORMATS))).read_bytes())
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)
    ):
        content[place % min(len(content), 400)] = value
    path = sound / "changed.png"
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]) + data.draw(st.binary(max_size=20)))
    for read in READERS:
        with pytest.raises(UserError, match=r"changed\.png") if refuses(read, path) else nullcontext():
            values = read(path)
            assert isinstance(values, tuple) or np.isfinite(values).all()


def refuses(read, path):
    try:
        read(path)
    except UserError:
        return True
    return False


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.TiffImagePlugin")
@given(
    st.binary(max_size=60), st.sampled_from([b"", b"II*\0", b"II+\0\x08\0\0\0", b"RIFF0000WEBP", b"\xff\xd8", b"BM"])
)
def test_a_header_of_any_bytes_is_refused_in_one_sentence(tmp_path_factory, content, start):
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(start + content)
    with pytest.raises(UserError, match=r"any\.png"):
        pictures.read_image(path)
