"""The embedded data set: determinism, exact alpha, labels, cache."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsshm.data.manifest import Manifest, content_hash
from wsshm.data.procedural import DEFAULT_COUNTS, PARTS, SHIFTED, Recipe, embedded, ensure, make, outline, recipe
from wsshm.data.procedural.camera import defocus, motion
from wsshm.data.procedural.canvas import Canvas, Light, Pen, ellipse, rectangle
from wsshm.data.procedural.draw import draw_person
from wsshm.data.procedural.masks import annotate, trimap
from wsshm.data.procedural.person import sample_person
from wsshm.data.procedural.pictures import draw_cutout, draw_figures, draw_photo, plan_cutout, plan_photo
from wsshm.data.procedural.shifted import draw_shifted, plan_shifted
from wsshm.data.procedural.skeleton import ANKLE_Y, FOREARM, UPPER_ARM, pose
from wsshm.data.procedural.texture import plain
from wsshm.errors import UserError

FEW = {"cutouts": 3, "backgrounds": 4, "natural": 8, "val": 2, "test": 2, SHIFTED: 2}
PHOTOS = ("natural", "val", "test", SHIFTED)
LIGHT = Light(np.array([0.0, -0.6, 0.8]), 0.4, 0.6, np.ones(3))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("procedural"), 48, counts=FEW, workers=1)


def hashes(manifest: Path) -> dict[str, str]:
    return {s.id: s.sha256 for s in Manifest.read(manifest).samples}


def read(manifest: Manifest, sample, column: str) -> np.ndarray:
    return cv2.imread(str(manifest.path(sample, column)), cv2.IMREAD_UNCHANGED)


def photo_alphas(count: int, size: int) -> list[np.ndarray]:
    return [draw_photo(plan_photo(np.random.default_rng([7, i])), size)[1] for i in range(count)]


def test_parts_hold_what_was_asked_for(made):
    assert set(made) == set(PARTS)
    expected = {"synthetic": FEW["cutouts"] + FEW["backgrounds"], **{p: FEW[p] for p in PHOTOS}}
    for part, path in made.items():
        manifest = Manifest.read(path)
        assert len(manifest) == expected[part]
        for sample in manifest.samples:
            assert sample.split == {"val": "val", "test": "test", SHIFTED: "test"}.get(part, "train")
            assert sample.sha256 == content_hash(manifest.root, sample)
            assert sample.licence == "Apache-2.0"
            assert sample.source.startswith("wsshm procedural v")
            assert sample.attributes
            for column in sample.files:
                assert read(manifest, sample, column).shape[:2] == (sample.height, sample.width)


def test_columns_of_each_kind(made):
    kinds = {s.kind: set(s.files) for s in Manifest.read(made["synthetic"]).samples}
    assert kinds == {"cutout": {"foreground", "matte"}, "background": {"image"}}
    for part in PHOTOS:
        for sample in Manifest.read(made[part]).samples:
            assert set(sample.files) == {"image", "matte", "mask", "trimap"}
            assert (sample.kind, sample.domain) == ("photo", "natural")
            assert {"framing", "people", "hair", "hair_colour", "skin_tone", "clothing", "glasses", "held"} <= set(
                sample.attributes
            )
            assert {"blur", "setting", "light"} <= set(sample.attributes)
            assert ("camera" in sample.attributes) == (part == SHIFTED)


def test_every_picture_shows_a_person(made):
    for part in PHOTOS:
        manifest = Manifest.read(made[part])
        for sample in manifest.samples:
            share = (read(manifest, sample, "matte") > 127).mean()
            assert 0.03 < share < 0.9


def test_processes_counts_and_resuming_change_no_byte(made, tmp_path):
    """Two worker processes, other counts, and a second call that adds pictures give the same pictures."""
    more = {**FEW, "natural": 12}
    first = make(tmp_path, 48, counts={**FEW, "natural": 3, "cutouts": 1}, workers=1)
    again = make(tmp_path, 48, counts=more, workers=2)
    assert first == again
    for part in PARTS:
        expected, found = hashes(made[part]), hashes(again[part])
        assert expected.items() <= found.items()
    assert len(hashes(again["natural"])) == 12


def test_broken_off_making_is_completed(made, tmp_path):
    paths = make(tmp_path, 48, counts=FEW, workers=1)
    paths["natural"].unlink()
    manifest = Manifest.read(paths["test"])
    manifest.path(manifest.samples[0], "mask").unlink()
    paths["test"].unlink()
    untouched = manifest.path(manifest.samples[1], "image")
    before = untouched.stat().st_mtime_ns
    paths = make(tmp_path, 48, counts=FEW, workers=1)
    assert untouched.stat().st_mtime_ns == before
    assert all(hashes(paths[part]) == hashes(made[part]) for part in PARTS)


@pytest.mark.parametrize("masks", [3.0, "fine"])
def test_other_masks_change_nothing_else(made, tmp_path, masks):
    counts = {**FEW, "cutouts": 0, "backgrounds": 0, "natural": 3}
    make(tmp_path, 48, counts=counts, workers=1)
    other = Manifest.read(make(tmp_path, 48, counts=counts, masks=masks, workers=1)["natural"])
    usual = Manifest.read(made["natural"])
    for a, b in zip(other.samples, usual.samples, strict=False):
        for column in ("image", "matte", "trimap"):
            assert (read(other, a, column) == read(usual, b, column)).all()
        assert (read(other, a, "mask") != read(usual, b, "mask")).any()


def test_pictures_of_several_grades_are_those_of_one_and_more(tmp_path):
    """The first are the default grade's, whatever follows, and each is the picture of its number."""
    mixed = embedded(Recipe("natural", 32, 0), {"natural": {"fine": 2, "polygon": 3}}, tmp_path)
    assert [s.attributes["mask_grade"] for s in mixed.samples] == ["polygon"] * 3 + ["fine"] * 2
    plain = embedded(Recipe("natural", 32, 0), {"natural": 5}, tmp_path)
    fine = embedded(Recipe("natural", 32, 0, "fine"), {"natural": 5}, tmp_path)
    assert [s.sha256 for s in mixed.samples] == [s.sha256 for s in (*plain.samples[:3], *fine.samples[3:])]
    for sample, own in zip(mixed.samples, (*[plain] * 3, *[fine] * 2), strict=True):
        twin = next(s for s in own.samples if s.id == sample.id)
        for column in ("image", "matte", "mask"):
            assert (read(mixed, sample, column) == read(own, twin, column)).all()


