"""Saved models and training states: safetensors and JSON, no pickle, whole or not there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import safetensors
import safetensors.torch
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from wsshm import plugins
from wsshm.config import ModelConfig
from wsshm.errors import UserError
from wsshm.files.sealed import Damaged, check_files, opened, sealed
from wsshm.files.whole import whole_file, write_whole
from wsshm.models import ARCHITECTURES, name_of, whole
from wsshm.models.folder import CARD, PUBLISHED
from wsshm.models.network import MattingModel, build_model

WEIGHTS, STATE = "model.safetensors", "state.json"
NAMED = 2  # of each kind of weights that do not fit
TRAIN_AGAIN = "train it again, or copy it again"
FAR = 1.5
"""How many times larger or smaller than in training a picture may be before its people are: training crops at least half
of a picture and so enlarges people up to 1.41 times; beyond that the network has never seen them."""


@dataclass(frozen=True)
class ModelCard:
    """What a saved model needs to be used again: how to build it, its normalisation, its weights' origin, its size.

    `size` is the side in px of the squares it was trained on, `sizes` all of them (half of it too, where training began
    there); older cards have no `sizes`.
    """

    architecture: str | dict[str, Any]
    backbone: str
    backbone_kwargs: dict[str, Any]
    weights: str
    mean: Annotated[list[float], Field(min_length=3, max_length=3)]
    std: Annotated[list[float], Field(min_length=3, max_length=3)]
    size: PositiveInt
    method: str = ""
    sizes: list[PositiveInt] = field(default_factory=list)

    def warning_at(self, sides: Collection[int]) -> str:
        """One sentence if any of `sides`, inputs' shorter ones in px, is far from the trained sizes; else empty."""
        trained = self.sizes or [self.size]
        far = sorted(side for side in sides if side * FAR <= min(trained) or side >= max(trained) * FAR)
        if not far:
            return ""
        seen = f"{far[0]} px" if far[0] == far[-1] else f"{far[0]} to {far[-1]} px"
        count = f" ({len(far)} of {len(sides)} pictures)" if len(sides) > 1 else ""
        squares = " and ".join(map(str, trained))
        return (
            f"this model was trained at {squares} px; at a shorter side of {seen}{count} its mattes are likely to be worse"
            f" (--protocol short{self.size} is its own size)"
        )


def save_model(folder: Path, state: dict[str, Tensor], card: ModelCard) -> None:
    """Write `model.safetensors` and `model.json`, which has the checksum of both, into an existing folder."""
    with whole_file(folder / WEIGHTS) as temporary:
        safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    write_whole(folder / CARD, sealed(asdict(card), folder, (WEIGHTS,)))


def card_file(folder: Path) -> Path:
    """Where the card of the model in `folder` is: of one that we trained, or of an exported one."""
    published = folder / PUBLISHED
    return published if published.is_file() and not (folder / CARD).is_file() else folder / CARD


def check_model(folder: Path) -> ModelCard:
    """The card of a saved model whose files are as they were written; else Damaged, naming the file.

    Of a model without checksums, by an older release, only the weights' outline is looked at.
    """
    file = card_file(folder)
    if not (folder / WEIGHTS).is_file() or not file.is_file():
        raise Damaged(f"{folder} holds no model ({WEIGHTS} and {CARD})")
    card, sums = opened(file.read_bytes(), file, ModelCard)
    check_files(folder, sums)
    if WEIGHTS not in sums:
        with _readable(folder / WEIGHTS), safetensors.safe_open(folder / WEIGHTS, "pt"):
            pass
    return card


def load_model(folder: Path | str) -> tuple[MattingModel, ModelCard]:
    """Read a saved model, in eval mode on the CPU.

    Raises UserError naming the file where the folder holds none, one that was altered after it was written, one of a
    newer release, or weights that are NaN or infinite.
    """
    folder = Path(folder)
    file = card_file(folder)
    if not (folder / WEIGHTS).is_file() or not file.is_file():
        raise UserError(f"{folder} holds no model ({WEIGHTS} and {CARD}); give the folder of a finished run's model")
    try:
        card = check_model(folder)
        if ARCHITECTURES.find(name_of(card.architecture)) is None:
            raise UserError(
                f"{file} is of the architecture {name_of(card.architecture)!r}, which is not known here; name its"
                f" file in {plugins.VARIABLE}"
            )
        config = ModelConfig(
            architecture=card.architecture,
            backbone=card.backbone,
            weights="none",
            backbone_kwargs=card.backbone_kwargs,
        )
        model = build_model(config, load_weights=False)
        model.mean.copy_(torch.tensor(card.mean).view(1, 3, 1, 1))
        model.std.copy_(torch.tensor(card.std).view(1, 3, 1, 1))
        with _readable(folder / WEIGHTS):
            state = safetensors.torch.load_file(folder / WEIGHTS)
        if misfit := _misfit(state, model.state_dict()):
            raise UserError(
                f"the weights in {folder / WEIGHTS} do not fit the network that is built here ({misfit}): the file of the"
                f" architecture {name_of(card.architecture)!r}, or timm, is of another version than it was trained with;"
                " use that version, or train it again"
            )
        model.load_state_dict(state)
    except Damaged as error:
        raise Damaged(f"{error}; {TRAIN_AGAIN}") from error
    except ValueError as error:
        raise Damaged(f"{file} describes no model of ours; {TRAIN_AGAIN}") from error
    if not_finite := first_not_finite(state):
        raise UserError(
            f"the weights in {folder / WEIGHTS} are not finite ({not_finite!r} has NaN or infinity): its training came"
            " apart; train it again with a lower train.lr"
        )
    return model.eval(), card


