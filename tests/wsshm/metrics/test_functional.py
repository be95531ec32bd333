"""One function a measure: arrays and tensors agree with `score`, and with the slow reference where sums are on a device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.micro import published as reference
from wsshm.errors import UserError
from wsshm.metrics import CONVENTIONS, REGIONS, functional, on_device, score
from wsshm.metrics.kernels.pointwise import zones_of
from wsshm.metrics.scores import POINTWISE

Array = np.ndarray
REGIONAL = ("sad", "mse", "mad", "grad", "conn")


def pairs(n: int, height: int = 33, width: int = 41, seed: int = 0) -> tuple[Array, Array, Array]:
    """n soft discs, n noisy predictions of them, n random trimaps."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    labels = np.stack([np.clip(10 - np.hypot(y - 15 - i, x - 20), 0, 3) / 3 for i in range(n)])
    mattes = np.clip(labels + rng.normal(0, 0.15, labels.shape), 0, 1)
    return mattes, labels, rng.choice(np.array([0, 128, 255], np.uint8), labels.shape)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("given_trimap", [True, False])
def test_every_function_gives_what_score_gives(convention: str, given_trimap: bool) -> None:
    mattes, labels, trimaps = pairs(1)
    trimap = trimaps[0] if given_trimap else None
    rules = CONVENTIONS[convention]
    for scores in score(mattes[0], labels[0], trimap, convention=convention):
        for measure in REGIONAL:
            expected = getattr(scores, measure)
            if expected is not None:
                function = getattr(functional, measure)
                options: dict[str, Any] = {"region": scores.region, "convention": convention}
                assert function(mattes[0], labels[0], trimap, **options) == pytest.approx(expected, rel=1e-12)
                if scores.region == rules.own_region:
                    found = function(mattes[0], labels[0], trimap, convention=convention)
                    assert found == pytest.approx(expected, rel=1e-12)
        if scores.region == "whole":
            assert functional.iou(mattes[0], labels[0]) == scores.iou


@pytest.mark.parametrize("shape", [(), (1,)])
def test_tensors_give_a_value_an_image(shape: tuple[int, ...]) -> None:
    mattes, labels, trimaps = pairs(3)
    p, g, t = (torch.from_numpy(a)[(slice(None),) + (None,) * len(shape)] for a in (mattes, labels, trimaps))
    for measure in REGIONAL:
        function = getattr(functional, measure)
        found = function(p, g, t, region="unknown")
        assert found.shape == (3,)
        assert found.dtype == torch.float64
        assert found.tolist() == [
            function(*each, region="unknown") for each in zip(mattes, labels, trimaps, strict=True)
        ]
    assert functional.iou(p, g).tolist() == [functional.iou(*each) for each in zip(mattes, labels, strict=True)]
    assert functional.boundary_f(p, g).tolist() == [
        functional.boundary_f(*each) for each in zip(mattes, labels, strict=True)
    ]
    assert functional.dtssd(p[1:], p[:-1], g[1:], g[:-1]).tolist() == [
        functional.dtssd(mattes[i], mattes[i - 1], labels[i], labels[i - 1]) for i in (1, 2)
    ]
    single = functional.mad(p[0].squeeze(0) if shape else p[0], g[0].squeeze(0) if shape else g[0])
    assert single.shape == ()
    assert single.item() == functional.mad(mattes[0], labels[0])


def test_half_precision_tensors_are_measured_in_float32() -> None:
    mattes, labels, _ = pairs(1)
    for kind in (torch.float16, torch.bfloat16):
        p = torch.from_numpy(mattes).to(kind)
        expected = functional.sad(p[0].float().numpy(), labels[0])
        assert functional.sad(p, torch.from_numpy(labels)).item() == expected


def test_a_mean_over_nothing_is_nan() -> None:
    flat = np.zeros((6, 6))
    assert math.isnan(functional.mad(flat, flat, region="boundary"))
    assert math.isnan(functional.mse(torch.zeros(6, 6), torch.zeros(6, 6), region="foreground").item())
    assert functional.sad(flat, flat, region="foreground") == 0


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda p, g: functional.sad(p, g, convention="rvm"), "does not report SAD; take mad"),
        (lambda p, g: functional.sad(p, g, convention="rvn"), "no convention 'rvn'.*rvm"),
        (lambda p, g: functional.mse(p, g, region="unkown"), "no region 'unkown'.*unknown"),
        (lambda p, g: functional.grad(p, g, region="boundary"), "has mad alone"),
        (lambda p, g: functional.mad(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)), r"shape \(2, 3, 4, 4\)"),
        (lambda p, g: functional.mad(torch.zeros(2, 4, 4), torch.zeros(3, 4, 4)), "hold 2, 3 images"),
        (lambda p, g: functional.dtssd(p, p, g, g[:3]), "of one size|resize the matte"),
        (lambda p, g: functional.boundary_f(p + 2, g), "matte holds values from 2"),
    ],
)
def test_mistakes_are_named(call: Any, named: str) -> None:
    with pytest.raises(UserError, match=named):
        call(np.zeros((4, 4)), np.ones((4, 4)))


