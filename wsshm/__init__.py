"""Weakly semi-supervised human matting with Matte Label Blending: data, models, blending, training of one model.

    import wsshm
    matter = wsshm.load("runs/one/model")
    matte = matter(image)  # H x W float32 in [0, 1], of an H x W x 3 uint8 array, a PIL image or a path

Importing this package imports neither torch nor ray; the modules below it do so where they need to.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsshm.prediction.matter import Matter

__version__ = "0.2.0"


def load(model: str | os.PathLike, **options: Any) -> Matter:
    """A trained model, ready to matte pictures; see `wsshm.prediction.matter.load` for the options."""
    from wsshm.prediction.matter import load as loaded

    return loaded(model, **options)
