import hashlib

import numpy as np
import pytest

from wsshm.data.importing import import_layout
from wsshm.data.layouts import LAYOUTS
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import write_png
from wsshm.errors import UserError

RNG = np.random.default_rng(1)


def photo(path, height=6, width=9):
    return write_png(path, RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def label(path, height=6, width=9):
    return write_png(path, RNG.integers(0, 2, (height, width), dtype=np.uint8) * 255)


def cutout(path):
    return write_png(path, RNG.integers(0, 256, (5, 4, 4), dtype=np.uint8))


def pairs(root):
    """Photos a, b, c; masks of a and b; a matte and a trimap of b."""
    for name in "abc":
        photo(root / "images" / f"{name}.png")
    for name in "ab":
        label(root / "masks" / f"{name}.png")
    label(root / "mattes" / "b.png")
    label(root / "trimaps" / "b.png")
    return root


def test_pairs_matches_labels_by_stem(tmp_path, caplog):
    root = pairs(tmp_path / "set")
    (root / "images" / "c.png").rename(root / "images" / "c.webp")
    manifest = import_layout("pairs", root, split="val", domain="natural")
    a, b = manifest.samples
    assert a.files == {"image": "images/a.png", "mask": "masks/a.png"}
    assert b.files == {column: f"{column}s/b.png" for column in ("image", "matte", "mask", "trimap")}
    assert {(s.kind, s.split, s.domain, s.width, s.height) for s in (a, b)} == {("photo", "val", "natural", 9, 6)}
    assert "skipped 1 photo without a label: c.webp" in caplog.text


def test_hash_covers_every_file_of_a_sample(tmp_path):
    root = pairs(tmp_path)
    sample = import_layout("pairs", root).samples[0]
    files = b"".join(c.encode() + (root / sample.files[c]).read_bytes() for c in ("image", "mask"))
    assert sample.sha256 == hashlib.sha256(files).hexdigest()
    label(root / "masks" / "a.png")
    assert import_layout("pairs", root).samples[0].sha256 != sample.sha256


def test_manifest_written_elsewhere_still_finds_the_files(tmp_path):
    manifest = import_layout("pairs", pairs(tmp_path / "data" / "set"))
    read = Manifest.read(manifest.write(tmp_path / "lists" / "m.parquet"))
    assert read.samples == manifest.samples
    assert read.path(read.samples[1], "matte").is_file()


@pytest.mark.parametrize("folders", [("photos", "mask"), ("image", "alpha"), ("photo", "matte")])
def test_pairs_knows_other_names_of_folders(tmp_path, folders):
    photo(tmp_path / folders[0] / "a.png")
    label(tmp_path / folders[1] / "a.png")
    assert len(import_layout("pairs", tmp_path).samples[0].files) == 2


def test_labels_without_a_photo_are_refused(tmp_path):
    root = pairs(tmp_path)
    for name in "xyz":
        label(root / "masks" / f"{name}.png")
    with pytest.raises(UserError, match=r"3 labels in .*masks without a photo .* the first is x\.png"):
        import_layout("pairs", root)


def test_pairs_without_any_label_or_photo_is_refused(tmp_path):
    with pytest.raises(UserError, match="no folder of photos"):
        import_layout("pairs", tmp_path)
    photo(tmp_path / "images" / "a.png")
    with pytest.raises(UserError, match=r"no photo in .* has a label"):
        import_layout("pairs", tmp_path)


def test_two_pictures_of_one_name_and_two_folders_of_one_kind_are_refused(tmp_path):
    root = pairs(tmp_path)
    photo(root / "images" / "a.webp")
    with pytest.raises(UserError, match=r"a\.webp have the same name"):
        import_layout("pairs", root)
    (root / "images" / "a.webp").unlink()
    (root / "mask").mkdir()
    with pytest.raises(UserError, match="both mask/ and masks/"):
        import_layout("pairs", root)


@pytest.mark.parametrize("inner", ["", "images"])
def test_rgba_is_foreground_and_matte_in_one_file(tmp_path, inner):
    cutout(tmp_path / inner / "p.png")
    (tmp_path / inner / "._p.png").write_text("left by another operating system")
    (sample,) = import_layout("rgba", tmp_path).samples
    name = f"{inner}/p.png".lstrip("/")
    assert (sample.kind, sample.foreground, sample.matte, sample.image) == ("cutout", name, name, None)
    assert (sample.width, sample.height, sample.domain, sample.split) == (4, 5, None, "train")


@pytest.mark.parametrize("place", ["set/set.csv", "set.csv"])
def test_table_completes_the_samples(tmp_path, place, caplog):
    root = tmp_path / "set"
    for name in "ab":
        photo(root / f"{name}.png")
    (tmp_path / place).write_text(
        "\ufeffid,split,width,kind,licence,source,people\na,val,999,drawing,CC0-1.0,web,none\nz,test,1,,,,\n"
    )
    a, b = import_layout("backgrounds", root, split="test").samples
    assert (a.split, a.kind, a.licence, a.source, a.width) == ("val", "background", "CC0-1.0", "web", 9)
    assert a.attributes == {"kind": "drawing", "people": "none"}
    assert (b.split, b.attributes) == ("test", {})
    assert "1 row without a picture, the first is 'z'" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,split\na,val\n", "no column 'id'"),
        ("id,split\na,val\na,test\n", "id 'a' twice"),
        ("id,split\na,vall\n", "'val'"),
        ("id,domain\na,real\n", "domain 'real'"),
    ],
)
def test_faulty_table_is_named(tmp_path, text, message):
    cutout(tmp_path / "set" / "a.png")
    (tmp_path / "set.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        import_layout("rgba", tmp_path / "set")


def test_what_mattes_are_becomes_an_attribute(tmp_path):
    cutout(tmp_path / "set" / "a.png")
    cutout(tmp_path / "set" / "b.png")
    (tmp_path / "set.csv").write_text("id,truth\na,exact\n")
    samples = import_layout("rgba", tmp_path / "set", "estimated").samples
    assert [s.attributes for s in samples] == [{"truth": "exact"}, {"truth": "estimated"}]
    with pytest.raises(UserError, match="no truth 'guessed'; the nearest valid choice is 'estimated'"):
        import_layout("rgba", tmp_path / "set", "guessed")


def test_wrong_names_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no layout 'pair'; the nearest valid choice is 'pairs'"):
        import_layout("pair", tmp_path)
    for name in LAYOUTS.names():
        with pytest.raises(UserError, match="there is no folder"):
            import_layout(name, tmp_path / "gone")
    for name in ("rgba", "backgrounds"):
        with pytest.raises(UserError, match="holds no pictures"):
            import_layout(name, tmp_path)


def test_broken_picture_is_named(tmp_path):
    cutout(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"b\.png is not a readable picture"):
        import_layout("rgba", tmp_path)
