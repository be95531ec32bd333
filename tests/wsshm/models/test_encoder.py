"""Encoders over families of every kind: their maps lie on the grids of their strides, whatever timm gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from tests.wsshm import tiny
from wsshm.config import ModelConfig, RunConfig, override, parse
from wsshm.errors import UserError
from wsshm.models import families
from wsshm.models.architectures.unet import WIDTHS, UNetDecoder
from wsshm.models.encoder import NECK_CHANNELS, Encoder, SimplePyramid
from wsshm.models.families import Sizes
from wsshm.models.network import build_model
from wsshm.models.trial import check_backbone, sizes_met, stride_of
from wsshm.training.planning import resolved

# A plain transformer, one with a table of positions that ties it to a square, windows, and convolutions with attention.
TINY = ["test_vit", "test_vit2", "test_vit4", "test_vit_relpos", "test_maxvit", "test_coatnet", "test_byobnet"]


def drawn(backbone: str, **kwargs: object) -> Encoder:
    torch.manual_seed(0)
    return Encoder(backbone, kwargs).eval()


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("size", [(64, 96), (192, 160)])
def test_maps_lie_on_the_grids_of_their_strides(backbone: str, size: tuple[int, int]) -> None:
    encoder = drawn(backbone)
    height, width = size
    with torch.inference_mode():
        maps = encoder(torch.rand(2, 3, height, width))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, height // s, width // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)
    ]
    assert list(encoder.strides) == sorted(encoder.strides)


@pytest.mark.parametrize("backbone", ["test_convnext", "test_vit"])
def test_a_decoder_that_reads_some_maps_gets_the_same_ones(backbone: str) -> None:
    images = torch.rand(1, 3, 64, 96)
    whole, part = drawn(backbone), drawn(backbone)
    part.give_only((2, 4, 32))
    assert part.strides == (4, 32)
    with torch.inference_mode():
        expected = whole(images)
        assert all(torch.equal(a, b) for a, b in zip(part(images), (expected[0], expected[-1]), strict=True))
    neck = sum(p.numel() for name, p in part.named_parameters() if name.startswith("neck"))
    assert (neck > 0) == (backbone == "test_vit")
    assert sum(map(torch.numel, part.parameters())) < sum(map(torch.numel, whole.parameters())) or not neck


@pytest.mark.parametrize("backbone", ["test_vit", "test_byobnet", "hrnet_w18_small", "coat_tiny"])
def test_parameters_idle_only_where_the_encoder_says_so(backbone: str) -> None:
    """Where a decoder reads some maps alone: workers that train together must know of parameters without a gradient."""
    with torch.device("meta"):
        encoder = Encoder(backbone).train()
        assert not encoder.idles
        encoder.give_only((2, 4, encoder.strides[-1]))
        sum(values.mean() for values in encoder(torch.rand(2, 3, 64, 96))).backward()  # type: ignore[union-attr]
    idle = [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    assert bool(idle) == encoder.idles == (backbone in ("hrnet_w18_small", "coat_tiny"))


@pytest.mark.parametrize("backbone", [*TINY, "pit_ti_224", "crossvit_tiny_240", "hiera_tiny_224", "swin_s3_tiny_224"])
def test_a_step_trains_every_parameter(backbone: str) -> None:
    """Workers that train together wait for every gradient."""
    with torch.device("meta"):
        model = build_model(ModelConfig(backbone=backbone, weights="none")).train()
        output = model(torch.rand(2, 3, 64, 96))
        (output.matte.mean() + output.boundary.mean()).backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None for parameter in trained)
    assert sum(map(torch.numel, trained)) > 0.9 * sum(map(torch.numel, model.parameters()))


@pytest.mark.parametrize(
    ("backbone", "strides"),
    [
        ("resnet18", (2, 4, 8, 16, 32)),
        ("convnext_atto", (4, 8, 16, 32)),
        ("visformer_tiny", (8, 16, 32)),
        ("levit_128s", (16, 32, 64)),
        ("csatv2", (8, 16, 32, 64)),
        ("nest_tiny", (4, 8, 16)),
        ("sequencer2d_s", (8, 16)),
        ("vit_tiny_patch16_224", (4, 8, 16, 32)),
        ("vit_small_patch14_dinov2", (4, 8, 16, 32)),
        ("xcit_tiny_12_p8_224", (4, 8, 16, 32)),
        ("mixer_s32_224", (4, 8, 16, 32)),
        ("crossvit_tiny_240", (4, 8, 16, 32)),
    ],
)
def test_any_strides_become_powers_of_two(backbone: str, strides: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert Encoder(backbone).strides == strides
    assert stride_of(backbone) == max(32, strides[-1])


def test_windows_are_filled_with_the_mean_colour_and_nothing_of_that_is_kept() -> None:
    encoder = drawn("test_maxvit", img_size=64)
    assert encoder.sizes is Sizes.WINDOWS
    images = torch.randn(1, 3, 96, 160)
    padded = torch.zeros(1, 3, 128, 192)
    padded[..., :96, :160] = images
    with torch.inference_mode():
        maps, expected = encoder(images), [encoder.body(padded)[index] for index in encoder.kept]
    for found, whole, stride in zip(maps, expected, encoder.strides, strict=True):
        assert torch.equal(found, whole[..., : 96 // stride, : 160 // stride])


def test_patches_of_14_px_lie_on_the_grid_of_16() -> None:
    """As if the picture had been resized by 14/16 beforehand."""
    encoder = drawn("vit_tiny_patch16_224", patch_size=14)
    images = torch.randn(1, 3, 64, 96)
    smaller = F.interpolate(images, size=(56, 84), mode="bilinear", antialias=True)
    with torch.inference_mode():
        maps = encoder(images)
        assert encoder.neck is not None
        expected = encoder.neck(encoder.body(smaller)[-1])
    assert all(torch.equal(a, b) for a, b in zip(maps, expected, strict=True))
    assert maps[2].shape == (1, NECK_CHANNELS, 4, 6)


def test_a_plain_transformers_positions_are_those_of_the_pictures_own_grid() -> None:
    """At the size that it is made for, a dynamic one computes what timm's own computes."""
    encoder = drawn("test_vit")
    side = families.own_size("test_vit")
    fixed = timm.create_model("test_vit", features_only=True).eval()
    fixed.load_state_dict(encoder.body.state_dict())
    images = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        assert torch.allclose(encoder.body(images)[-1], fixed(images)[-1], atol=1e-6)
        assert encoder.body(torch.randn(1, 3, 64, 128))[-1].shape[-2:] == (4, 8)