def test_parts_and_seeds_share_no_picture(made, tmp_path):
    other = make(tmp_path, 48, counts=FEW, seed=1, workers=1)
    everything = [h for paths in (made, other) for part in PARTS for h in hashes(paths[part]).values()]
    assert len(set(everything)) == len(everything)


def test_area_of_a_known_shape_is_exact():
    """Alpha is the covered share of each pixel: a rectangle on the supersampled grid, and a circle's area."""
    canvas = Canvas(8, 8, 4, LIGHT)
    Pen(canvas, np.zeros(2, np.float32), 4.0).fill([rectangle(1, 2, 5.75, 6.75)], plain(np.array([0.5, 0.5, 0.5])))
    alpha = canvas.resolve()[..., 3]
    assert alpha[3, 3] == 1
    assert alpha[0].sum() == 0
    assert alpha.sum() == pytest.approx(5.0 * 5.0, abs=1e-4)  # OpenCV fills the outline's pixels: + 1/4 each way

    canvas = Canvas(64, 64, 3, LIGHT)
    turn = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    Pen(canvas, np.array([96, 96], np.float32), 60.0).fill([circle], plain(np.ones(3) * 0.5))
    assert canvas.resolve()[..., 3].sum() == pytest.approx(np.pi * 20**2, rel=0.02)