def _misfit(saved: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What keeps saved weights from fitting a network, in a few words; "" where they fit."""
    told = {
        "missing": [key for key in wanted if key not in saved],
        "unknown": [key for key in saved if key not in wanted],
        "of another shape": [
            f"{key} {_by(saved[key])} for {_by(wanted[key])}"
            for key in wanted
            if key in saved and saved[key].shape != wanted[key].shape
        ],
    }
    return "; ".join(
        f"{len(keys)} {what}: {', '.join(keys[:NAMED])}{', ...' * (len(keys) > NAMED)}"
        for what, keys in told.items()
        if keys
    )


def _by(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "1"


def first_not_finite(state: dict[str, Tensor]) -> str | None:
    """The first tensor with a NaN or infinite value, None where all values are finite."""
    return next((key for key, value in state.items() if not bool(value.isfinite().all())), None)


def card_of(
    model: MattingModel, config: ModelConfig, weights: str, size: int, method: str, halved: bool = False
) -> ModelCard:
    """The card of a model that was built from `config` with weights of the resolved origin `weights`.

    `halved`: the first part of its training was at half of `size`.
    """
    return ModelCard(
        architecture=whole(config.architecture),
        backbone=config.backbone,
        backbone_kwargs=dict(config.backbone_kwargs),
        weights=weights,
        mean=[float(v) for v in model.mean.flatten()],
        std=[float(v) for v in model.std.flatten()],
        size=size,
        method=method,
        sizes=[size // 2, size] if halved else [size],
    )


@dataclass
class Progress:
    """How far a stage is: steps done, seconds spent (and how many of them in the teacher's forward passes), one row per
    epoch and key, and the gradient scaler's state."""

    step: NonNegativeInt = 0
    seconds: float = 0.0
    teacher_forward_s: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] = field(default_factory=dict)


@dataclass
class SavedProgress(Progress):
    """The document of a training state: with the optimiser's groups."""

    groups: list[dict[str, Any]] = field(default_factory=list)


def save_training_state(
    folder: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    ema: dict[str, Tensor] | None,
    progress: Progress,
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
    with whole_file(folder / WEIGHTS) as temporary:
        safetensors.torch.save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, temporary)
    document = {"groups": state["param_groups"], **asdict(progress)}
    write_whole(folder / STATE, sealed(document, folder, (WEIGHTS,)))


@dataclass(frozen=True)
class TrainingState:
    """A training state that was read, and fits what it was read for; nothing is changed before `restore`."""

    tensors: dict[str, Tensor]
    groups: list[dict[str, Any]]
    progress: Progress

    @classmethod
    def read(
        cls, folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None
    ) -> TrainingState:
        """What `save_training_state` wrote. Damaged, naming the file, where it is no longer that, or fits not."""
        if not (folder / STATE).is_file():
            raise Damaged(f"{folder / STATE} is missing")
        saved, sums = opened((folder / STATE).read_bytes(), folder / STATE, SavedProgress)
        check_files(folder, sums)
        with _readable(folder / WEIGHTS):
            tensors = safetensors.torch.load_file(folder / WEIGHTS)
        fields = asdict(saved)
        groups = fields.pop("groups")
        state = cls(tensors, groups, Progress(**fields))
        if not state._fits(network, optimiser, average):
            raise Damaged(f"{folder / WEIGHTS} does not fit this stage's network and optimiser")
        return state

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None) -> Progress:
        """Set the network, optimiser, averaged network and random numbers to the state; returns how far it is."""
        network.load_state_dict(_below(self.tensors, "model."))
        optimiser.load_state_dict({"state": self._slots(), "param_groups": self.groups})
        if average is not None:
            average.load_state_dict(_below(self.tensors, "ema."))
        torch.set_rng_state(self.tensors["rng.cpu"])
        if torch.cuda.is_available() and "rng.cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["rng.cuda"])
        return self.progress

    def _slots(self) -> dict[int, dict[str, Tensor]]:
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(self.tensors, "optimiser.").items():
            index, _, name = key.partition(".")
            slots.setdefault(int(index), {})[name] = value
        return slots

    def _fits(self, network: nn.Module, optimiser: torch.optim.Optimizer, average: nn.Module | None) -> bool:
        wanted = {"model.": network.state_dict(), "ema.": average.state_dict() if average is not None else {}}
        for prefix, state in wanted.items():
            if _shapes(_below(self.tensors, prefix)) != _shapes(state):
                return False
        groups = optimiser.state_dict()["param_groups"]
        if [g.keys() for g in groups] != [g.keys() for g in self.groups]:
            return False
        if [g["params"] for g in groups] != [g["params"] for g in self.groups]:
            return False
        shapes = dict(enumerate(p.shape for group in optimiser.param_groups for p in group["params"]))
        try:
            slots = self._slots()
        except ValueError:
            return False
        whole = all(value.shape in (shapes.get(i), ()) for i, slot in slots.items() for value in slot.values())
        clock = self.tensors.get("rng.cpu")
        return whole and clock is not None and clock.shape == torch.get_rng_state().shape


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {key: (value.shape, value.dtype) for key, value in tensors.items()}


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Whatever is wrong with a safetensors file is Damaged, naming it."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, safetensors.SafetensorError, FileNotFoundError) as error:
        raise Damaged(f"{file} is cut off or altered ({str(error).splitlines()[0][:200]})") from error
