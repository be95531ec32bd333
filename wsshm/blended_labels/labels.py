"""Where labels made ahead lie: FOLDER/label/NAME.png, share/NAME.png and, where pixels are ignored, weight/NAME.png.

Every file is whole or not there, and its name says which picture with which content it belongs to, so what is there
needs no second look. `label` is for the eye and for training, `share` is the teacher's share A, `weight` the loss
weight, all grey with 255 as 1.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsshm.config import BlendConfig
from wsshm.data.manifest import Sample
from wsshm.data.names import readable_name
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.files.sealed import Damaged, parsed

log = logging.getLogger(__name__)
RECIPE = "labels.json"
PNG_END = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"


def kinds_of(blend: BlendConfig) -> tuple[str, ...]:
    """What is kept of a blend: label and share, and the weight where the veto leaves pixels out of the loss."""
    return ("label", "share", "weight") if blend.veto == "ignore" else ("label", "share")


def file_of(kind: str, sample: Sample) -> str:
    """A picture's file, relative to the folder; the file name changes with the content's hash."""
    name = readable_name(sample.id, f"{sample.id}\0{sample.sha256}")
    return f"{kind}/{name}.png"


@dataclass(frozen=True)
class LabelFolder:
    """The labels that one teacher and one blend give, at `place`."""

    place: Location
    blend: BlendConfig

    def missing(self, samples: Iterable[Sample]) -> list[Sample]:
        """The samples of which not every file is there and whole."""
        prefix = len(self.place.path) + 1
        sizes = {file.path[prefix:]: size for file, size in self.place.files()}
        kinds = kinds_of(self.blend)
        return [s for s in samples if not all(self._whole(file_of(k, s), sizes) for k in kinds)]

    def fetched(self, scratch: Path) -> Path:
        """A local folder with the labels: this one, or a copy in `scratch`."""
        if self.place.local:
            return self.place.local
        copy = scratch / self.place.name
        for kind in kinds_of(self.blend):
            (self.place / kind).download(copy / kind)
        return copy

    def write(self, sample: Sample, pngs: dict[str, bytes]) -> None:
        """Write a picture's files."""
        for kind in kinds_of(self.blend):
            (self.place / file_of(kind, sample)).write_bytes(pngs[kind])

    def recipe(self) -> dict[str, Any] | None:
        """What the labels were made from, and how long that took; None where nothing was made yet.

        Raises Damaged where the file is no longer what was written.
        """
        file = self.place / RECIPE
        try:
            document = parsed(file.read_bytes(), file, dict[str, Any])
        except FileNotFoundError:
            return None
        if any(type(document.get(key, 0)) not in (int, float) for key in ("pictures", "seconds")):
            raise Damaged(f"{file} counts no pictures and seconds")
        return document

    def hold_against(self, recipe: dict[str, Any]) -> None:
        """Raise UserError where the folder's labels were made from something else."""
        try:
            made = self.recipe() or {}
        except Damaged as error:
            raise Damaged(f"{error}, so what its labels were made from is not known; give another folder") from error
        for key, value in made.items():
            if key in recipe and recipe[key] != value:
                raise UserError(
                    f"{self.place} holds labels with another {key} ({_short(value)}, asked is {_short(recipe[key])});"
                    " give another folder"
                )

    def add(self, recipe: dict[str, Any], pictures: int, seconds: float) -> None:
        """Write down what labels are made from, and add to the count of pictures and the time they took."""
        before = self._counted()
        total = {"pictures": before.get("pictures", 0) + pictures, "seconds": before.get("seconds", 0.0) + seconds}
        (self.place / RECIPE).write_text(json.dumps({**recipe, **total}, indent=1))

    def seconds_for(self, pictures: int) -> float:
        """How long it takes to label that many pictures, by the average of those made so far; 0 where none was."""
        made = self._counted()
        return pictures * made["seconds"] / made["pictures"] if made.get("pictures") else 0.0

    def _counted(self) -> dict[str, Any]:
        try:
            return self.recipe() or {}
        except Damaged as error:  # the labels themselves are whole, each by itself
            log.warning("%s; the time that it took to make these labels is not known", error)
            return {}

    def _whole(self, name: str, sizes: dict[str, int]) -> bool:
        if not sizes.get(name):
            return False
        # On an object store a file is whole or not there; a disk's cache may have been lost with the power.
        return self.place.local is None or _ends_well(self.place.local / name)


def _ends_well(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(len(PNG_END), path.stat().st_size), 2)
        return file.read() == PNG_END


def _short(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
