"""What every architecture of ours keeps to: a file in `wsshm/models/architectures` is tested here without being named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from wsshm.config import LossConfig, ModelConfig
from wsshm.losses import Target, sample_losses
from wsshm.methods.stage import Stage
from wsshm.models import ARCHITECTURES, options_of
from wsshm.models.network import MattingModel, MattingOutput, build_model
from wsshm.targets import target_of
from wsshm.training.batches import Batch
from wsshm.training.distributed import freeze_batchnorm

ARCHITECTURE = pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.own))
# From stride 2, from 4 in NCHW and in NHWC, a plain transformer with its neck, and strides 16, 32 and 64.
BACKBONES = ["test_efficientnet", "test_resnet", "test_convnext", "test_mambaout", "test_vit", "efficientvit_m0"]
PHOTOS = Stage("photos", 1, matte_share=0.5, photo_label="mask")


class Pooled(nn.Module):
    """Stands for an `Encoder` where only what is above it matters: means over cells, in a few channels."""

    def __init__(self) -> None:
        super().__init__()
        self.strides, self.channels = (4, 8, 16, 32), (8, 16, 24, 32)
        self.narrow = nn.ModuleList(nn.Conv2d(3, channels, 1) for channels in self.channels)

    def give_only(self, strides: tuple[int, ...]) -> None:
        given = [place for place, stride in enumerate(self.strides) if stride in strides]
        self.strides, self.channels = (tuple(every[i] for i in given) for every in (self.strides, self.channels))
        self.narrow = nn.ModuleList(self.narrow[place] for place in given)

    def forward(self, images: Tensor) -> list[Tensor]:
        pooled = [nn.functional.avg_pool2d(images, stride) for stride in self.strides]
        return [narrow(values) for narrow, values in zip(self.narrow, pooled, strict=True)]


class Maps(nn.Module):
    """What an exported network gives: its two maps."""

    def __init__(self, model: MattingModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(images)
        return output.matte, output.boundary


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def model_of(architecture: str, backbone: str = "test_resnet") -> MattingModel:
    torch.manual_seed(0)
    return build_model(ModelConfig(architecture=architecture, backbone=backbone, weights="none"))


def over_pooled(architecture: str) -> MattingModel:
    torch.manual_seed(0)
    network = ARCHITECTURES.get(architecture).network(Pooled(), options_of(architecture))  # type: ignore[arg-type]
    return MattingModel(network, (0.5,) * 3, (0.5,) * 3)


def batch_of(samples: int, mattes: int, size: int = 64) -> Batch:
    """Discs on noise: the first `mattes` of them with their mattes, the others with masks."""
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    radius = torch.rand(samples, 1, 1, 1, generator=rng) * 0.2 * size + 0.2 * size
    matte = ((radius - torch.hypot(y - size / 2, x - size / 2)) / 4 + 0.5).clamp(0, 1)
    images = 0.3 * torch.rand(samples, 3, size, size, generator=rng) * (1 - matte) + 0.8 * matte
    is_matte = torch.arange(samples) < mattes
    labels = torch.where(is_matte.view(-1, 1, 1, 1), matte, (matte > 0.5).float())
    return Batch([str(number) for number in range(samples)], images, None, labels, is_matte)


def all_losses(model: MattingModel, output: MattingOutput, target: Target) -> Tensor:
    """Each sample's loss (N,), as training adds it up."""
    return sample_losses(output, target, LossConfig()) + sum(
        model.network.auxiliary_losses(output, target).values(), torch.zeros(())
    )


def without_gradient(model: MattingModel) -> list[str]:
    """Trained parameters whose gradient is missing or not finite, or zero throughout.

    Backbones have zeros where a residual branch begins with none (its last scale is 0); above them nothing does.
    """
    encoders = {id(parameter) for parameter in model.network.encoder.parameters()}
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
        and (
            parameter.grad is None
            or not parameter.grad.isfinite().all()
            or not (parameter.grad.any() or id(parameter) in encoders)
        )
    ]


@ARCHITECTURE
@pytest.mark.parametrize("backbone", BACKBONES)
def test_gradient_reaches_every_parameter(architecture: str, backbone: str) -> None:
    """Whatever the labels are: workers that train together wait for every gradient."""
    model = model_of(architecture, backbone).train()
    for mattes in (0, 2):
        batch = batch_of(2, mattes)
        model.zero_grad()
        all_losses(model, model(batch.images), target_of(batch, PHOTOS, None)).sum().backward()
        assert not without_gradient(model), "masks" if mattes == 0 else "mattes"


