"""Scores as dense matrices: the rows of one ground and network, and each measure's values by run and image.

Everything goes by the integer codes of categorical columns, so that millions of rows take a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.store import document
from reports.load import ELSEWHERE, GROUND, NETWORK, Frames

Matrix = NDArray[np.float64]
ABSENT = "unknown"  # stands for an absent value in a ground or network
NAMED = 5  # of runs that were not scored on all images: more are listed in one note


@dataclass(frozen=True)
class Part:
    """The scores of one ground and network.

    `rows` are their positions in `scores`; `runs` (positions in the categories of its `run_id`, in the order of
    writing) and `row_run` (each row's position in `runs`) say whose they are.
    """

    ground: dict[str, str]
    network: dict[str, str]
    scores: pd.DataFrame
    rows: NDArray[np.int64]
    runs: NDArray[np.int64]
    row_run: NDArray[np.int64]

    @cached_property
    def run_ids(self) -> list[str]:
        return list(self.scores["run_id"].cat.categories[self.runs])

    @property
    def external(self) -> bool:
        """Whether these are predictions or models of others."""
        return self.run_ids[0].startswith(ELSEWHERE)

    def presence(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which run was scored on which image (runs, images), and these images' codes."""
        codes = self._codes("image")
        images, column = np.unique(codes, return_inverse=True)
        seen = np.zeros((len(self.runs), len(images)), dtype=bool)
        seen[self.row_run, column] = True
        return seen, images

    def matrix(self, column: str, region: str, images: NDArray[np.int64], scale: float = 1.0) -> Matrix:
        """Values of `column` in `region`, times `scale`: (runs, images), NaN if missing."""
        values = np.full((len(self.runs), len(images)), np.nan)
        at, rows = self._places(region, images)
        values.reshape(-1)[at] = self.scores[column].to_numpy()[rows] * scale
        return values

    def _places(self, region: str, images: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Where the scores of a region stand: in a matrix (runs, images) laid out row by row, and in `scores`.

        Kept, as every measure of the region asks for them.
        """
        key = region, images.tobytes()
        if key not in self._known_places:
            regions = self.scores["region"].cat.categories
            place = np.full(len(self.scores["image"].cat.categories) + 1, -1, dtype=np.int64)
            place[images] = np.arange(len(images))
            wanted = self._codes("region") == (regions.get_loc(region) if region in regions else len(regions))
            rows = self.rows[wanted]
            at = place[self.scores["image"].cat.codes.to_numpy()[rows]]
            seen = at >= 0
            flat = self.row_run[wanted][seen] * len(images) + at[seen]
            self._known_places[key] = flat.astype(np.int32), rows[seen].astype(np.int32)
        return self._known_places[key]

    @cached_property
    def _known_places(self) -> dict[tuple[str, bytes], tuple[NDArray[np.int32], NDArray[np.int32]]]:
        return {}

    def _codes(self, column: str) -> NDArray[np.int64]:
        return self.scores[column].cat.codes.to_numpy()[self.rows]


def parts(frames: Frames) -> list[Part]:
    """The scores by ground and network; grounds, and networks within each, with most runs first.

    Of test sets with as many runs the photos that the runs' masks are of come first, then the others as the plan lists
    them: see `sets_tested`.
    """
    scores = frames.scores
    if scores.empty:
        return []
    keys = [*GROUND, *NETWORK]
    group = _groups(scores, keys)
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.diff(group[order], prepend=-1))
    found = [_part(scores, keys, rows) for rows in np.split(order, bounds[1:])]
    owners: dict[tuple[str, ...], set[int]] = {}
    for part in found:
        owners.setdefault(tuple(part.ground.values()), set()).update(part.runs.tolist())

    listed = {name: place for place, name in enumerate(sets_tested(frames.runs))}

    def rank(part: Part) -> tuple:
        ground, network = tuple(part.ground.values()), tuple(part.network.values())
        place = listed.get(part.ground["dataset"], len(listed))
        return -len(owners[ground]), place, ground, -len(part.runs), network

    return sorted(found, key=rank)


def sets_tested(runs: pd.DataFrame) -> list[str]:
    """The test sets that the runs' configurations name: photos of one's own, then the others in the plan's order.

    A set is of one's own photos if it is the manifest that the runs' masks or their validation photos come from too. No
    score says of which domain its picture is, and no name of a set does.
    """
    once = runs[~runs["external"]].drop_duplicates(["plan", "data_fingerprint"])
    own: dict[str, None] = {}
    others: dict[str, None] = {}
    for text in once["config"]:
        data = document(text).get("data")
        if not isinstance(data, dict) or not isinstance(data.get("test"), list):
            continue
        for name in filter(lambda name: isinstance(name, str), data["test"]):
            (own if name in (data.get("masks"), data.get("val")) else others)[name] = None
    return list(own | others)


def _groups(scores: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    """A number for every combination of values in `columns`, absent ones too."""
    group, width = np.zeros(len(scores), dtype=np.int64), 1
    for column in columns:
        count = len(scores[column].cat.categories) + 1
        if count == 1 or (count == 2 and not scores[column].hasnans):
            continue  # the same for all
        group = group * count + scores[column].cat.codes.to_numpy() + 1
        width *= count
        if width > 2**31:
            group, seen = pd.factorize(group)
            width = len(seen)
    return group


def _part(scores: pd.DataFrame, keys: list[str], rows: NDArray[np.int64]) -> Part:
    first = scores[keys].iloc[rows[0]]
    names = {key: str(first[key]) if pd.notna(first[key]) else ABSENT for key in keys}
    codes = scores["run_id"].cat.codes.to_numpy()[rows]
    row_run, runs = pd.factorize(codes)
    ground, network = ({key: names[key] for key in own} for own in (GROUND, NETWORK))
    return Part(ground, network, scores, rows, runs.astype(np.int64), row_run)


@dataclass(frozen=True)
class Grid:
    """Runs that were all scored on the same `images` (their `codes` in the scores).

    `pieces` are parts of one frame of scores, and which of their runs are taken.
    """

    pieces: list[tuple[Part, NDArray[np.int64]]]
    codes: NDArray[np.int64]
    images: list[str]

    @cached_property
    def run_ids(self) -> list[str]:
        return [part.run_ids[position] for part, taken in self.pieces for position in taken]

    def matrix(self, column: str, region: str, scale: float = 1.0) -> Matrix:
        """As `Part.matrix`, of all these runs in the order of `run_ids`."""
        return np.vstack([part.matrix(column, region, self.codes, scale)[taken] for part, taken in self.pieces])

    def beside(self, other: Part) -> Grid:
        """The same and those runs of `other` that were scored on all its images."""
        seen, codes = other.presence()
        place = pd.Index(codes).get_indexer(self.codes)
        fit = np.flatnonzero((place >= 0).all() & seen[:, place].all(axis=1))
        return Grid([*self.pieces, (other, fit)], self.codes, self.images) if len(fit) else self


def grid(part: Part, without: Collection[str], notes: list[str]) -> Grid:
    """The runs of a part but `without`, on the images that most of them share.

    Runs that lack some of these are left out, and named in `notes`.
    """
    seen, codes = part.presence()
    taken = np.flatnonzero([run_id not in without for run_id in part.run_ids])
    names = part.scores["image"].cat.categories[codes]
    images = _most_common(seen[taken], names)
    missing = (~seen[taken][:, images]).sum(axis=1)
    lacking = [(part.run_ids[run], count) for run, count in zip(taken, missing, strict=True) if count]
    notes += [
        f"Run {run_id} is left out: it was not scored on {count} of {images.sum()} images."
        for run_id, count in lacking[:NAMED]
    ]
    if len(lacking) > NAMED:
        rest = ", ".join(run_id for run_id, _ in lacking[NAMED:])
        notes.append(f"{len(lacking) - NAMED} further runs are left out for images without a score: {rest}.")
    if extra := int((seen[taken].any(axis=0) & ~images).sum()):
        notes.append(f"{extra} images that most runs were not scored on are left out.")
    order = np.argsort(names[images])
    return Grid([(part, taken[missing == 0])], codes[images][order], list(names[images][order]))


def _most_common(seen: NDArray[np.bool_], names: pd.Index) -> NDArray[np.bool_]:
    """The set of images that most runs have, as a mask over `names`; of two the larger, then the later by name."""
    counts = Counter(row.tobytes() for row in seen)
    masks = {text: np.frombuffer(text, dtype=bool) for text in counts}
    return masks[max(counts, key=lambda text: (counts[text], int(masks[text].sum()), sorted(names[masks[text]])))]