def test_alpha_and_colours_reproduce_the_picture_over_any_background():
    """Figure over a constant backdrop, drawn at full resolution and averaged, equals compositing the averages."""
    person = sample_person(np.random.default_rng(3))
    canvas = Canvas(64, 64, 3, LIGHT)
    draw_person(canvas, person, np.array([96.0, 110.0]), 60.0)
    assert set(np.unique(canvas.rgba[..., 3])) == {0.0, 1.0}
    figure = canvas.resolve()
    backdrop = np.array([0.2, 0.7, 0.4], np.float32)
    full = np.where(canvas.rgba[..., 3:] > 0, canvas.rgba[..., :3], backdrop)
    expected = cv2.resize(full, (64, 64), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(figure[..., :3] + backdrop * (1 - figure[..., 3:]), expected, atol=1e-5)
    fractional = (figure[..., 3] > 0.02) & (figure[..., 3] < 0.98)
    assert fractional.mean() > 0.01


@pytest.mark.parametrize("blur", [lambda p: defocus(p, 2.0), lambda p: motion(p, 9.3, 0.7)])
def test_blur_keeps_the_composite_exact(blur):
    """Blurring premultiplied colours and alpha together equals blurring the picture over a constant backdrop."""
    canvas = Canvas(48, 48, 2, LIGHT)
    Pen(canvas, np.array([48, 48], np.float32), 10.0).fill([ellipse((0, 0), 2, 3)], plain(np.array([0.8, 0.3, 0.2])))
    figure = canvas.resolve()
    backdrop = np.array([0.1, 0.5, 0.9], np.float32)
    sharp = figure[..., :3] + backdrop * (1 - figure[..., 3:])
    blurred = blur(figure)
    np.testing.assert_allclose(blurred[..., :3] + backdrop * (1 - blurred[..., 3:]), blur(sharp), atol=2e-3)
    assert blurred[..., 3].sum() == pytest.approx(figure[..., 3].sum(), rel=1e-3)


def test_cutout_colours_go_on_beyond_the_outline():
    colours, alpha = draw_cutout(plan_cutout(np.random.default_rng(5)), 64)
    assert colours.shape == (112, 112, 3)
    assert alpha.shape == (112, 112)
    near = cv2.dilate(np.uint8(alpha > 0), np.ones((3, 3), np.uint8)) > 0
    rim = near & (alpha == 0)
    assert colours[rim].mean() > 0.4 * colours[alpha == 255].mean()


def test_cutouts_are_not_cut_off_at_the_top_or_sides():
    for i in range(12):
        alpha = draw_cutout(plan_cutout(np.random.default_rng([11, i])), 64)[1]
        assert (alpha[0] > 127).mean() < 0.02
        assert (alpha[: alpha.shape[0] // 2, [0, -1]] > 127).mean() < 0.1


def test_trimap_follows_the_rule():
    alpha = np.zeros((100, 120), np.uint8)
    alpha[:, 60:] = 255
    alpha[50, 60] = 128
    found = trimap(alpha)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))  # radius round(0.02 x 100) = 2
    expected = np.where(alpha > 127, 255, 0)
    expected[48:53, 58:63][disc > 0] = 128
    assert (found == expected).all()
    assert (trimap(np.where(alpha == 128, 255, alpha).astype(np.uint8)) != 128).all()


def test_stored_trimaps_are_made_from_stored_mattes(made):
    manifest = Manifest.read(made["test"])
    for sample in manifest.samples:
        assert (read(manifest, sample, "trimap") == trimap(read(manifest, sample, "matte"))).all()


def test_masks_are_close_and_coarser_ones_are_worse():
    alphas = photo_alphas(10, 96)
    mean = {}
    for coarseness in (0.0, 1.0, 3.0):
        values = []
        for i, alpha in enumerate(alphas):
            mask = annotate(np.random.default_rng(i), alpha, coarseness)
            assert set(np.unique(mask)) <= {0, 255}
            solid = alpha > 127
            values.append(((mask > 0) & solid).sum() / ((mask > 0) | solid).sum())
        mean[coarseness] = np.mean(values)
    assert 0.75 < mean[1.0] < 0.99
    assert mean[3.0] < mean[1.0] < mean[0.0]


def test_exact_mask_only_fills_holes():
    alpha = np.zeros((40, 40), np.uint8)
    alpha[5:35, 5:30] = 255
    alpha[10:14, 10:14] = 0
    expected = alpha.copy()
    expected[10:14, 10:14] = 255
    assert (annotate(np.random.default_rng(0), alpha, 0.0) == expected).all()


def test_limbs_keep_their_length():
    for i in range(40):
        person = sample_person(np.random.default_rng(i))
        skeleton = pose(person.body, person.held)
        for arm in skeleton.arms:
            lengths = np.linalg.norm(np.diff(arm.joints, axis=0), axis=1)
            np.testing.assert_allclose(lengths[:2], [UPPER_ARM, FOREARM], rtol=1e-4)
        assert ANKLE_Y - 0.8 < skeleton.foot_y < ANKLE_Y + 0.8


def test_variety():
    people = [sample_person(np.random.default_rng(i)).attributes() for i in range(300)]
    plans = [plan_photo(np.random.default_rng(i)).attributes() for i in range(300)]
    assert len({p["hair"] for p in people}) >= 11
    assert len({p["skin_tone"] for p in people}) == 7
    assert len({p["held"] for p in people}) >= 8
    assert len({p["clothing"] for p in people}) >= 10
    assert {p["framing"] for p in plans} == {"portrait", "half", "full"}
    assert {p["blur"] for p in plans} == {"none", "defocus", "motion"}
    assert {p["people"] for p in plans} == {"1", "2", "3"}


def test_the_shifted_set_shows_what_no_other_picture_does():
    """Faces close to the camera, other clothes, other light, other cameras; the same bodies and hair."""
    shifted = [plan_shifted(np.random.default_rng(i)) for i in range(300)]
    usual = [plan_photo(np.random.default_rng(i)) for i in range(300)]
    usual += [plan_cutout(np.random.default_rng(i)) for i in range(300)]
    moved, known = ([plan.attributes() for plan in plans] for plans in (shifted, usual))
    for key in ("clothing", "light", "framing"):
        assert not {a[key] for a in moved} & {a[key] for a in known}, key
    assert {a["hat"] for a in moved} & {a["hat"] for a in known} == {"none"}
    assert {a["facing"] for a in moved} == {"front", "aside"}
    for key, fewest in (("clothing", 6), ("hat", 6), ("light", 5), ("setting", 4), ("camera", 6), ("hair", 11)):
        assert len({a[key] for a in moved}) >= fewest, key
    largest = max(s.head for plan in usual for s in (plan.people if hasattr(plan, "people") else [plan.person]))
    assert min(plan.people[-1].head for plan in shifted) > largest


def test_alpha_of_the_shifted_set_is_that_of_the_drawn_people():
    """Whatever light and camera make of the picture."""
    for i in range(8):
        plan = plan_shifted(np.random.default_rng([9, i]))
        image, alpha = draw_shifted(plan, 64)
        drawn = draw_figures(plan, 64)[..., 3]
        assert (alpha == np.floor(drawn * 255 + 0.5)).all()
        assert 0.25 < drawn.mean() < 0.85
        assert image.shape == (64, 64, 3)


def test_pictures_are_never_nearly_black():
    for i in range(10):
        image, alpha = draw_shifted(plan_shifted(np.random.default_rng([5, i])), 48)
        assert image.mean() > 20
        assert image[alpha > 200].mean() > 20
        image, alpha = draw_photo(plan_photo(np.random.default_rng([5, i])), 48)
        assert image.mean() > 45
        assert image[alpha > 200].mean() > 20


def test_any_size(tmp_path):
    for size in (32, 131):
        manifest = Manifest.read(make(tmp_path / str(size), size, counts=dict.fromkeys(DEFAULT_COUNTS, 1))["val"])
        assert manifest.samples[0].width == size


def test_the_same_person_at_two_sizes():
    """A plan does not depend on the size: the small matte is about the large one made small."""
    plan = plan_photo(np.random.default_rng(21))
    small, large = (draw_photo(plan, size)[1].astype(np.float32) / 255 for size in (64, 192))
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(small - shrunk).mean() < 0.03


def _ask(cache: Path, results) -> None:
    results.put(ensure("val", 32, counts={"val": 3}, cache=cache, workers=1))


def test_cache_is_made_once_by_whoever_comes_first(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_ask, args=(tmp_path, results)) for _ in range(3)]
    for process in processes:
        process.start()
    paths = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    (path,) = paths
    assert len(Manifest.read(path)) == 3
    stamp = path.stat().st_mtime_ns
    assert ensure("val", 32, counts={"val": 3}, cache=tmp_path) == path
    assert path.stat().st_mtime_ns == stamp
    assert not list((tmp_path / "procedural").glob(".*.partial"))


