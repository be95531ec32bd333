"""Saved models and training states: safetensors and JSON, no pickle, whole or not there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from wsshm.config import ModelConfig
from wsshm.errors import UserError
from wsshm.models import MattingModel, build_model

FORMAT_VERSION = 1
WEIGHTS, CARD, STATE = "model.safetensors", "model.json", "state.json"


@dataclass(frozen=True)
class ModelCard:
    """What a saved model needs to be used again: how to build it, its normalisation, its weights' origin, its size."""

    architecture: str
    backbone: str
    backbone_kwargs: dict[str, Any]
    weights: str
    mean: list[float]
    std: list[float]
    size: int
    method: str = ""
    format_version: int = FORMAT_VERSION


def save_model(folder: Path, state: dict[str, Tensor], card: ModelCard) -> None:
    """Write `model.safetensors` and `model.json` into an existing folder."""
    safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, folder / WEIGHTS)
    (folder / CARD).write_text(json.dumps(asdict(card), indent=1))


def load_model(folder: Path | str) -> tuple[MattingModel, ModelCard]:
    """Read a saved model, in eval mode on the CPU. UserError where the folder holds none, or a broken or newer one."""
    folder = Path(folder)
    if not (folder / WEIGHTS).is_file() or not (folder / CARD).is_file():
        raise UserError(f"{folder} holds no model ({WEIGHTS} and {CARD}); give the folder of a finished run's model")
    try:
        fields = json.loads((folder / CARD).read_text())
        if fields.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{folder / CARD} has format version {fields.get('format_version')}, this release reads {FORMAT_VERSION}"
            )
        card = ModelCard(**fields)
        config = ModelConfig(
            architecture=card.architecture,  # type: ignore[arg-type]
            backbone=card.backbone,
            weights="none",
            backbone_kwargs=card.backbone_kwargs,
        )
        model = build_model(config, load_weights=False)
        model.mean.copy_(torch.tensor(card.mean).view(1, 3, 1, 1))
        model.std.copy_(torch.tensor(card.std).view(1, 3, 1, 1))
        model.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
    except (ValueError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise UserError(f"the model in {folder} is broken ({str(error).splitlines()[0]}); train it again") from error
    return model.eval(), card


def card_of(model: MattingModel, config: ModelConfig, weights: str, size: int, method: str) -> ModelCard:
    """The card of a model that was built from `config` with weights of the resolved origin `weights`."""
    return ModelCard(
        architecture=config.architecture,
        backbone=config.backbone,
        backbone_kwargs=dict(config.backbone_kwargs),
        weights=weights,
        mean=[float(v) for v in model.mean.flatten()],
        std=[float(v) for v in model.std.flatten()],
        size=size,
        method=method,
    )


def save_training_state(
    folder: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    ema: dict[str, Tensor] | None,
    progress: dict[str, Any],
) -> None:
    """Write all that is needed to go on exactly into an existing folder: weights, optimiser, averaged weights, RNG
    states and progress."""
    tensors = {f"model.{key}": value for key, value in network.state_dict().items()}
    state = optimiser.state_dict()
    for index, slots in state["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in slots.items()}
    tensors |= {f"ema.{key}": value for key, value in (ema or {}).items()}
    tensors["rng.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    safetensors.torch.save_file(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, folder / WEIGHTS
    )
    (folder / STATE).write_text(json.dumps({"groups": state["param_groups"], **progress}))


def load_training_state(
    folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Restore what `save_training_state` wrote. Returns (progress, averaged weights)."""
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    progress = json.loads((folder / STATE).read_text())
    network.load_state_dict(_below(tensors, "model."))
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(tensors, "optimiser.").items():
        index, _, name = key.partition(".")
        slots.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": slots, "param_groups": progress.pop("groups")})
    torch.set_rng_state(tensors["rng.cpu"])
    if torch.cuda.is_available() and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    return progress, _below(tensors, "ema.") or None


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
