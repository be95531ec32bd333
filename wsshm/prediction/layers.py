"""What is written of a picture: its alpha, a cut-out with foreground colours, a composite on another background."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsshm.errors import UserError, nearest
from wsshm.prediction.foreground import FOREGROUNDS, Background, Float32, UInt8, composite, foreground_of

LAYERS = ("alpha", "cutout", "composite")
VIDEOS = ("prores", "webm", "frames")
ALPHA_BITS = (8, 16)


@dataclass(frozen=True)
class Options:
    """What is written, and how.

    `write`: layers, by default the alpha and the cut-out, and with a `background` the composite. `video`: ProRes 4444,
    WebM (VP9) or PNG frames. Raises UserError for a choice that cannot be.
    """

    write: tuple[str, ...] = ()
    alpha_bits: int = 8
    foreground: str = "multilevel"
    background: Background | None = None
    video: str = "prores"

    def __post_init__(self) -> None:
        for option, given, known in (
            ("--foreground", self.foreground, FOREGROUNDS),
            ("--video", self.video, VIDEOS),
            *(("--write", name, LAYERS) for name in self.write),
        ):
            if given not in known:
                raise UserError(f"{option} takes {', '.join(known)}, not {given!r}; {nearest(given, known)}")
        if self.alpha_bits not in ALPHA_BITS:
            raise UserError(f"--alpha takes 8 or 16 bits, not {self.alpha_bits}")
        if "composite" in self.write and not self.background:
            raise UserError("--write composite needs something to composite on; give --background COLOUR or a picture")
        if self.write and self.background and "composite" not in self.write:
            raise UserError("--background is for composites, which --write leaves out; write composite too")

    def layers(self, *, film: bool = False) -> tuple[str, ...]:
        """What is written of a photo or, with `film`, as films, whose cut-out holds the alpha already."""
        if self.write:
            return tuple(name for name in LAYERS if name in self.write)
        usual = ("cutout",) if film else ("alpha", "cutout")
        return (*usual, "composite") if self.background else usual


def layers(image: UInt8, matte: Float32, wanted: Collection[str], options: Options) -> dict[str, NDArray]:
    """Of a picture (H,W,3) and its matte (H,W) what is wanted: alpha (H,W) of 8 or 16 bits, RGBA, RGB of 8 bits."""
    made: dict[str, NDArray] = {}
    if "alpha" in wanted:
        made["alpha"] = quantised(matte, options.alpha_bits)
    if "cutout" in wanted or "composite" in wanted:
        foreground = foreground_of(image, matte, options.foreground)
        if "cutout" in wanted:
            made["cutout"] = np.dstack([foreground, quantised(matte, 8)])
        if "composite" in wanted and options.background:
            made["composite"] = composite(foreground, matte, options.background.at(*matte.shape))
    return made


def quantised(matte: Float32, bits: int) -> NDArray:
    """A matte in [0, 1] as whole numbers of 8 or 16 bits, rounded."""
    kind = np.uint8 if bits == 8 else np.uint16
    return np.rint(matte * np.iinfo(kind).max).astype(kind)
