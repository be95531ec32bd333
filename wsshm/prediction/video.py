"""Videos: decoded, matted with a memory of earlier frames, and encoded, all at the same time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wsshm.console import track
from wsshm.cores import usable_cores
from wsshm.data.pictures import write_png
from wsshm.files.whole import whole_folder, write_whole
from wsshm.prediction.films import Film, Frame, kind_of, new_film
from wsshm.prediction.forward import Float32
from wsshm.prediction.layers import Options, layers
from wsshm.prediction.matter import Matter
from wsshm.prediction.pipeline import in_order, made_ahead

AHEAD = 8  # frames decoded, and encoded, before or after the network is there


@dataclass(frozen=True)
class Done:
    """A video that was matted: frames, seconds it took, and a sentence about what could not be read, "" for nothing."""

    frames: int
    seconds: float
    problem: str


def outputs_of(base: Path, options: Options) -> dict[str, Path]:
    """{layer: file} of a video: `BASE_cutout.mov` and so on; of PNG frames {"frames": the folder BASE}."""
    if options.video == "frames":
        return {"frames": base}
    return {
        layer: base.with_name(f"{base.name}_{layer}{kind_of(layer, options.video).ending}")
        for layer in options.layers(film=True)
    }


def matte_video(matter: Matter, path: Path, base: Path, options: Options) -> Done:
    """Write the outputs of a video, whole or not at all; of one that is cut off or damaged what can be decoded.

    Every frame keeps its time. UserError for what is no video, where memory does not suffice, and for a model that
    answers with NaN.
    """
    targets = outputs_of(base, options)
    wanted = options.layers(film=options.video != "frames")
    begin = time.monotonic()
    with closing(Film(path)) as film:

        def made(pair: tuple[Frame, Float32]) -> tuple[Frame, dict[str, NDArray]]:
            frame, matte = pair
            return frame, layers(frame.image, matte, wanted, options)

        threads = usable_cores()
        with (
            closing(in_order(made, _matted(matter, film), threads, threads + AHEAD)) as finished,
            ExitStack() as stack,
        ):
            first = next(finished)
            sink = (_Frames if options.video == "frames" else _Films)(stack, targets, film, first, options)
            encoded = in_order(sink.write, chain([first], finished), 1, AHEAD)
            count = sum(1 for _ in track(encoded, film.count, f"matting {path.name}", unit="frames"))
        return Done(count, time.monotonic() - begin, film.problem)


def _matted(matter: Matter, film: Film) -> Iterator[tuple[Frame, Float32]]:
    waiting: deque[Frame] = deque()

    with closing(made_ahead(film.frames(), AHEAD)) as frames:

        def images() -> Iterator[NDArray[np.uint8]]:
            for frame in frames:
                waiting.append(frame)
                yield frame.image

        for answer in matter.stream(images()):
            yield waiting.popleft(), answer.matte


Made = tuple[Frame, dict[str, NDArray]]


class _Films:
    """Writes each layer as a film; the sound goes with the cut-out and the composite."""

    def __init__(self, stack: ExitStack, targets: dict[str, Path], film: Film, first: Made, options: Options) -> None:
        size = first[0].image.shape[:2]
        self.writers = {
            layer: stack.enter_context(
                new_film(target, kind_of(layer, options.video), film, size, sound=layer != "alpha")
            )
            for layer, target in targets.items()
        }

    def write(self, made: Made) -> None:
        frame, pixels = made
        for layer, writer in self.writers.items():
            writer.write(pixels[layer], frame)


class _Frames:
    """Writes PNGs into a folder, numbered from 1, and `times.csv`: when each is shown, in seconds."""

    def __init__(self, stack: ExitStack, targets: dict[str, Path], film: Film, first: Made, options: Options) -> None:
        self.folder = stack.enter_context(whole_folder(targets["frames"]))
        self.film, self.times = film, ["frame,seconds"]
        stack.callback(lambda: write_whole(self.folder / "times.csv", "\n".join([*self.times, ""])))

    def write(self, made: Made) -> None:
        frame, pixels = made
        number = f"{len(self.times):06d}"
        for layer, values in pixels.items():
            write_png(self.folder / f"{number}_{layer}.png", values)
        self.times.append(f"{number},{float(frame.time * self.film.time_base):.6f}")
