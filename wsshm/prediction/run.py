"""The work of `wsshm predict`: everything that was named, what is there already left as it is, the rest matted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsshm.errors import UserError
from wsshm.prediction import photos, video
from wsshm.prediction.forward import ModelFailed
from wsshm.prediction.inputs import Input, check_no_input_is_overwritten, plan_outputs
from wsshm.prediction.layers import Options
from wsshm.prediction.matter import Matter
from wsshm.prediction.record import Record, digest


@dataclass
class Summary:
    """How many photos and videos were asked for and are there, how many of them from a run before, and what failed."""

    asked: dict[str, int]
    kept: int = 0
    failures: dict[Path, str] = field(default_factory=dict)
    undone: dict[str, int] = field(default_factory=lambda: {"photo": 0, "video": 0})

    def fails(self, one: Input, problem: str) -> None:
        """Note an input of which nothing was written."""
        self.failures[one.path] = problem
        self.undone[one.kind] += 1

    def line(self) -> str:
        """`3 of 4 pictures matted`, and so on."""
        words = {"photo": ("picture", "pictures"), "video": ("video", "videos")}
        parts = []
        for kind, count in self.asked.items():
            if count:
                parts.append(f"{count - self.undone[kind]} of {count} {words[kind][1]}")
        if in_part := len(self.failures) - sum(self.undone.values()):
            parts[-1] += f" ({in_part} in part)"
        kept = f" ({self.kept} of them before, kept; --overwrite makes them again)" if self.kept else ""
        return f"{', '.join(parts)} matted{kept}"


def targets_of(inputs: Sequence[Input], out: Path, options: Options) -> dict[Input, tuple[Path, list[Path]]]:
    """{input: (how its outputs' names begin, the outputs)}; UserError for those that collide."""
    planned = {}
    for one, base in plan_outputs(inputs, out).items():
        room = video if one.kind == "video" else photos
        planned[one] = base, list(room.outputs_of(base, options).values())
    check_no_input_is_overwritten(inputs, (target for _, targets in planned.values() for target in targets))
    return planned


def predict_inputs(
    matter: Matter,
    inputs: Sequence[Input],
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Summary:
    """Matte photos and videos into `out`, but for what a run before it made of the same files in the same way.

    What cannot be matted is among the summary's failures, and the rest is done. `say` is told how fast each video was.
    Raises UserError where memory does not suffice, and for a model that answers with NaN.
    """
    planned = targets_of(inputs, out, options)
    made_by = _made_by(matter, options)
    summary = Summary({kind: sum(one.kind == kind for one in inputs) for kind in ("photo", "video")})
    record = Record(out)
    todo = []
    for one, (base, targets) in planned.items():
        entry = None if overwrite else record.kept(one, base, made_by, targets)
        if entry is None:
            todo.append(one)
            continue
        summary.kept += 1
        if entry.problem:
            summary.failures[one.path] = entry.problem
    try:
        new = [photos.Photo(one, planned[one][0]) for one in todo if one.kind == "photo"]
        for photo in photos.matte_photos(matter, new, options) if new else ():
            if photo.problem:
                summary.fails(photo.input, photo.problem)
            else:
                record.add(photo.input, photo.base, made_by, planned[photo.input][1])
        for one in todo:
            if one.kind == "video":
                base, targets = planned[one]
                try:
                    done = video.matte_video(matter, one.path, base, options)
                except ModelFailed:
                    raise
                except UserError as error:
                    summary.fails(one, str(error))
                    continue
                record.add(one, base, made_by, targets, done.problem)
                if done.problem:
                    summary.failures[one.path] = done.problem
                say(
                    f"{one.path.name}: {done.frames} frames in {done.seconds:.1f} s, {done.frames / done.seconds:.1f} frames/s"
                )
    finally:
        record.save()
    return summary


def _made_by(matter: Matter, options: Options) -> str:
    """A digest of all that changes what is written, which is neither the device nor the batch."""
    return digest(
        model=matter.digest(),
        protocol=matter.protocol,
        precision=matter.forward.precision,
        engine=matter.forward.engine,
        tile=matter.tile,
        options=options,
        background=options.background and options.background.digest(),
    )
