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
lists it. This module imports neither OpenCV nor Arrow, so that helps can name the layouts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsshm.registry import Registry

if TYPE_CHECKING:
    from wsshm.data.manifest import Sample


def _not_known(root: Path) -> bool:
    return False


@dataclass(frozen=True)
class Layout:
    """A way in which a data set lies on disk.

    `gives` names its samples in a phrase; `expects` says in a phrase, or by a small tree in lines, what must lie in the
    folder ROOT. `read(root, split, domain)` lists the samples, their files relative to `root`, without sizes and hashes,
    which `importing.import_layout` fills in; it raises UserError for a folder that it cannot read. `fits(root)`: whether
    the folder is laid out so beyond doubt; who then names a layout that cannot read it, or loose pictures, is told.
    `terms` says of a published data set where it is obtained and under what terms.
    """

    name: str
    gives: str
    expects: str
    read: Callable[[Path, str, str | None], list[Sample]]
    fits: Callable[[Path], bool] = _not_known
    terms: str = ""


LAYOUTS: Registry[Layout] = Registry("layout", __name__, helpers=("folders",))
register = LAYOUTS.register


def better_named(root: Path, name: str) -> str:
    """A clause for an error: the layouts to name in place of `name` that the folder fits; "" if `name` or none fits."""
    fitting = [layout.name for layout in LAYOUTS.entries() if layout.fits(root)]
    if not fitting or name in fitting:
        return ""
    return f"; it is laid out as {' or '.join(fitting)}, so name that in place of {name}"
