"""Architectures by name: the registry of what stands over a backbone, a decoder with its heads.

To add one, write a file and name it in `WSSHM_PLUGINS` (or put it into `architectures/` as NAME.py, if it is to be one of
ours):

    from pydantic import PositiveInt
    from torch import nn
    from wsshm.config import Section
    from wsshm.models import Architecture, register
    from wsshm.models.network import MattingOutput, Network

    class Options(Section):
        width: PositiveInt = 32

    class Plain(Network):
        stride = 32

        def __init__(self, encoder, options):
            super().__init__(encoder)
            self.narrow = nn.Conv2d(encoder.channels[-1], options.width, 1)
            upsample = nn.Upsample(scale_factor=encoder.strides[-1])
            self.heads = nn.Sequential(upsample, nn.Conv2d(options.width, 2, 3, padding=1))

        def forward(self, images):
            logits = self.heads(self.narrow(self.encoder(images)[-1]))
            return MattingOutput(logits[:, :1], logits[:, 1:])

    register(Architecture("plain", Plain, Options))

    WSSHM_PLUGINS=plain.py wsshm train run.yaml --set 'model.architecture={name: plain, width: 48}' --out runs/mine

`Network` says what such a class must do, and how it adds auxiliary outputs with loss terms of their own
(`tests/extending/pyramid.py` has one). This module imports no torch; an architecture's file does, and is imported when its
options or its network are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from wsshm.documents import yaml_value
from wsshm.registry import UNKNOWN_NAME, Registered, Registry, changed, typed

if TYPE_CHECKING:  # the configuration asks this module for names
    from wsshm.config import Section
    from wsshm.models.network import Network

NAME = "name"


@dataclass(frozen=True)
class Architecture:
    """A network over an `Encoder`, and the typed options of its own.

    `version` is a part of a stage's address: raise it when the code changes what is trained.
    """

    name: str
    network: type[Network]
    options: type[Section] | None = None
    version: str = ""


ARCHITECTURES: Registry[Architecture] = Registry("architecture", f"{__name__}.architectures")
register = ARCHITECTURES.register

Choice = str | dict[str, Any]
"""How a configuration names an architecture: `unet`, or `{name: unet, width: 1.5}` with options that are not its default."""


def checked(choice: Choice) -> Choice:
    """A choice with only those options that are not at their default, so that equal networks are chosen by equal values.

    The mapping may also be YAML in a text, as tables and commands have it. Raises UserError for an option that is unknown
    or impossible, and pydantic's error for an unknown name.
    """
    if isinstance(choice, str) and choice.startswith("{"):
        choice = yaml_value(choice, f"the architecture {choice}")
    name = choice.get(NAME) if isinstance(choice, dict) else choice
    if not isinstance(name, str):
        raise ValueError("must have the architecture's name beside its options: {name: unet, width: 1.5}")
    if not ARCHITECTURES.knows(name):
        raise PydanticCustomError(UNKNOWN_NAME, "is not registered", {"name": name, "names": ARCHITECTURES.names()})
    if not (given := _given(choice)):
        return name
    kept = changed(given, ARCHITECTURES.get(name).options, f"the architecture {name!r}")
    return {NAME: name, **kept} if kept else name


def options_of(choice: Choice) -> Section | None:
    """The options that a choice gives, checked; None for an architecture that has none."""
    architecture = ARCHITECTURES.get(name_of(choice))
    return typed(_given(choice), architecture.options, f"the architecture {architecture.name!r}")


def whole(choice: Choice) -> Choice:
    """A choice with all options, those at their default too: what builds the same network when a default has changed."""
    options = options_of(choice)
    return {NAME: name_of(choice), **options.model_dump(mode="json")} if options else name_of(choice)


def name_of(choice: Choice) -> str:
    """The name that a choice gives."""
    return choice if isinstance(choice, str) else choice[NAME]


def text_of(choice: Choice) -> str:
    """A choice as one line of text, for tables and commands; `checked` reads it back."""
    return (
        choice if isinstance(choice, str) else yaml.safe_dump(choice, default_flow_style=True, sort_keys=False).strip()
    )


def _given(choice: Choice) -> dict[str, Any]:
    return {key: value for key, value in choice.items() if key != NAME} if isinstance(choice, dict) else {}


class ArchitectureType(Registered):
    """Marks a choice of an architecture in the typed configuration."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def validate(self, value: Any) -> Choice:
        """The choice as `checked` has it."""
        if not isinstance(value, str | dict):
            raise ValueError("must be a name, or a mapping such as {name: unet, width: 1.5}")
        return checked(value)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "enum": self.names()}, {"type": "object"}]}
