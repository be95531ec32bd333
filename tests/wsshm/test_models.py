"""Networks over every class of backbone, where their weights come from, and saving them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from wsshm.checkpoint import CARD, WEIGHTS, card_of, load_model, save_model
from wsshm.config import ModelConfig
from wsshm.errors import UserError
from wsshm.models import build_model, weights
from wsshm.models.encoder import Encoder, check_backbone

# One micro backbone for each pattern of maps: strides from 2, from 4, and from 4 in NHWC.
BACKBONES = ["test_efficientnet", "test_resnet", "test_convnext", "test_mambaout"]


def model_of(backbone: str, **more: object) -> torch.nn.Module:
    return build_model(ModelConfig(backbone=backbone, weights="none", **more)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_output_is_at_the_images_own_resolution(backbone: str) -> None:
    with torch.inference_mode():
        output = model_of(backbone)(torch.rand(2, 3, 64, 96))
    for values in (output.matte, output.boundary):
        assert values.shape == (2, 1, 64, 96)
        assert values.min() >= 0
        assert values.max() <= 1


def test_a_map_at_full_resolution_is_dropped() -> None:
    with torch.device("meta"):
        encoder = Encoder("vgg11")
        maps = encoder(torch.empty(1, 3, 64, 64))
    assert encoder.strides == (2, 4, 8, 16, 32)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 64 // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)
    ]


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "levit_128"])
def test_a_backbone_without_a_pyramid_is_refused_by_name(backbone: str) -> None:
    with pytest.raises(UserError, match=rf"'{backbone}' is not pyramidal"):
        check_backbone(backbone)


def test_unknown_backbones_and_arguments_are_named() -> None:
    with pytest.raises(UserError, match=r"no backbone 'resnet35'.*'resnet34'"):
        check_backbone("resnet35")
    with pytest.raises(UserError, match="backbone_kwargs do not fit 'test_resnet'"):
        model_of("test_resnet", backbone_kwargs={"no_such_argument": 1})


def test_sizes_that_the_pyramid_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        model_of("test_resnet")(torch.rand(1, 3, 48, 64))


def test_normalisation_is_inside() -> None:
    model = model_of("test_efficientnet")
    seen: list[torch.Tensor] = []
    model.network.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs))  # type: ignore[union-attr]
    model(torch.full((1, 3, 32, 32), 0.75))
    mean, std = timm.get_pretrained_cfg("test_efficientnet").mean, timm.get_pretrained_cfg("test_efficientnet").std
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx([(0.75 - m) / s for m, s in zip(mean, std, strict=True)])


def test_the_installed_package_gives_the_published_network() -> None:
    """The encoder's maps equal those of timm's full network with the package's weights in it."""
    origin = weights.resolve("tf_efficientnet_lite0", "package")
    model = build_model(ModelConfig(weights=origin)).eval()
    full = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    file = weights._package_file("tf_efficientnet_lite0")
    assert file is not None
    state = torch.load(file, weights_only=True)
    full.load_state_dict(dict(zip(full.state_dict(), state.values(), strict=True)))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = full.forward_intermediates(image, intermediates_only=True)
        maps = model.network.encoder(image)  # type: ignore[union-attr, operator]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(maps, expected, strict=True))
    assert model.mean.flatten().tolist() == [0.5, 0.5, 0.5]


def test_a_file_of_weights_in_timms_order(tmp_path: Path) -> None:
    full = timm.create_model("test_efficientnet", pretrained=False)
    safetensors.torch.save_file(full.state_dict(), tmp_path / "w.safetensors")
    model = build_model(ModelConfig(backbone="test_efficientnet", weights=str(tmp_path / "w.safetensors")))
    own = model.network.encoder.body.state_dict()  # type: ignore[union-attr]
    source = full.state_dict()
    assert all(torch.equal(value, source[key]) for key, value in own.items())
    with pytest.raises(UserError, match=r"do not fit.*'test_resnet'"):
        build_model(ModelConfig(backbone="test_resnet", weights=str(tmp_path / "w.safetensors")))
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        build_model(ModelConfig(backbone="test_efficientnet", weights=str(tmp_path / "text.safetensors")))
    with pytest.raises(UserError, match="which is no file"):
        weights.resolve("test_efficientnet", "absent.safetensors")


def test_auto_prefers_a_hub_then_a_package_then_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(weights, "hub_answers", lambda: True)
    assert weights.resolve("tf_efficientnet_lite0", "auto") == "hub"
    monkeypatch.setattr(weights, "hub_answers", lambda: False)
    assert weights.resolve("tf_efficientnet_lite0", "auto") == "package"
    weights._warn_once.cache_clear()
    assert weights.resolve("mobilenetv3_large_100", "auto") == "none"
    assert weights.resolve("mobilenetv3_large_100", "auto") == "none"
    assert caplog.text.count("no pretrained weights for mobilenetv3_large_100") == 1
    with pytest.raises(UserError, match="no model hub answers"):
        weights.resolve("tf_efficientnet_lite0", "hub")


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    config = ModelConfig(backbone="test_efficientnet", weights="none", backbone_kwargs={"drop_path_rate": 0.1})
    model = build_model(config).eval()
    model.mean.fill_(0.4)  # a normalisation of its own must survive too
    save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 128, "mlb"))
    again, card = load_model(tmp_path)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(image).matte, again(image).matte)
    assert (card.size, card.method, card.weights) == (128, "mlb", "none")
    assert card.backbone_kwargs == {"drop_path_rate": 0.1}


def test_broken_models_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        load_model(tmp_path)
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config)
    save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 128, "mlb"))
    card = json.loads((tmp_path / CARD).read_text())
    (tmp_path / CARD).write_text(json.dumps(card | {"format_version": 99}))
    with pytest.raises(UserError, match="format version 99"):
        load_model(tmp_path)
    (tmp_path / CARD).write_text(json.dumps(card))
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(UserError, match="is broken"):
        load_model(tmp_path)
