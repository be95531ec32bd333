"""Test-time protocols: at which sizes a network sees a picture, and how its answers come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.wsshm.prediction.echo import Echo, picture
from wsshm.errors import UserError
from wsshm.prediction.forward import pick_device, predict_matte
from wsshm.prediction.protocols import NATIVE, P3MHybrid, Prediction, Short, parse_protocol


def test_native_pads_by_reflection_and_returns_the_same_pixels():
    image, model = picture(40, 70), Echo()
    prediction = predict_matte(model, image, NATIVE)
    assert model.seen.shape == (1, 3, 64, 96)
    reference = np.pad(image, ((0, 24), (0, 26), (0, 0)), mode="reflect").transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(model.seen[0].numpy(), reference, atol=1e-7)
    assert prediction.matte.dtype == prediction.boundary.dtype == np.float32
    np.testing.assert_allclose(prediction.matte, image[..., 0] / 255, atol=1e-6)
    np.testing.assert_allclose(prediction.boundary, image[..., 1] / 255, atol=1e-6)


def test_shrinking_averages_areas_and_comes_back_bilinearly():
    image, model = picture(128, 192), Echo()
    prediction = predict_matte(model, image, Short(64))
    assert model.seen.shape == (1, 3, 64, 96)
    means = image.reshape(64, 2, 96, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(model.seen[0].permute(1, 2, 0).numpy() * 255, means, atol=0.51)
    back = torch.nn.functional.interpolate(model.seen[:, :1], (128, 192), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(prediction.matte, back[0, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(33, 200), (200, 33), (1, 1), (31, 1000)])
def test_any_shape_keeps_its_size_and_range(height, width):
    for name in ("native", "short32", "p3m-resize", "p3m-hybrid"):
        prediction = predict_matte(Echo(), picture(height, width), parse_protocol(name))
        assert prediction.matte.shape == prediction.boundary.shape == (height, width)
        assert 0 <= prediction.matte.min() <= prediction.matte.max() <= 1


@pytest.mark.parametrize("name", ["native", "short512", "short32", "p3m-resize", "p3m-hybrid", "modnet"])
def test_names_stand_for_themselves(name):
    assert str(parse_protocol(name)) == name
    assert parse_protocol(name) == parse_protocol(name)
    assert parse_protocol(name) != parse_protocol("short100")


@pytest.mark.parametrize(
    ("name", "picture", "sizes"),
    [
        ("native", (300, 200), [(300, 200)]),
        ("short100", (300, 200), [(150, 100)]),
        ("p3m-resize", (1080, 1440), [(512, 704)]),  # 540 x 720
        ("p3m-resize", (6000, 3000), [(1600, 1472)]),  # 3000 x 1500, each side limited by itself
        ("p3m-resize", (50, 70), [(32, 32)]),
        ("p3m-hybrid", (1080, 1440), [(512, 704), (1056, 1440)]),
        ("p3m-hybrid", (6000, 3000), [(1600, 1472), (1600, 1600)]),
        ("modnet", (1080, 1920), [(512, 896)]),  # 910
        ("modnet", (300, 200), [(768, 512)]),
    ],
)
def test_sizes_by_hand(name, picture, sizes):
    assert list(parse_protocol(name).sizes(*picture)) == sizes


def test_unknown_names_are_told_which_there_are():
    for wrong in ("short", "short8", "long512", "512", "short-64"):
        with pytest.raises(UserError, match=f"no protocol '{wrong}'.*p3m-hybrid.*short512"):
            parse_protocol(wrong)
    with pytest.raises(UserError, match="nearest valid choices are 'p3m-resize'"):
        parse_protocol("p3mresize")


def test_hybrid_takes_detail_only_where_semantics_are_unsure():
    semantics = Prediction(*np.array([[[0.02, 0.97, 0.5, 0.01]], [[0.1, 0.1, 0.1, 0.9]]], np.float32))
    detail = Prediction(*np.array([[[0.9, 0.1, 0.7, 0.3]], [[0.2, 0.2, 0.2, 0.2]]], np.float32))
    merged = P3MHybrid().merged([semantics, detail])
    np.testing.assert_allclose(merged.matte, [[0.02, 0.97, 0.7, 0.3]])
    np.testing.assert_allclose(merged.boundary, [[0.1, 0.1, 0.2, 0.2]])


def test_hybrid_shows_both_sizes():
    model = Echo()
    predict_matte(model, picture(192, 128), P3MHybrid())
    assert model.calls == [(1, 3, 96, 64), (1, 3, 192, 128)]


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [
        ("short128", 2, 3200),
        ("short128", 2000, 2),
        ("short512", 300, 6000),
        ("short2048", 200, 1000),
        ("modnet", 2, 90),
    ],
)
def test_a_strip_is_not_enlarged_without_bounds(name, height, width):
    with pytest.raises(UserError, match=rf"{width} x {height} px would be enlarged to .* at {name}.*native"):
        predict_matte(Echo(), np.zeros((height, width, 3), np.uint8), parse_protocol(name))


def test_usual_shapes_are_enlarged_and_strips_are_shrunk():
    assert Short(2048).sizes(500, 2000) == ((2048, 8192),)
    assert Short(128).sizes(100, 20000) == ((128, 25600),)
    assert Short(512).sizes(600, 60000) == ((512, 51200),)
    assert NATIVE.sizes(2, 3200) == ((2, 3200),)


def test_unknown_device_is_one_sentence():
    assert pick_device("cpu").type == "cpu"
    for wrong in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=wrong):
            pick_device(wrong)
