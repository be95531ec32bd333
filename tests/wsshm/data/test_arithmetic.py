"""What a device computes, against OpenCV and formulas written out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from wsshm.data import arithmetic, looks

CPU = torch.device("cpu")


@pytest.fixture
def pictures() -> torch.Tensor:
    noise = np.random.default_rng(0).uniform(0, 1, (3, 64, 96, 3)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), 3) for one in noise])
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return torch.from_numpy(smooth).permute(0, 3, 1, 2).contiguous()


def test_each_picture_is_blurred_by_its_own_sigma(pictures: torch.Tensor) -> None:
    sigmas = [0.6, 1.5, 2.5]
    blurred = arithmetic.blurred(pictures, torch.tensor(sigmas), 8)
    for picture, one, sigma in zip(pictures, blurred, sigmas, strict=True):
        pixels = picture.permute(1, 2, 0).numpy()
        expected = cv2.GaussianBlur(pixels, (17, 17), sigma, borderType=cv2.BORDER_REPLICATE)
        np.testing.assert_allclose(one.permute(1, 2, 0), expected, atol=1e-5)


def test_blurs_of_a_sample_reach_three_sigmas() -> None:
    rng = np.random.default_rng(0)
    for size in (64, 512):
        drawn = [looks.look(size, 0.5, True, rng).blur for _ in range(300)]
        drawn += [looks.figure_look(size, rng).blur for _ in range(300)]
        assert 2.4 * max(drawn) < looks.blur_reach(size) <= 3 * size * 0.01 + 1


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_compression_looks_as_jpeg_does(pictures: torch.Tensor, quality: int) -> None:
    for picture, ours in zip(pictures, arithmetic.compressed(pictures, torch.full((3,), float(quality))), strict=True):
        pixels = np.rint(picture.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        _, file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        real = torch.from_numpy(cv2.imdecode(file, cv2.IMREAD_COLOR)).permute(2, 0, 1) / 255
        done = float((real - picture).abs().mean())
        # Red and blue are swapped for OpenCV, which weighs them otherwise: near, not equal.
        assert float((ours - picture).abs().mean()) == pytest.approx(done, rel=0.6, abs=2e-3)


def test_each_picture_has_its_own_quality(pictures: torch.Tensor) -> None:
    qualities = torch.tensor([20.0, 50.0, 90.0])
    together = arithmetic.compressed(pictures, qualities)
    alone = [arithmetic.compressed(pictures[k : k + 1], qualities[k : k + 1]) for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)
    errors = (together - pictures).abs().mean((1, 2, 3))
    assert errors[0] > errors[1] > errors[2]


def test_light_of_premultiplied_colours_is_that_of_straight_ones(pictures: torch.Tensor) -> None:
    alpha = pictures[:, :1].flip(-1)
    rng = np.random.default_rng(1)
    figures = [looks.figure_look(64, rng) for _ in range(3)]
    lights = torch.from_numpy(np.stack([figure.light for figure in figures]))
    curves = torch.tensor([0.3, -0.3, 0.1])
    straight = torch.einsum("nij,njhw->nihw", lights[..., :3], pictures) + lights[..., 3:, None]
    premultiplied = arithmetic.coloured(torch.cat([pictures * alpha, alpha], 1), lights)
    torch.testing.assert_close(premultiplied, straight * alpha, atol=1e-6, rtol=1e-5)
    straight = straight.clamp(0, 1)
    bent = straight + curves.view(-1, 1, 1, 1) * straight * (1 - straight)
    shown = arithmetic.curved(premultiplied.clamp(min=0).minimum(alpha), curves, alpha)
    torch.testing.assert_close(shown, bent * alpha, atol=1e-4, rtol=0)


def test_noise_is_normal_and_goes_by_its_place() -> None:
    fields = arithmetic.noise(torch.tensor([5, 2**31 - 1, 5]), 64, CPU)
    assert fields.shape == (3, 3, 64, 64)
    assert torch.equal(fields[0], fields[2])
    assert not torch.equal(fields[0], fields[1])
    assert abs(float(fields.mean())) < 0.05
    assert float(fields.std()) == pytest.approx(1, abs=0.05)


def test_recolouring_has_its_bounds() -> None:
    rng = np.random.default_rng(0)
    drawn = [looks.look(64, 0.5, composed, rng) for composed in (True, False) * 200]
    grey = [each for each in drawn if np.ptp(each.colours.matrix, axis=0).max() < 1e-6]
    assert 0.05 < len(grey) / len(drawn) < 0.16
    assert 0.08 < np.mean([each.quality > 0 for each in drawn]) < 0.22
    assert not any(each.blur or any(each.grain) for each in drawn[1::2])
    for each in drawn:
        middle = each.colours.matrix.sum(1) * 0.5 + each.colours.offset
        assert (abs(middle - 0.5) <= 0.5 * looks.BRIGHTNESS + 1e-6).all()