def test_cache_completes_a_killed_making(tmp_path):
    whole = ensure("val", 32, counts={"val": 3}, cache=tmp_path, workers=1)
    expected = hashlib.sha256(str(hashes(whole)).encode()).hexdigest()
    folder = whole.parent
    partial = folder.with_name(f".{folder.name}.partial")
    folder.rename(partial)
    (partial / "val.parquet").unlink()
    (partial / "val" / "image" / "00001.png").unlink()
    again = ensure("val", 32, counts={"val": 3}, cache=tmp_path, workers=1)
    assert again == whole
    assert hashlib.sha256(str(hashes(again)).encode()).hexdigest() == expected


def test_an_identity_is_of_the_recipe_and_not_of_the_bytes(tmp_path, monkeypatch):
    asked, two = Recipe("val", 32, 0), {"val": 2, "test": 2}
    path = ensure("val", 32, counts=two, cache=tmp_path)
    first = embedded(asked, two, tmp_path)
    written = Manifest.read(path)
    assert first.fingerprint != written.fingerprint
    assert [replace(s, sha256="") for s in first.samples] == [replace(s, sha256="") for s in written.samples]
    picture = written.path(written.samples[0], "image")
    colours = cv2.imread(str(picture))
    colours[0, 0, 0] ^= 1  # as another processor rounds it
    cv2.imwrite(str(picture), colours)
    Manifest(written.root, (replace(s, sha256="") for s in written.samples)).hashed().write(path)
    assert Manifest.read(path).fingerprint != written.fingerprint
    assert embedded(asked, two, tmp_path).fingerprint == first.fingerprint
    changes = ({"size": 64}, {"seed": 1}, {"masks": 2.0}, {"masks": "fine"}, {"part": "test"})
    others = [embedded(replace(asked, **change), two, tmp_path) for change in changes]
    others.append(embedded(asked, {"val": 1}, tmp_path))
    monkeypatch.setattr(recipe, "GENERATOR_VERSION", 0)
    others.append(embedded(asked, two, tmp_path))
    assert len({manifest.fingerprint for manifest in (first, *others)}) == 8


