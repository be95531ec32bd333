"""Other people's predictions, scored by the field's measures: files paired by stem, read, resized and measured.

A label without a prediction, a prediction without a label and a broken file are counted and the rest is scored; a
file that decodes into something that is not a matte ends the run, see `alpha_files`. Images are scored by threads: decoding
and the measures' kernels both release Python's lock.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.alpha_files import (
    FULL,
    NPY,
    Alpha,
    BrokenFile,
    find_files,
    natural,
    read_alpha,
    read_bytes,
    read_mask,
    read_orientation,
    read_size,
    read_trimap,
)
from bench.store import EXTERNAL
from wsshm.console import track
from wsshm.data.pictures import SUFFIXES
from wsshm.errors import UserError, printable
from wsshm.measures import REGIONS
from wsshm.metrics import RegionScores, exact_levels, score, score_mask
from wsshm.metrics.kernels.compiled import kept
from wsshm.metrics.scores import summed_image
from wsshm.metrics.sequence import dtssd

log = logging.getLogger(__name__)
READ = SUFFIXES | {NPY}
AHEAD = 4  # pairs handed to the pool per worker; only those at work hold decoded images
STEP = 1 / 255  # of an 8-bit file
ONLY_CLIP = ""
OURS = "_alpha"  # `wsshm predict` writes STEM_alpha.png beside STEM_cutout.png
Key = tuple[str | None, str]  # clip, stem

Status = Literal["ok", "missing", "extra", "broken"]


@dataclass(frozen=True)
class Request:
    """What is scored, and how.

    `suffix` ends the names of all predictions and is no part of the name that they pair by. `classes` are those of a
    label's indices that are the person, where labels are masks.
    """

    predictions: Path
    labels: Path
    trimaps: Path | None = None
    convention: str = "p3m"
    masks: bool = False
    sequences: bool = False
    workers: int = 1
    suffix: str = ""
    classes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Pair:
    """One image's files. `problem` says why it cannot be scored, where that is known before reading.

    `clip` is the sequence that it is a frame of.
    """

    image: str
    prediction: Path | None
    label: Path | None
    trimap: Path | None = None
    clip: str | None = None
    status: Status = "ok"
    problem: str = ""


@dataclass(frozen=True)
class Scored:
    """What became of one pair: `problem` is the kind of trouble, `reason` names the file.

    Sizes are (width, height) in pixels. `flat`: the prediction holds whole numbers, none above 1; `faint`: it holds
    something, but nowhere half of the range; `binary`: the label holds two values. Each may be a mask. `copied`:
    prediction and label are the same bytes. `turned_alone`: their orientation tags differ, or one has none.
    """

    pair: Pair
    status: Status
    problem: str
    reason: str = ""
    digest: str = ""
    scores: tuple[RegionScores, ...] = ()
    size: tuple[int, int] | None = None
    prediction_size: tuple[int, int] | None = None
    depth: str | None = None
    flat: bool = False
    faint: bool = False
    binary: bool = False
    copied: bool = False
    turned_alone: bool = False

    @property
    def resized(self) -> bool:
        return self.prediction_size != self.size

    def region(self, name: str) -> RegionScores | None:
        return next((scores for scores in self.scores if scores.region == name), None)


def suffixed(request: Request) -> Request:
    """The request with the suffix that `wsshm predict` gives, where files pair by it and none pairs without it."""
    if request.suffix:
        return request
    labels = _listed(request.labels, "labels", READ, request.sequences).keys()
    folder, sequences = request.predictions, request.sequences
    if labels & _listed(folder, "predictions", READ, sequences).keys():
        return request
    try:
        ours = _listed(folder, "predictions", READ, sequences, OURS).keys()
    except UserError:  # none ends so
        return request
    return replace(request, suffix=OURS) if labels & ours else request


def pair_up(request: Request) -> list[Pair]:
    """Every label, prediction and trimap by its stem, in natural order, by clips for sequences.

    Raises UserError for a folder that is missing or empty, two files of one stem, and no stem in common.
    """
    predictions = _listed(request.predictions, "predictions", READ, request.sequences, request.suffix)
    labels = _listed(request.labels, "labels", READ, request.sequences)
    trimaps = _listed(request.trimaps, "trimaps", SUFFIXES, request.sequences) if request.trimaps else None
    _check_common("prediction", predictions, request.predictions, labels, request)
    if request.trimaps and trimaps is not None:
        _check_common("trimap", trimaps, request.trimaps, labels, request)
    every = labels.keys() | predictions.keys() | (trimaps or {}).keys()
    pairs = []
    for clip, stem in sorted(every, key=lambda key: (natural(key[0] or ""), natural(key[1]))):
        key = (clip, stem)
        prediction, label, trimap = predictions.get(key), labels.get(key), (trimaps or {}).get(key)
        status: Status = "ok"
        problem = ""
        if label is None:
            status, problem = "extra", "prediction without a label" if prediction else "trimap without a label"
        elif prediction is None:
            status, problem = "missing", "label without a prediction"
        elif trimaps is not None and trimap is None:
            status, problem = "missing", "label without a trimap"
        image = stem if clip is None else f"{clip or request.labels.resolve().name}/{stem}"
        pairs.append(Pair(printable(image), prediction, label, trimap, clip, status, problem))
    return pairs


def refuse_resizing(pairs: list[Pair]) -> None:
    """UserError naming the first prediction of another size than its label, and how many there are."""
    first, count = "", 0
    for pair in pairs:
        if pair.status == "ok" and pair.prediction and pair.label:
            size, wanted = read_size(pair.prediction), read_size(pair.label)
            if size and wanted and size != wanted:
                first = first or f"{pair.prediction} is {_by(size)} but its label is {_by(wanted)}"
                count += 1
    if count:
        more = f", as are {count - 1} more of other sizes" if count > 1 else ""
        raise UserError(f"{first}{more}; leave out --strict-size to have them resized")


def score_pairs(pairs: list[Pair], request: Request) -> list[Scored]:
    """Score every pair that can be, in their order, whatever the number of workers.

    Raises UserError for the first pair with a file that is not a matte, or whose trimap is of another size.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the parallelism is over images
    if not request.masks:
        if not kept():
            log.info("compiling the measures, once: some ten seconds")
        nothing = np.zeros((1, 1), np.float32)
        summed_image(
            nothing, nothing, None, request.convention, set(REGIONS), threads=1
        )  # or it would spoil the time left
    try:
        return list(track(_in_order(pairs, request), len(pairs), "scoring"))
    finally:
        cv2.setNumThreads(threads)


