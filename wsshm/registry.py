"""Named things, one file each: those of a package of ours, and those that the user's own files add."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import pydantic
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from wsshm import plugins
from wsshm.errors import UserError, nearest

if TYPE_CHECKING:  # it asks registries for names
    from wsshm.config import Section

UNKNOWN_NAME = "unknown_name"
"""The type of pydantic's error for a name that nobody has registered."""


class Named(Protocol):
    """What can be registered."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Entries by name. With a `package`, those of our own stand in its files NAME.py, imported when they are asked for.

    `kind` is the word for an entry in messages; `helpers` are the package's files that hold none. With `hyphens` names
    have hyphens where their files have underscores.
    """

    def __init__(
        self, kind: str, package: str | None = None, helpers: Collection[str] = (), *, hyphens: bool = False
    ) -> None:
        self.kind, self.package, self.helpers, self.hyphens = kind, package, frozenset(helpers), hyphens
        self._entries: dict[str, T] = {}

    def register(self, entry: T) -> T:
        """Add an entry. UserError for a name that is taken."""
        self._import_own(entry.name)  # nobody takes a name of ours; does nothing while that file itself is imported
        if entry.name in self._entries:
            raise UserError(f"there are two {self.kind}s {entry.name!r}; give yours another name")
        self._entries[entry.name] = entry
        return entry

    def find(self, name: str) -> T | None:
        """The entry of a name, None if nobody has registered it."""
        if name not in self._entries:
            self._import_own(name)
        if name not in self._entries:
            plugins.load()
        return self._entries.get(name)

    def knows(self, name: str) -> bool:
        """Whether a name is registered. No file of ours is imported for it, and none of the user's for a name of ours."""
        return name in self.own or self.find(name) is not None

    def get(self, name: str) -> T:
        """The entry of a name. UserError, with the nearest valid choice, if nobody has registered it."""
        entry = self.find(name)
        if entry is None:
            raise UserError(
                f"there is no {self.kind} {name!r}; {nearest(name, self.names())} ({plugins.VARIABLE} adds more)"
            )
        return entry

    def names(self) -> list[str]:
        """All names, sorted. No file of ours is imported for it."""
        plugins.load()
        return sorted(self.own | self._entries.keys())

    def entries(self) -> list[T]:
        """All entries, sorted by name."""
        return [self.get(name) for name in self.names()]

    @functools.cached_property
    def own(self) -> frozenset[str]:
        """The names of our own entries, which are those of their files."""
        if self.package is None:
            return frozenset()
        path = importlib.import_module(self.package).__path__
        files = {module.name for module in pkgutil.iter_modules(path)} - self.helpers
        return frozenset(name.replace("_", "-") for name in files) if self.hyphens else frozenset(files)

    def _import_own(self, name: str) -> None:
        if name in self.own:
            importlib.import_module(f"{self.package}.{name.replace('-', '_') if self.hyphens else name}")


def typed(given: Mapping[str, Any], kind: type[Section] | None, what: str) -> Section | None:
    """Options of an entry's own as `kind`, None for an entry without any. UserError for an unknown or impossible one."""
    from wsshm.config import parse

    if kind:
        return parse(dict(given), kind, what)
    if given:
        raise UserError(f"{what} has no options of its own; leave out {next(iter(given))!r}")
    return None


def changed(given: Mapping[str, Any], kind: type[Section] | None, what: str) -> dict[str, Any]:
    """The options that are not at their default, as JSON: equal ones are equal, and new ones change no old document."""
    options = typed(given, kind, what)
    return options.model_dump(mode="json", exclude_defaults=True) if options else {}


@dataclass(frozen=True)
class Registered:
    """Marks text that is the name of something registered, by the time that it is read."""

    registry: Registry[Any]
    ordered: Callable[[], list[str]] | None = None
    """Lists the names in the order that help texts are to have; sorted by default."""

    def names(self) -> list[str]:
        """All names that are valid."""
        return self.ordered() if self.ordered else self.registry.names()

    def __get_pydantic_core_schema__(self, source: Any, handler: pydantic.GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.validate, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | {"enum": self.names()}

    def validate(self, name: Any) -> Any:
        """The name, if it is registered; else pydantic's error."""
        if not self.registry.knows(name):
            raise PydanticCustomError(UNKNOWN_NAME, "is not registered", {"name": name, "names": self.names()})
        return name