@given(
    st.sampled_from(PARTS),
    st.sampled_from([32, 48]),
    st.integers(0, 3),
    st.sampled_from(["polygon", "fine", 1.5]),
    st.sampled_from([2, {"fine": 1, "clicks": 2}]),
)
@settings(max_examples=12)
def test_an_outline_has_the_samples_of_what_is_drawn(part, size, seed, masks, natural):
    if masks == 1.5 and natural != 2:
        natural = 3  # a coarseness is of all pictures
    counts = {"cutouts": 1, "backgrounds": 2, "natural": natural, "val": 1, "test": 1, SHIFTED: 2}
    asked = Recipe(part, size, seed, masks)
    with TemporaryDirectory() as cache:
        drawn = embedded(asked, counts, Path(cache))
        known = outline(asked, counts)
    assert known.samples == drawn.samples
    assert known.fingerprint == drawn.fingerprint


# Mean and spread of a column's values: two pictures of each kind, 64 px, seed 0, generator version 2.
LOOKS = {
    ("synthetic", "image"): (64.1, 31.47),
    ("synthetic", "foreground"): (20.45, 42.12),
    ("synthetic", "matte"): (42.02, 93.34),
    ("natural", "image"): (124.73, 48.54),
    ("natural", "matte"): (85.82, 116.51),
    ("natural", "mask"): (85.76, 120.47),
    ("natural", "trimap"): (85.59, 106.93),
    ("val", "image"): (94.07, 30.87),
    ("val", "matte"): (30.91, 80.25),
    ("val", "mask"): (29.45, 81.5),
    ("val", "trimap"): (31.26, 72.05),
    ("test", "image"): (120.53, 48.29),
    ("test", "matte"): (126.06, 121.83),
    ("test", "mask"): (125.57, 127.49),
    ("test", "trimap"): (127.12, 112.13),
    (SHIFTED, "image"): (86.36, 59.73),
    (SHIFTED, "matte"): (156.82, 119.62),
    (SHIFTED, "mask"): (155.98, 124.28),
    (SHIFTED, "trimap"): (156.46, 111.51),
}