def test_a_network_of_one_square_sees_the_whole_picture_resized() -> None:
    encoder = drawn("test_vit_relpos", img_size=128)
    images = torch.randn(1, 3, 64, 192)
    square = F.interpolate(images, size=(128, 128), mode="bilinear", antialias=True)
    with torch.inference_mode():
        assert encoder.neck is not None
        expected = encoder.neck(encoder.body(square)[-1])
        maps = encoder(images)
    for found, whole, stride in zip(maps, expected, encoder.strides, strict=True):
        resized = F.interpolate(whole, size=(64 // stride, 192 // stride), mode="bilinear")
        assert torch.allclose(found, resized, atol=1e-5)


def test_maps_that_are_some_cells_short_cover_the_picture() -> None:
    with torch.device("meta"):
        encoder = Encoder("inception_v3")
        maps = encoder(torch.empty(1, 3, 128, 160))
    assert [tuple(m.shape[-2:]) for m in maps] == [(128 // s, 160 // s) for s in (2, 4, 8, 16, 32)]


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_each_level_of_the_neck_sees_its_own_cells(stride: int) -> None:
    """A change in one cell of the single map reaches the level's cells that lie in it, and their neighbours alone."""
    torch.manual_seed(0)
    neck = SimplePyramid(stride, 16)
    one, other = torch.randn(1, 16, 8, 8), torch.zeros(1, 16, 8, 8)
    other[..., 5, 2] = 1
    with torch.inference_mode():
        for before, after, at in zip(neck(one), neck(one + other), (4, 8, 16, 32), strict=True):
            assert before.shape == (1, NECK_CHANNELS, 8 * stride // at, 8 * stride // at)
            rows, columns = ((before - after).abs().sum((0, 1)) > 0).nonzero().T
            for cells, place in ((rows, 5), (columns, 2)):
                first, last = place * stride // at, ((place + 1) * stride - 1) // at
                assert cells.min() >= first - 1
                assert cells.max() <= last + 1


def test_where_no_fine_map_is_the_decoder_reads_the_pixels() -> None:
    """Of an encoder whose maps begin at 16 and say nothing, every pixel still reaches the mattes around it alone."""
    torch.manual_seed(0)
    decoder = UNetDecoder((16, 32, 64), (8, 8, 8), WIDTHS).eval()
    assert [layer[0].in_channels for layer in decoder.merges.values() if isinstance(layer, nn.Sequential)] == [
        8 + 8,  # 32: what comes up, and the map
        112 + 8,  # 16
        80 + 3 * 64,  # 8: no map, so blocks of 8 x 8 pixels
        56 + 3 * 16,
        40 + 3 * 4,
    ]
    maps = {stride: torch.zeros(1, 8, 128 // stride, 128 // stride) for stride in (16, 32, 64)}
    images = torch.rand(1, 3, 128, 128, requires_grad=True)
    decoder(images, maps)[0, 0, 64, 64].backward()
    reached = images.grad.abs().sum((0, 1)) > 0  # type: ignore[union-attr]
    assert reached[64, 64]
    assert 8 * 8 < reached.sum() < 128 * 128


@pytest.mark.parametrize(
    ("backbone", "size", "added"),
    [
        ("resnet18", 512, {}),
        ("vit_tiny_patch16_224", 512, {}),
        ("swin_tiny_patch4_window7_224", 512, {}),
        ("maxvit_tiny_rw_224", 512, {}),
        ("hiera_tiny_224", 512, {"img_size": 512}),
        ("botnet26t_256", 256, {}),
        ("efficientformer_l1", 512, {}),
        ("mvitv2_tiny", 128, {}),
        ("mvitv2_tiny", 512, {"img_size": 512}),
    ],
)
def test_only_families_of_one_square_get_the_training_size(backbone: str, size: int, added: dict[str, int]) -> None:
    assert families.fitted(backbone, {"drop_path_rate": 0.1}, size) == {"drop_path_rate": 0.1} | added
    assert families.fitted(backbone, {"img_size": 64}, size) == {"img_size": 64}


def test_a_run_knows_the_square_of_its_backbone(tmp_path: Path) -> None:
    def of(backbone: str) -> RunConfig:
        document = tiny.config(tmp_path).model_dump(mode="json")
        return resolved(parse(override(document, [f"model.backbone={backbone}", "model.weights=none"])))

    assert of("test_resnet").model.backbone_kwargs == {}
    config = of("test_vit_relpos")
    assert config.model.backbone_kwargs == {"img_size": config.data.size}


def test_the_table_names_families_that_there_are() -> None:
    """A line that fits no network is a slip, and a line below another that fits the same says nothing."""
    used = {families.family_of(name).pattern for name in timm.list_models()}
    assert {family.pattern for family in families.FAMILIES} <= used


@pytest.mark.parametrize("backbone", ["swin_tiny_patch4_window7_224", "levit_128s", "mobilevitv2_050"])
def test_families_of_one_size_pass_the_check_and_need_nothing_set(backbone: str) -> None:
    kwargs = families.fitted(backbone, {}, 128)
    check_backbone(backbone, kwargs, sizes_met(128, halved=True, stride=stride_of(backbone, kwargs)))


def test_what_is_too_small_for_a_backbone_is_refused_before_training() -> None:
    sizes = sizes_met(128, halved=True, stride=32)
    assert sizes == ((128, 128), (64, 64), (128, 160))
    with pytest.raises(UserError, match=r"'inception_v3' does not run on pictures of 64x64 px .*another data.size"):
        check_backbone("inception_v3", {}, sizes)


def test_sizes_that_the_coarsest_map_cannot_hold_are_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"'csatv2' does not run on pictures of 96x96 px \(.*multiples of 64"):
        check_backbone("csatv2", {}, [(96, 96)])
