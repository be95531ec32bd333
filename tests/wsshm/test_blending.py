"""The blend against pixels worked out by hand, against OpenCV, and against its own promises."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsshm.blending import band_radius, blend, boundary_of, disagreement, edge_band
from wsshm.config import BlendConfig


def maps(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None, None]


# One row of eight pixels. The mask's edge lies between pixels 3 and 4; with radius 1 the band is pixels 3 and 4.
MASK = maps([1, 1, 1, 1, 0, 0, 0, 0])
MATTE = maps([0.9, 0.8, 1.0, 0.7, 0.4, 0.1, 0.0, 0.6])
BOUNDARY = maps([0.9, 0.2, 0.1, 0.8, 0.6, 0.4, 0.0, 0.7])


def test_hard_takes_the_teacher_where_its_boundary_passes_the_threshold() -> None:
    result = blend(MASK, MATTE, BOUNDARY, BlendConfig(variant="hard", threshold=0.5, veto="none"))
    # boundary > 0.5 at pixels 0, 3, 4, 7; elsewhere the mask
    assert result.label.flatten().tolist() == pytest.approx([0.9, 1, 1, 0.7, 0.4, 0, 0, 0.6])
    assert result.share.flatten().tolist() == [1, 0, 0, 1, 1, 0, 0, 1]
    assert result.weight.flatten().tolist() == [1] * 8


def test_soft_weighs_teacher_and_mask_by_the_boundary() -> None:
    result = blend(MASK, MATTE, BOUNDARY, BlendConfig(variant="soft", veto="none"))
    # a m + (1 - a) s, pixel by pixel: .9*.9+.1, .2*.8+.8, .1+.9, .8*.7+.2, .6*.4, .4*.1, 0, .7*.6
    assert result.label.flatten().tolist() == pytest.approx([0.91, 0.96, 1.0, 0.76, 0.24, 0.04, 0, 0.42])


def test_gated_lets_only_the_masks_own_edge_through() -> None:
    result = blend(MASK, MATTE, BOUNDARY, BlendConfig(variant="gated", veto="none", band=0.01))
    # the boundary also fires at pixels 0 and 7, inside the body and in the background: the gate keeps the mask there
    assert result.label.flatten().tolist() == pytest.approx([1, 1, 1, 0.7, 0.4, 0, 0, 0])
    assert result.share.flatten().tolist() == [0, 0, 0, 1, 1, 0, 0, 0]


def test_a_threshold_is_strict() -> None:
    result = blend(MASK, MATTE, BOUNDARY, BlendConfig(variant="hard", threshold=0.6, veto="none"))
    assert result.share.flatten()[4] == float(BOUNDARY.flatten()[4] > 0.6)


def distrusted_case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A teacher that calls the whole left half background, though the mask says person, and is right on the far right."""
    mask = torch.zeros(1, 1, 1, 40)
    mask[..., 10:30] = 1
    matte = mask.clone()
    matte[..., :20] = 1 - mask[..., :20]
    return mask, matte, torch.ones_like(mask)


def test_veto_mask_keeps_the_mask_where_the_teacher_is_grossly_wrong_nearby() -> None:
    mask, matte, boundary = distrusted_case()
    free = blend(mask, matte, boundary, BlendConfig(veto="none", band=0.01))
    kept = blend(mask, matte, boundary, BlendConfig(veto="mask", band=0.01))
    # edges between 9|10 and 29|30; the teacher is wrong around the first only
    assert free.share.flatten().nonzero().flatten().tolist() == [9, 10, 29, 30]
    assert kept.share.flatten().nonzero().flatten().tolist() == [29, 30]
    assert kept.label.flatten()[9:11].tolist() == mask.flatten()[9:11].tolist()
    assert kept.weight.min() == 1


def test_veto_ignore_leaves_those_pixels_out_of_the_loss() -> None:
    mask, matte, boundary = distrusted_case()
    result = blend(mask, matte, boundary, BlendConfig(veto="ignore", band=0.01))
    assert (result.weight.flatten() == 0).nonzero().flatten().tolist() == [9, 10]


def test_disagreement_counts_wrong_pixels_outside_the_band() -> None:
    mask, matte, _ = distrusted_case()
    band = edge_band(mask, 1)
    share = disagreement(mask, matte, band, 1).flatten()
    # around pixel 9, window 7..11 less the band 9, 10: pixels 7, 8, 11, all on the wrong side
    assert share[9] == pytest.approx(1.0)
    assert share[29] == 0


@pytest.mark.parametrize("radius", [1, 3, 6])
def test_the_band_is_opencvs_dilation_less_erosion(radius: int) -> None:
    rng = np.random.default_rng(radius)
    mask = (cv2.GaussianBlur(rng.random((40, 52), dtype=np.float32), (0, 0), 4) > 0.5).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    expected = cv2.dilate(mask, kernel) - cv2.erode(mask, kernel)  # OpenCV's default border is no edge either
    band = edge_band(torch.from_numpy(mask).float()[None, None], radius)
    assert np.array_equal(band[0, 0].numpy(), expected)


def test_the_bands_width_goes_by_the_shorter_side() -> None:
    assert band_radius(torch.zeros(1, 1, 128, 400), 0.04) == 5
    assert band_radius(torch.zeros(1, 1, 64, 64), 0.001) == 1


def test_feather_softens_the_seam_and_nothing_far_from_it() -> None:
    mask = torch.zeros(1, 1, 32, 64)
    mask[..., 32:] = 1
    matte, boundary = torch.full_like(mask, 0.5), torch.ones_like(mask)
    config = BlendConfig(veto="none", band=0.1)
    sharp = blend(mask, matte, boundary, config).share
    soft = blend(mask, matte, boundary, config.model_copy(update={"feather": 0.05})).share
    assert set(sharp.unique().tolist()) == {0.0, 1.0}
    assert ((soft > 0.01) & (soft < 0.99)).any()
    assert torch.equal(soft[..., :20], sharp[..., :20])
    assert float(soft.mean()) == pytest.approx(float(sharp.mean()), abs=1e-3)


def test_the_boundary_of_a_matte_is_the_papers() -> None:
    matte = maps([0.0, 0.05, 0.051, 0.5, 0.949, 0.95, 1.0])
    assert boundary_of(matte).flatten().tolist() == [0, 0, 1, 1, 1, 0, 0]


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["hard", "soft", "gated"]),
    st.sampled_from(["none", "mask", "ignore"]),
    st.floats(0, 1),
    st.floats(0.01, 0.3),
    st.sampled_from([0.0, 0.02]),
)
def test_a_label_lies_between_mask_and_matte(
    seed: int, variant: str, veto: str, threshold: float, band: float, feather: float
) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, 1, int(rng.integers(4, 24)), int(rng.integers(4, 24)))
    mask = torch.from_numpy((rng.random(shape) > rng.random()).astype(np.float32))
    matte, boundary = (torch.from_numpy(rng.random(shape, dtype=np.float32)) for _ in range(2))
    config = BlendConfig(variant=variant, veto=veto, threshold=threshold, band=band, feather=feather)  # type: ignore[arg-type]
    result = blend(mask, matte, boundary, config)
    low, high = torch.minimum(mask, matte), torch.maximum(mask, matte)
    assert ((result.label >= low - 1e-6) & (result.label <= high + 1e-6)).all()
    assert ((result.share >= 0) & (result.share <= 1)).all()
    assert torch.equal(result.label[result.share == 0], mask[result.share == 0])
    if variant == "gated" and not feather:
        assert not (result.share * (1 - edge_band(mask, band_radius(mask, band)))).any()