@ARCHITECTURE
def test_the_loss_falls(architecture: str) -> None:
    model = model_of(architecture).train()
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    batch = batch_of(2, 1)
    target = target_of(batch, PHOTOS, None)
    losses = []
    for _ in range(6):
        loss = all_losses(model, model(batch.images), target).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@ARCHITECTURE
def test_a_batch_of_one_trains(architecture: str) -> None:
    model = model_of(architecture).train()
    batch = batch_of(1, 0)
    all_losses(model, model(batch.images), target_of(batch, PHOTOS, None)).sum().backward()
    assert not without_gradient(model)


@ARCHITECTURE
def test_auxiliary_losses_are_each_samples_own_and_weighted(architecture: str) -> None:
    model = model_of(architecture).train()
    batch = batch_of(3, 3)
    target = target_of(batch, PHOTOS, None)
    counts = torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1, 1)
    output = model(batch.images)
    terms = model.network.auxiliary_losses(output, target)
    assert bool(terms) == bool(output.auxiliary)
    weighted = target._replace(weight=target.weight * counts, boundary_weight=target.boundary_weight * counts)
    for name, left_out in model.network.auxiliary_losses(output, weighted).items():
        assert (left_out.shape, left_out.dtype) == ((3,), torch.float32), name
        assert left_out[0] == 0, name
        assert terms[name][0] > 0, name
        torch.testing.assert_close(left_out[1:], terms[name][1:])


@ARCHITECTURE
def test_training_and_evaluation_give_the_same(architecture: str) -> None:
    """But for batch norm's statistics, stochastic depth, of which there is none here, and what a recurrent network is made
    to have seen before; a video's first frame has nothing before it."""
    model = model_of(architecture).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        evaluated = model(images)
        freeze_batchnorm(model.train())
        trained, _ = model.step(images)
    torch.testing.assert_close(trained[:2], evaluated[:2])


@ARCHITECTURE
def test_layout_and_size_are_free(architecture: str) -> None:
    """Channels last as NCHW, and odd multiples of the stride."""
    model = model_of(architecture).eval()
    with torch.inference_mode():
        for height, width in ((3, 1), (1, 5)):
            images = torch.rand(2, 3, model.stride * height, model.stride * width)
            plain = model(images)
            assert plain.matte_logits.shape == plain.boundary_logits.shape == (2, 1, *images.shape[2:])
            last = model(images.to(memory_format=torch.channels_last))
            torch.testing.assert_close(last[:2], plain[:2], rtol=1e-3, atol=1e-4)


@ARCHITECTURE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_mixed_precision_stays_finite(architecture: str, dtype: torch.dtype) -> None:
    """Even where a network is as sure as it can be."""
    model = over_pooled(architecture).train()
    batch = batch_of(2, 1, size=32)
    target = target_of(batch, PHOTOS, None)
    for factor in (1, 100):
        with torch.autocast("cpu", dtype):
            output = model(batch.images * factor)
        assert output.matte.isfinite().all()
        assert output.boundary.isfinite().all()
        losses = all_losses(model, output, target)
        assert losses.dtype == torch.float32
        assert losses.isfinite().all()
        losses.sum().backward()
        assert all(p.grad.isfinite().all() for p in model.network.parameters() if p.grad is not None)


@ARCHITECTURE
def test_it_compiles_whole(architecture: str) -> None:
    """One graph without a break, which gives what the network gives."""
    torch.compiler.reset()
    model, images = over_pooled(architecture).eval(), torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        compiled = torch.compile(model, backend="eager", fullgraph=True)(images)
        torch.testing.assert_close(compiled[:2], model(images)[:2])


@pytest.mark.slow
@ARCHITECTURE
def test_it_is_exported_for_any_batch_and_size(architecture: str) -> None:
    maps = Maps(over_pooled(architecture).eval())
    batch, height, width = (torch.export.Dim(name, min=1, max=64) for name in ("batch", "height", "width"))
    stride = maps.model.stride
    sizes = {0: batch, 2: stride * height, 3: stride * width}
    example = torch.rand(2, 3, 64, 96)
    exported = torch.export.export(maps, (example,), dynamic_shapes=(sizes,), strict=False).module()
    with torch.no_grad():
        for shape in ((1, 3, 4 * stride, 2 * stride), (3, 3, 2 * stride, 5 * stride)):
            images = torch.rand(shape)
            torch.testing.assert_close(exported(images), maps(images), rtol=1e-4, atol=1e-5)


@ARCHITECTURE
def test_it_needs_no_values(architecture: str) -> None:
    """The meta device tells what it costs, and whether it runs at a size."""
    with torch.device("meta"):
        model = build_model(ModelConfig(architecture=architecture, backbone="test_vit", weights="none")).eval()
        assert model(torch.rand(1, 3, 64, 96)).matte.shape == (1, 1, 64, 96)
