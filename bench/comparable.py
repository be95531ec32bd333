"""Which rows can share an axis or a mean although their protocol or version differs. Imports neither torch nor ray."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.store import KEYS
from bench.tables import last_of_each


def same_input(protocol: str, height: float, width: float) -> bool:
    """Whether a timing at `height` x `width` px is one of the input that `protocol` makes.

    `shortN` makes a picture's shorter side N px, so a timing's shorter side must be N; which aspect was timed is said
    beside it. `native` (pictures of any size) and the names of other people's protocols match no timing.

    >>> same_input("short128", 128, 192), same_input("short128", 512, 512), same_input("native", 512, 512)
    (True, False, False)
    """
    short_side = re.fullmatch(r"short(\d+)", protocol)
    return short_side is not None and min(height, width) == int(short_side[1])


# Versions of the measures that a newer one replaced, and the only columns in which the two differ.
SUPERSEDED = {
    "p3m-1": ("p3m-2", ("conn",)),
    "rvm-1": ("rvm-2", ("conn",)),
    "rvm-lr-1": ("rvm-lr-2", ("conn",)),
}


def merge_versions(*frames: pd.DataFrame) -> tuple[list[pd.DataFrame], list[str]]:
    """Frames of `scores` whose rows of a superseded version can be compared with those of the newer one, and notes.

    In data sets that have rows of both, in any of the frames, the older rows become rows of the newer version without
    the columns that changed: absent, so that no mean mixes the two. A run that has the newer row as well keeps that one.
    Data sets with rows of one version alone stay as they are. Needs the columns `dataset` and `metric_version`; the rest
    of the key counts as far as it is there.
    """
    frames_list, notes = list(frames), []
    for old, (new, changed) in SUPERSEDED.items():
        has = [(_holds(frame, old), _holds(frame, new)) for frame in frames_list]
        older, newer = (
            {
                name
                for frame, held in zip(frames_list, has, strict=True)
                for name in frame["dataset"][held[side]].unique()
            }
            for side in (0, 1)
        )
        both = older & newer
        if not both:
            continue
        rows = 0
        for place, (frame, (is_old, _)) in enumerate(zip(frames_list, has, strict=True)):
            moved = is_old & frame["dataset"].isin(both).to_numpy()
            if moved.any():
                present = [name for name in changed if name in frame.columns]
                rows += int(frame.loc[moved, present].notna().any(axis=1).sum())
                frames_list[place] = _moved(frame, moved, new, changed)
        if rows:
            names = " and ".join(column.capitalize() for column in changed)
            notes.append(
                f"{names} of {rows} scores of metric version {old} left out, because {new} computes it differently (the"
                " other measures are the same)."
            )
    return frames_list, notes


def _holds(frame: pd.DataFrame, version: str) -> NDArray[np.bool_]:
    return (frame["metric_version"] == version).to_numpy(dtype=bool)


def _moved(frame: pd.DataFrame, moved: NDArray[np.bool_], version: str, changed: tuple[str, ...]) -> pd.DataFrame:
    """The frame with the rows `moved` under another version, without `changed`, and none where it has a row already."""
    frame = frame.copy()
    versions = frame["metric_version"]
    if isinstance(versions.dtype, pd.CategoricalDtype) and version not in versions.cat.categories:
        frame["metric_version"] = versions.cat.add_categories([version])
    frame.loc[moved, "metric_version"] = version
    for column in set(changed) & set(frame.columns):
        frame.loc[moved, column] = np.nan
    kept = last_of_each(frame, [name for name in KEYS["scores"] if name in frame.columns], preferred=~moved)
    return frame if kept is None else frame[kept].reset_index(drop=True)