@st.composite
def images(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    label = draw(st.sampled_from([rng.random((height, width)), np.round(rng.random((height, width)) * 10) / 10]))
    matte = draw(st.sampled_from([rng.random((height, width)), np.clip(label + rng.normal(0, 0.1, label.shape), 0, 1)]))
    return matte, label, rng.choice(np.array([0, 128, 255], np.uint8), label.shape)


@settings(max_examples=25, deadline=None)
@given(case=images(), convention=st.sampled_from(list(CONVENTIONS)), single=st.booleans())
def test_sums_on_a_device_agree_with_the_slow_reference(
    case: tuple[Array, Array, Array], convention: str, single: bool
) -> None:
    check_on_device(case, convention, single, "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("single", [True, False])
def test_sums_on_a_gpu_agree_with_the_slow_reference(convention: str, single: bool) -> None:
    mattes, labels, trimaps = pairs(1)
    check_on_device((mattes[0], labels[0], trimaps[0]), convention, single, "cuda")
    found = score(*(torch.from_numpy(a[0]).cuda() for a in (mattes, labels, trimaps)), convention=convention)
    for there, here in zip(found, score(mattes[0], labels[0], trimaps[0], convention=convention), strict=True):
        assert there.mad == pytest.approx(here.mad, rel=1e-9)
        assert there.conn == pytest.approx(here.conn, rel=1e-9)


def check_on_device(case: tuple[Array, Array, Array], convention: str, single: bool, device: str) -> None:
    matte, label, trimap = case
    if single:  # what is compared is what the tensors hold
        matte, label = (a.astype(np.float32).astype(np.float64) for a in (matte, label))
    p, g = (torch.from_numpy(a).to(device, torch.float32 if single else torch.float64) for a in (matte, label))
    summed = on_device.tally(p, g, zones_of(trimap), CONVENTIONS[convention])
    expected = reference.score(matte, label, trimap, convention)
    for region in REGIONS:
        for measure in POINTWISE:
            value, wanted = summed.value(measure, region), expected[region][measure]
            if wanted is None:
                assert value is None
            else:
                # A distance of 0.15 from the connected level is on the edge: float32 may fall to the other side.
                slack = 0.15 * label.size / 1000 if measure == "conn" and single else 1e-9
                assert value == pytest.approx(wanted, rel=1e-4 if single else 1e-9, abs=slack), (region, measure)


def test_a_device_refuses_what_the_cpu_refuses() -> None:
    for p, named in (
        (torch.full((4, 4), 1.01), "values from 1.01"),
        (torch.full((4, 4), torch.nan), "matte holds NaN"),
    ):
        with pytest.raises(UserError, match=named):
            on_device.tally(p, torch.ones(4, 4), None, CONVENTIONS["p3m"])
    with pytest.raises(UserError, match="matte is 4 x 4 but its label is 4 x 5"):
        on_device.tally(torch.ones(4, 4), torch.ones(4, 5), None, CONVENTIONS["p3m"])


def test_a_device_takes_what_the_cpu_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    mattes, labels, _ = pairs(1)
    expected = [s.mad for s in score(mattes[0].astype(np.float16).astype(np.float32), labels[0].astype(np.float32))]
    monkeypatch.setattr("wsshm.metrics.scores.on_accelerator", lambda value: isinstance(value, torch.Tensor))
    matte = torch.from_numpy(mattes[0]).half()
    for label in (torch.from_numpy(labels[0]).float(), labels[0].astype(np.float32)):
        assert [s.mad for s in score(matte, label)] == pytest.approx(expected, rel=1e-4)
    for shape in ((1, 4, 4), (0, 4)):
        with pytest.raises(UserError, match="give a height x width array"):
            score(torch.ones(shape), torch.ones(shape))


def test_the_tolerated_distance_is_judged_in_float64_on_a_device() -> None:
    p, g = torch.tensor([[0.75]]), torch.tensor([[0.6]])  # 0.75 - 0.6 falls below 0.15 in float32
    found = on_device.tally(p, g, None, CONVENTIONS["p3m"]).value("conn", "whole")
    assert found == pytest.approx(functional.conn(p.numpy(), g.numpy()), rel=1e-6)