def predictions_id(scored: list[Scored]) -> str:
    """`external-` and a hash over the names and contents of all predictions that have a label."""
    whole = hashlib.sha256()
    for image, digest in sorted((one.pair.image, one.digest) for one in scored if one.digest):
        whole.update(f"{image}\0{digest}\n".encode())
    return f"{EXTERNAL}{whole.hexdigest()[:16]}"


def aspect_differs(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether no scale takes one (width, height) to the other within a pixel of rounding on each side."""
    (low, high), (least, most) = (((a - 1) / b, (a + 1) / b) for a, b in zip(size, other, strict=True))
    return high < least or most < low


@dataclass(frozen=True)
class _Images:
    """A pair's decoded images, all HxW of the label's size, and the prediction as its file holds it."""

    matte: NDArray[np.floating]
    label: NDArray[np.floating]
    trimap: NDArray[np.uint8] | None
    prediction: Alpha


class _Reading:
    """A pair's images, read by the thread that asks first: in a clip the next frame needs them too."""

    def __init__(self, pair: Pair, request: Request) -> None:
        self._pair, self._request = pair, request
        self._lock = threading.Lock()
        self._images: _Images | None = None

    def images(self) -> _Images:
        with self._lock:
            if self._images is None:
                self._images = _read(self._pair, self._request)
            return self._images


def _listed(folder: Path, role: str, endings: frozenset[str], sequences: bool, suffix: str = "") -> dict[Key, Path]:
    """Files by (clip, stem). A folder of sequences holds one folder per clip, or is itself the only clip."""
    if not sequences or not folder.is_dir():
        return {(None, stem): path for stem, path in find_files(folder, role, endings, suffix).items()}
    clips = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not clips:
        return {(ONLY_CLIP, stem): path for stem, path in find_files(folder, role, endings, suffix).items()}
    loose = [p.name for p in folder.iterdir() if p.suffix.lower() in endings and not p.name.startswith(".")]
    if loose:
        raise UserError(
            f"{folder} holds both clips (such as {clips[0].name}) and frames (such as {min(loose)}); "
            "give a folder of clips, or one clip"
        )
    return {
        (normalize("NFC", clip.name), stem): path
        for clip in clips
        for stem, path in find_files(clip, role, endings, suffix).items()
    }


def _check_common(role: str, files: dict[Key, Path], folder: Path, labels: dict[Key, Path], request: Request) -> None:
    if not files.keys() & labels.keys():
        ours, theirs = next(iter(files.values())), next(iter(labels.values()))
        raise UserError(
            f"no {role} in {folder} has the name of a label in {request.labels} (for example "
            f"{ours.relative_to(folder)} and {theirs.relative_to(request.labels)}); files pair by their names without "
            f"the ending{'' if role == 'trimap' else ', and --suffix names what else prediction names end in'}"
        )


def _in_order(pairs: list[Pair], request: Request) -> Iterator[Scored]:
    waiting: deque[Future[Scored]] = deque()
    pool = ThreadPoolExecutor(request.workers)
    try:
        before: Pair | None = None  # the label before this one
        reading: _Reading | None = None
        for pair in pairs:
            own = _Reading(pair, request) if pair.status == "ok" else None
            follows = before is not None and pair.clip is not None and pair.clip == before.clip
            waiting.append(pool.submit(_settle, pair, request, own, reading if follows else None))
            if pair.label is not None:
                before, reading = pair, own
            if len(waiting) >= AHEAD * request.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # after a mistake or Ctrl-C only the images under way are finished


def _settle(pair: Pair, request: Request, reading: _Reading | None, previous: _Reading | None) -> Scored:
    """One pair's scores, or what is wrong with it. `previous` is the frame before it in its clip."""
    digest = ""
    try:
        digest = _digest(pair)
        if reading is None:
            return Scored(pair, pair.status, pair.problem, pair.problem, digest)
        images = reading.images()
        assert pair.prediction is not None
        assert pair.label is not None
        copied = hashlib.sha256(read_bytes(pair.label)).hexdigest() == digest
        turned_alone = read_orientation(pair.prediction) != read_orientation(pair.label)
    except BrokenFile as broken:
        role = {pair.prediction: "prediction", pair.label: "label", pair.trimap: "trimap"}[broken.path]
        return Scored(pair, "broken", f"broken {role}", str(broken), digest)
    label, prediction = images.label, images.prediction
    if request.masks:
        scores = [score_mask(images.matte, label)]
    else:
        matte, exact = exact_levels(images.matte), exact_levels(label)
        try:
            scores = score(matte, exact, images.trimap, convention=request.convention, threads=1)
        except UserError as error:  # of a measure that was added from outside
            raise UserError(f"{error} (of the image {pair.image})") from error
    if previous is not None and not request.masks:
        temporal = _temporal_error(pair, images, previous, request.convention)
        scores = [replace(one, dtssd=temporal) if one.region == "whole" else one for one in scores]
    return Scored(
        pair,
        "ok",
        "",
        digest=digest,
        scores=tuple(scores),
        size=(label.shape[1], label.shape[0]),
        prediction_size=(prediction.values.shape[1], prediction.values.shape[0]),
        depth=prediction.depth,
        flat=prediction.depth in FULL and 0 < prediction.values.max() < 1.5 / FULL[prediction.depth],
        faint=bool(0 < prediction.values.max() < 0.5),
        binary=not request.masks and _binary(label),
        copied=copied,
        turned_alone=turned_alone,
    )


def _read(pair: Pair, request: Request) -> _Images:
    assert pair.prediction is not None
    assert pair.label is not None
    prediction = read_alpha(pair.prediction)
    label = read_mask(pair.label, request.classes) if request.masks else read_alpha(pair.label).values
    trimap = read_trimap(pair.trimap) if pair.trimap else None
    if trimap is not None and trimap.shape != label.shape:
        raise UserError(
            f"the trimap {pair.trimap} is {_by(trimap.shape[::-1])} but its label is {_by(label.shape[::-1])}; give "
            "the label's own trimap, or move the label away to score the rest"
        )
    return _Images(_resized(prediction.values, label.shape), label, trimap, prediction)


def _resized(matte: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """`matte` at (height, width) `shape`: averaged where it is larger on both sides, else interpolated."""
    if matte.shape == shape:
        return matte
    height, width = shape
    shrinks = matte.shape[0] >= height and matte.shape[1] >= width
    resized = cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.clip(resized, 0, 1)


def _temporal_error(pair: Pair, images: _Images, previous: _Reading, convention: str) -> float | None:
    try:
        before = previous.images()
    except BrokenFile:
        return None
    if before.label.shape != images.label.shape:
        raise UserError(
            f"the label {pair.label} is {_by(images.label.shape[::-1])} but that of the frame before it "
            f"{_by(before.label.shape[::-1])}; the frames of a clip must have one size"
        )
    return dtssd(images.matte, before.matte, images.label, before.label, convention)


def _binary(label: NDArray[np.floating]) -> bool:
    high = label.max()
    return bool((high in (0, 1) or high < 1.5 * STEP) and ((label == 0) | (label == high)).all())


def _digest(pair: Pair) -> str:
    """Of a prediction that has a label; what no label asks for has no part in the run's id."""
    if pair.prediction is None or pair.label is None:
        return ""
    return hashlib.sha256(read_bytes(pair.prediction)).hexdigest()


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