@pytest.mark.parametrize("part", PARTS)
def test_other_pictures_are_another_version(part, tmp_path):
    """Whoever changes what is drawn raises `GENERATOR_VERSION`, of which identities are made, and writes new numbers here."""
    assert recipe.GENERATOR_VERSION == 2
    manifest = embedded(Recipe(part, 64, 0, 1.0), dict.fromkeys(DEFAULT_COUNTS, 2), tmp_path)
    for column in {column for of, column in LOOKS if of == part}:
        values = np.concatenate(
            [read(manifest, sample, column).ravel() for sample in manifest.samples if getattr(sample, column)]
        ).astype(float)
        # Another processor rounds a value or two otherwise, which is far less.
        assert [values.mean(), values.std()] == pytest.approx(LOOKS[part, column], abs=0.02), column


def test_another_processor_draws_the_same_but_for_rounding(tmp_path):
    counts = {"cutouts": 6, "backgrounds": 12, "natural": 4, "val": 1, "test": 1, SHIFTED: 4}
    for name, disabled in (("own", ""), ("plain", "AVX512-SKX,AVX2,FP16,AVX,SSE4.2,SSE4.1")):
        code = f"from wsshm.data.procedural import make; make({str(tmp_path / name)!r}, 64, counts={counts}, workers=1)"
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"OPENCV_CPU_DISABLE": disabled}, check=True, timeout=300
        )
    own, plain = (
        np.concatenate(
            [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).ravel() for path in sorted((tmp_path / name).rglob("*.png"))]
        ).astype(int)
        for name in ("own", "plain")
    )
    assert len(own) > 300_000
    assert np.abs(own - plain).mean() < 1e-3


def test_cache_keeps_requests_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path))
    paths = {
        ensure("val", 32, counts={"val": 1}),
        ensure("val", 33, counts={"val": 1}),
        ensure("val", 32, counts={"val": 2}),
        ensure("val", 32, counts={"val": 1}, seed=1),
        ensure("val", 32, counts={"val": 1}, masks=2.0),
        ensure("val", 32, counts={"val": 1}, masks="fine"),
        ensure("test", 32, counts={"test": 1}),
    }
    assert len(paths) == 7
    assert all(path.is_relative_to(tmp_path) for path in paths)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 31}, "31 px"),
        ({"size": 64, "counts": {"natural": -1}}, "-1 natural"),
        ({"size": 64, "counts": {"cutout": 3}}, "'cutouts'"),
        ({"size": 64, "masks": -0.1}, "coarseness -0.1"),
        ({"size": 64, "masks": float("nan")}, "coarseness nan"),
        ({"size": 64, "masks": "fien"}, "no grade 'fien'"),
        ({"size": 64, "counts": {"val": {"fine": 3}}}, "val are counted by one number"),
        ({"size": 64, "counts": {"natural": {"fine": -3}}}, "-3 natural"),
        ({"size": 64, "seed": -1}, "seed -1"),
        ({"size": 64, "workers": 0}, "0 workers"),
    ],
)
def test_impossible_values_are_named(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        make(tmp_path, options.pop("size"), **options)
    assert not list(tmp_path.iterdir())


def test_unknown_part_is_named(tmp_path):
    with pytest.raises(UserError, match="'natural'"):
        ensure("naturel", 64, cache=tmp_path)


def test_a_strangers_folder_is_left_alone(tmp_path):
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="choose another folder"):
        make(tmp_path, 32, counts=FEW)
    assert (tmp_path / "synthetic" / "thesis.txt").read_text() == "mine"


def test_a_script_that_processes_cannot_load_is_told_so(tmp_path):
    script = (
        "from pathlib import Path\nfrom wsshm.data.procedural import make\n"
        f"make(Path({str(tmp_path / 'out')!r}), 32, counts={{'cutouts': 8, 'backgrounds': 8}}, workers=2)\n"
    )
    asked = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True)
    assert asked.returncode == 1
    assert "below `if __name__ == '__main__':`" in asked.stderr.splitlines()[-1]


def test_a_full_disk_leaves_no_manifest(tmp_path, monkeypatch):
    written = []

    def write_bytes(self: Path, content: bytes) -> int:
        written.append(self)
        if len(written) > 5:
            raise OSError(28, "No space left on device", str(self))
        with self.open("wb") as handle:
            return handle.write(content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space"):
        make(tmp_path, 32, counts={**FEW, "cutouts": 4}, workers=1)
    assert not list(tmp_path.glob("*.parquet"))
    assert not list(tmp_path.rglob(".*.png.*"))
