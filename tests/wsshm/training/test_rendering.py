"""Batches made on a device: whole batches as single samples, labels that are the truth of what is shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.wsshm import tiny
from wsshm.data.pictures import read_matte
from wsshm.data.sources import open_sources
from wsshm.methods import stages_of
from wsshm.training import rendering
from wsshm.training.batches import StepDataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> StepDataset:
    config = tiny.config(tiny.make(tmp_path_factory.mktemp("data")), "joint", batch=8, steps=16)
    return StepDataset(open_sources(config.data), stages_of(config)[0], config)


def test_a_whole_batch_is_its_samples_within_rounding(dataset: StepDataset) -> None:
    """A GPU computes batches whole. Compression may jump from one step to the next, so it is left out."""
    samples = [dataset[index] for index in range(64)]
    assert max(len(sample.figures) for sample in samples) == 2
    assert any(figure.blur for sample in samples for _, figure in sample.figures)
    plain = [sample._replace(look=sample.look._replace(quality=0)) for sample in samples]
    cut = rendering.collate(plain, maps=3, plain=True)
    for whole, single in zip(rendering._rendered(cut, CPU)[1:], cut.render(CPU)[1:], strict=True):
        assert whole is not None
        torch.testing.assert_close(whole, single, atol=1e-4, rtol=0)


def test_a_compressed_sample_is_the_same_in_any_batch(dataset: StepDataset) -> None:
    samples = [sample for sample in map(dataset.__getitem__, range(64)) if sample.look.quality]
    assert len(samples) > 3
    together = dataset.collate(samples).render(CPU)
    for row, sample in enumerate(samples):
        assert torch.equal(dataset.collate([sample]).render(CPU).images[0], together.images[row])


def test_alpha_is_the_truth_of_what_is_shown(dataset: StepDataset) -> None:
    """White figures on black, with no light of their own, show their alpha."""
    unlit = np.hstack([np.eye(3), np.zeros((3, 1))]).astype(np.float32)
    for index in range(0, 64, 8):
        sample = dataset[index]
        canvases = [canvas._replace(planes=(canvas.pixels[..., 3:].repeat(4, 2),)) for canvas, _ in sample.figures]
        looks = [look._replace(light=unlit, curve=0) for _, look in sample.figures]
        ground = sample.ground._replace(planes=(np.zeros(sample.ground.shape, np.uint8),))
        shown = sample._replace(figures=list(zip(canvases, looks, strict=True)), ground=ground)
        shown = shown._replace(look=shown.look._replace(grain=(0.0, 0.0)))
        batch = rendering.collate([shown], plain=True).render(CPU)
        assert batch.plain is not None
        torch.testing.assert_close(batch.plain, batch.labels.expand(-1, 3, -1, -1), atol=1e-6, rtol=0)
        assert batch.labels.max() > 0.9


def test_a_figure_keeps_its_area(dataset: StepDataset) -> None:
    """A composite's matte is the cut-out's, scaled: neither cut nor warped twice."""
    mattes = {sample.id: read_matte(dataset.sources.mattes.path(sample, "matte")) for sample in dataset.mattes}
    for index in range(0, 64, 8):
        drawn = dataset.drawn(index)
        if len(drawn.figures) > 1:
            continue
        place = drawn.figures[0].place
        sample = dataset.cut(drawn, dataset.decoded(drawn))
        alpha = dataset.collate([sample]).render(CPU).labels
        if float(alpha[..., (0, -1), :].max()) or float(alpha[..., (0, -1)].max()):
            continue  # a part of it is outside
        scaled = mattes[sample.id].sum() * place.zoom**2  # type: ignore[union-attr]
        assert float(alpha.sum()) == pytest.approx(scaled, rel=0.02)
