"""What `fast` alone promises: the encoder sees the picture smaller, and coarse features say where people are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wsshm.config import ModelConfig
from wsshm.errors import UserError
from wsshm.losses import Target
from wsshm.models.architectures.fast import Fast, FastOptions, narrow
from wsshm.models.checkpoint import card_of, load_model, save_model
from wsshm.models.network import MattingOutput, build_model


class Seen(nn.Module):
    """Stands for an `Encoder`, and keeps the images that it was given."""

    strides, channels = (2, 4, 8, 16, 32), (4, 4, 4, 4, 4)

    def forward(self, images: Tensor) -> list[Tensor]:
        self.images = images
        return [F.avg_pool2d(images[:, :1], stride).expand(-1, 4, -1, -1) for stride in self.strides]


def fast(**options: object) -> Fast:
    torch.manual_seed(0)
    return Fast(Seen(), FastOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("downsample", "picture", "seen"),
    [
        (1, (96, 160), (96, 160)),
        (2, (512, 384), (256, 192)),
        (2, (96, 160), (64, 96)),  # whole cells of 32
        (2, (32, 64), (64, 64)),  # at least two
        (4, (512, 1024), (128, 256)),
    ],
)
def test_the_encoder_sees_less_and_the_matte_has_the_pictures_size(
    downsample: int, picture: tuple[int, int], seen: tuple[int, int]
) -> None:
    network = fast(downsample=downsample).eval()
    images = torch.rand(1, 3, *picture)
    assert network(images).matte_logits.shape == (1, 1, *picture)
    assert network.encoder.images.shape == (1, 3, *seen)
    if all(side == small * downsample for side, small in zip(picture, seen, strict=True)):
        torch.testing.assert_close(network.encoder.images, F.avg_pool2d(images, downsample))


def test_an_image_of_one_size_gives_what_a_batch_does() -> None:
    network = fast().eval()
    images = torch.rand(3, 3, 128, 192)
    torch.testing.assert_close(network(images).matte_logits[1:2], network(images[1:2]).matte_logits)


def test_where_people_are_is_cross_entropy_with_the_mean_of_each_cell() -> None:
    network, rng = fast(semantic=3.0), torch.Generator().manual_seed(0)
    people = torch.randn(2, 1, 2, 3, generator=rng)
    matte = torch.rand(2, 1, 32, 48, generator=rng)
    weight = (torch.rand(2, 1, 32, 48, generator=rng) > 0.3).float()
    output = MattingOutput(matte, matte, {"semantic": people})
    found = network.auxiliary_losses(output, Target(matte, matte, weight, weight))["semantic"]
    for sample in range(2):
        total = 0.0
        for row in range(2):
            for column in range(3):
                cell = (sample, 0, slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16))
                share = float((matte[cell] * weight[cell]).sum() / weight[cell].sum())
                sure = torch.sigmoid(people[sample, 0, row, column])
                loss = -(share * sure.log() + (1 - share) * (1 - sure).log())
                total += float(loss * weight[cell].mean()) / 6
        assert float(found[sample]) == pytest.approx(3 * total, rel=1e-5)


@pytest.mark.parametrize("semantic", [0, 1])
def test_the_coarse_matte_has_a_loss_unless_that_weighs_nothing(semantic: float) -> None:
    network, target = fast(semantic=semantic).train(), Target(*[torch.rand(2, 1, 64, 64)] * 4)
    output = network(torch.rand(2, 3, 64, 64))
    assert len(output.auxiliary) == len(network.auxiliary_losses(output, target)) == semantic


def test_details_are_added_to_the_coarse_matte_and_boundary() -> None:
    network, images = fast().eval(), torch.rand(2, 3, 64, 96)
    before = network(images)
    with torch.no_grad():
        network.people.bias += torch.tensor([1.0, -2.0])
    after = network(images)
    torch.testing.assert_close(after.matte_logits, before.matte_logits + 1)
    torch.testing.assert_close(after.boundary_logits, before.boundary_logits - 2)
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.zero_()
    coarse = network(images).matte_logits[0, 0]
    # Without details nothing changes within a cell of four pixels.
    assert coarse.std() > 0
    torch.testing.assert_close(coarse[::2, ::2], coarse[1::2, 1::2])


def test_narrowed_features_start_as_large_as_what_is_added_to_them() -> None:
    torch.manual_seed(0)
    features = torch.randn(4, 64, 16, 16).relu()
    assert float(narrow(64, 32)(features).detach().std()) == pytest.approx(1, abs=0.2)


def test_weights_of_an_earlier_version_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """Before version 3 the coarse head had one map."""
    config = ModelConfig(architecture="fast", backbone="test_efficientnet", weights="none")
    model = build_model(config)
    people = {key: value[:1] for key, value in model.state_dict().items() if key.startswith("network.people")}
    before = model.state_dict() | people
    assert len(people) == 2
    save_model(tmp_path, before, card_of(model, config, "none", 64, "joint"))
    with pytest.raises(UserError, match=r"the architecture 'fast', or timm, is of another version .* train it again"):
        load_model(tmp_path)
