"""Layouts by name: the registry of how data sets lie on disk, one file each, with the readers that list their samples.

To add one, write a file and name it in `WSSHM_PLUGINS` (or put it into this folder as NAME.py, if it is to be one of
ours); no other file changes:

    from wsshm.data.layouts import Layout, register
    from wsshm.data.manifest import Sample

    def read(root, split, domain):
        '''Photos NAME.jpg, with the matte NAME_alpha.png beside each.'''
        samples = []
        for matte in sorted(root.glob("*_alpha.png")):
            name = matte.name.removesuffix("_alpha.png")
            samples.append(Sample(name, split, "photo", domain, image=f"{name}.jpg", matte=matte.name))
        return samples

    register(Layout("beside", "photos with mattes", "NAME.jpg with NAME_alpha.png beside it", read))

`WSSHM_PLUGINS=beside.py wsshm data import beside photos --out photos.parquet` then reads it, and `wsshm data layouts`
lists it. `Layout` says what else a layout may have: options, masks that are drawn from annotations. This module imports
neither OpenCV nor Arrow, so that helps can name the layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.errors import UserError
from wsshm.registry import Registry, typed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wsshm.config import Section
    from wsshm.data.manifest import Sample

MOST_NAMED = 4
AUTO = "auto"
"""In place of a layout's name: the one that the folder fits."""


def _not_known(root: Path) -> bool:
    return False


@dataclass(frozen=True)
class Drawing:
    """A mask that an annotation describes and no picture holds yet.

    `width` and `height` are those of the annotated picture in px; `origin` names file and entry for messages. `draw()`
    gives the mask as H x W uint8, 0 or 1; it raises UserError for an annotation that describes none.
    """

    width: int
    height: int
    origin: str
    draw: Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Annotated:
    """What a layout lists: samples, and by their ids the masks that are to be drawn for them."""

    samples: list[Sample]
    drawings: Mapping[str, Drawing] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """A way in which a data set lies on disk.

    `gives` names its samples in a phrase; `expects` says in a phrase, or by a small tree in lines, what must lie in the
    folder ROOT. `read(root, split, domain)` lists the samples, their files relative to `root`, without sizes and hashes,
    which `importing.import_layout` fills in; it raises UserError for a folder that it cannot read. It looks at names
    and annotation files (.json, .csv, .txt) alone: of a bucket, pictures are fetched later. `split` is for samples
    whose split is not published. Where masks are annotations, it returns `Annotated`, and they are drawn.
    `fits(root)`: whether the folder is laid out so beyond doubt; who then names a layout that cannot read it, or loose
    pictures, is told, and `auto` chooses it. It looks at names alone, too.

    Of a published data set, `source` is its name, `terms` are those it is under and `obtained` is where it is to be had;
    the manifest has the first two in its columns source and licence. `domain` is its samples' where none is asked for.
    `options` are the layout's own, typed: `read(root, split, domain, options)` then gets them. `classes` are the person's
    if masks hold class indices. `general` layouts fit folders of any origin: their own table completes them
    (`sample_table`), and `auto` prefers layouts that are not general.
    """

    name: str
    gives: str
    expects: str
    read: Callable[..., list[Sample] | Annotated]
    fits: Callable[[Path], bool] = _not_known
    terms: str = ""
    source: str = ""
    obtained: str = ""
    domain: str | None = None
    options: type[Section] | None = None
    classes: tuple[int, ...] | None = None
    general: bool = False

    def lists(self, root: Path, split: str, domain: str | None, options: Mapping[str, Any]) -> Annotated:
        """`read` with checked options. UserError for an unknown option or value."""
        own = typed(options, self.options, f"the layout {self.name!r}")
        found = self.read(root, split, domain, *([own] if own else []))
        return found if isinstance(found, Annotated) else Annotated(found)


LAYOUTS: Registry[Layout] = Registry("layout", __name__, helpers=("annotations", "folders"), hyphens=True)
register = LAYOUTS.register


def better_named(root: Path, name: str) -> str:
    """A clause for an error: the layouts to name in place of `name` that the folder fits; "" if `name` or none fits."""
    fitting = _fitting(root)
    if not fitting or name in fitting:
        return ""
    return f"; it is laid out as {' or '.join(fitting)}, so name that in place of {name}"


def recognised(root: Path) -> Layout:
    """The layout that a folder fits. UserError where it fits none, or several equally well."""
    fitting = _fitting(root)
    if len(fitting) == 1:
        return LAYOUTS.get(fitting[0])
    if fitting:
        raise UserError(
            f"{root} may be laid out as {' or '.join(fitting)}; name the one that is meant in place of {AUTO}"
            " (`wsshm data layouts` says what each expects)"
        )
    inside = ((p, _fitting(p)) for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith("."))
    if found := [f"{p.name}/ as {' or '.join(names)}" for p, names in inside if names]:
        more = ", ..." if len(found) > MOST_NAMED else ""
        raise UserError(
            f"{root} is laid out in no way that is recognised, but in it {', '.join(found[:MOST_NAMED])}{more}; give"
            f" {'that' if len(found) == 1 else 'one of these'}"
        )
    raise UserError(
        f"{root} is laid out in no way that is recognised; `wsshm data layouts` says what each layout expects, so name one"
        " or rearrange the folder"
    )


def _fits(layout: Layout, root: Path) -> bool:
    try:
        return layout.fits(root)
    except UserError:  # of two folders where it expects one
        return False


def _fitting(root: Path) -> list[str]:
    """The names of the layouts that a folder fits; of general ones only if no other fits."""
    fitting = [layout for layout in LAYOUTS.entries() if _fits(layout, root)]
    return [layout.name for layout in fitting if not layout.general] or [layout.name for layout in fitting]
