"""The torchmetrics classes: the mean over images, however they come in batches and ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from tests.wsshm.metrics.cases import VERSIONS
from tests.wsshm.metrics.test_functional import pairs
from wsshm.errors import UserError
from wsshm.metrics import CONVENTIONS, MEASURES, accumulating, functional, score

CLASSES = {
    "sad": accumulating.SAD,
    "mse": accumulating.MSE,
    "mad": accumulating.MAD,
    "grad": accumulating.Grad,
    "conn": accumulating.Conn,
}


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    p, g, t = (torch.from_numpy(a)[:, None] for a in pairs(n))
    return p, g, t


@pytest.mark.parametrize("measure", CLASSES)
@pytest.mark.parametrize("convention", ["p3m", "dim"])
def test_batches_do_not_change_the_mean(measure: str, convention: str) -> None:
    p, g, t = batch(5)
    expected = getattr(functional, measure)(p, g, t, convention=convention).mean()
    for sizes in ([5], [1, 4], [2, 2, 1]):
        metric = CLASSES[measure](convention)
        for each in zip(p.split(sizes), g.split(sizes), t.split(sizes), strict=True):
            metric.update(*each)
        assert metric.compute().item() == pytest.approx(expected.item(), rel=1e-12)
    assert metric.higher_is_better is False
    assert metric.unit == CONVENTIONS[convention].unit(measure)
    assert metric.metric_version == VERSIONS[convention]


def test_repeated_images_can_be_left_out() -> None:
    p, g, _ = batch(3)
    padded = torch.tensor([0, 1, 2, 0])
    metric = accumulating.MAD(region="whole")
    metric.update(p[padded], g[padded], counted=torch.tensor([True, True, True, False]))
    assert metric.compute().item() == pytest.approx(functional.mad(p, g).mean().item(), rel=1e-12)
    with pytest.raises(UserError, match="one bool for each of the 3 images"):
        metric.update(p, g, counted=torch.tensor([True]))


def test_an_image_without_a_value_does_not_count() -> None:
    p, g, _ = batch(1)
    metric = accumulating.MAD(region="boundary")
    assert metric.update(torch.zeros_like(g), torch.zeros_like(g)) is None
    metric.update(p, g)
    assert metric.compute().item() == functional.mad(p, g, region="boundary").item()
    assert metric.images.item() == 1


def test_masks_and_clips() -> None:
    p, g, _ = batch(4)
    overlap, outline, temporal = accumulating.IoU(), accumulating.BoundaryF(), accumulating.DTSSD("rvm")
    overlap.update(p, g)
    outline.update(p, g)
    temporal.update(p, g)
    temporal.update(p[:1], g[:1])  # a clip of one frame has no change
    assert overlap.compute().item() == pytest.approx(functional.iou(p, g).mean().item())
    assert outline.compute().item() == pytest.approx(functional.boundary_f(p, g).mean().item())
    expected = functional.dtssd(p[1:], p[:-1], g[1:], g[:-1], convention="rvm").mean().item()
    assert temporal.compute().item() == pytest.approx(expected)
    assert overlap.higher_is_better is outline.higher_is_better is True
    assert temporal.unit == "1/100"
    with pytest.raises(UserError, match=r"\(4, 1, 33, 41\) and its labels \(3, 1, 33, 41\)"):
        temporal.update(p, g[:3])


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_all_at_once_gives_the_means_of_score(convention: str) -> None:
    p, g, t = batch(3)
    metric = accumulating.MattingErrors(convention)
    metric.update(p[:2], g[:2], t[:2])
    metric.update(p[2:], g[2:], t[2:])
    found = metric.compute()
    rows = [score(*(a[i, 0] for a in (p, g, t)), convention=convention) for i in range(3)]
    for region in range(5):
        for measure in MEASURES:
            values = [getattr(row[region], measure) for row in rows]
            name = measure if rows[0][region].region == "whole" else f"{measure}_{rows[0][region].region}"
            if values[0] is None:
                assert name not in found
            else:
                assert found[name].item() == pytest.approx(sum(values) / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        (lambda p, g: accumulating.SAD("rvm"), "does not report SAD"),
        (lambda p, g: accumulating.Grad(region="boundary"), "has mad alone"),
        (lambda p, g: accumulating.MattingErrors(regions="hole"), "no region 'hole'.*whole"),
        (lambda p, g: accumulating.MattingErrors().update(p, g[:2]), "hold 3, 2 images"),
        (lambda p, g: accumulating.DTSSD().update(p[0, 0], g[0, 0]), "give frames x 1 x H x W"),
        (lambda p, g: accumulating.SAD().update(p, g, counted=[1, 1, 0]), "one bool for each of the 3 images"),
    ],
)
def test_mistakes_are_named(mistake: Any, named: str) -> None:
    p, g, _ = batch(3)
    with pytest.raises(UserError, match=named):
        mistake(p, g)


def test_one_image_and_one_region_need_no_list() -> None:
    p, g, _ = batch(1)
    metric = accumulating.MattingErrors(regions="whole")
    metric.update(p[0, 0], g[0, 0])
    assert metric.compute()["sad"].item() == functional.sad(p[0, 0], g[0, 0]).item()


def test_reset_forgets() -> None:
    p, g, _ = batch(2)
    metric = accumulating.SAD()
    metric.update(p, g)
    metric.reset()
    metric.update(p[:1], g[:1])
    assert metric.compute().item() == functional.sad(p[:1], g[:1]).item()


def _rank(rank: int, meeting: str, out: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    p, g, t = batch(5)
    mine = slice(0, 1) if rank == 0 else slice(1, 5)  # ranks of unequal share
    metrics: list[Any] = [accumulating.SAD(), accumulating.MAD(region="boundary"), accumulating.MattingErrors()]
    for metric in metrics:
        metric.update(p[mine], g[mine], t[mine])
    torch.save([metric.compute() for metric in metrics], f"{out}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_ranks_add_up_exactly(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_rank, (str(tmp_path / "meeting"), str(tmp_path)), nprocs=2)
    p, g, t = batch(5)
    alone = [accumulating.SAD(), accumulating.MAD(region="boundary"), accumulating.MattingErrors()]
    for metric in alone:
        metric.update(p, g, t)
    for rank in range(2):
        sad, mad, every = torch.load(tmp_path / f"{rank}.pt")
        assert sad.item() == pytest.approx(alone[0].compute().item(), rel=1e-14)
        assert mad.item() == pytest.approx(alone[1].compute().item(), rel=1e-14)
        for name, value in alone[2].compute().items():
            assert every[name].item() == pytest.approx(value.item(), rel=1e-14)
