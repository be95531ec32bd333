"""Train one run: all its stages inside one `TorchTrainer.fit` of Ray Train, on one worker or many, or in this process."""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsshm.blended_labels.run import ensure_labels, label_folder
from wsshm.console import DISK_FULL
from wsshm.errors import UserError, first_line, last_sentence
from wsshm.files.location import Location
from wsshm.training.run_plan import AddressedStage, RunPlan
from wsshm.training.stages import StageFolder
from wsshm.training.worker import run_stages

if TYPE_CHECKING:
    from ray.train import UserCallback

MEMORY = re.compile(r"OutOfMemory|[Oo]ut of memory|running low on memory|can't allocate memory|Cannot allocate memory")
MEMORY_REMEDY = (
    "lower train.batch or data.size (base.train.batch, base.data.size of a plan), raise train.accumulate, or close other"
    " programs"
)
SHARED_REMEDY = "set train.loader_workers=0, or give the container more (--shm-size)"


class TrainingFailed(RuntimeError):
    """A run that did not finish. `status` is `failed` or `oom`; the message is one sentence.

    `mistake` says that what the user gave is at fault (a broken picture), not the machine or the training; `final`
    that trying again would come to the same; `address` is that of the stage that failed, if one did.
    """

    def __init__(self, message: str, status: str = "failed", mistake: bool = False, final: bool = False) -> None:
        super().__init__(message)
        self.status, self.mistake, self.final = status, mistake, final or mistake
        self.address: str | None = None


@dataclass(frozen=True)
class Trained:
    """A finished training: where each stage lies, and what is known of it.

    `stages` are results as in `StageFolder.result`, in order; `trained_here` says which of them this call trained
    (the others were found), `workers` and `gpu` on how many workers and which GPU, if any. `train_s` is the wall time
    of the last stage without its teacher's forward passes; `teacher_s` is theirs (or that of labels made ahead) and
    that of all stages before, even if an earlier or another run trained them.
    """

    folders: dict[str, StageFolder]
    stages: list[dict[str, Any]]
    trained_here: list[str]
    workers: int | None
    gpu: str | None
    train_s: float
    teacher_s: float

    @property
    def model(self) -> Path:
        """A local folder with the run's final model."""
        return list(self.folders.values())[-1].model()


def train(
    run: RunPlan,
    stages_root: Location | Path,
    progress_file: Location | None = None,
    *,
    scratch: Path | None = None,
    callbacks: Sequence[UserCallback] = (),
    invocation: str = "",
) -> Trained:
    """Train a run or find it trained, and return where its models lie.

    Finished stages are taken from `stages_root`, a half-trained one goes on from its checkpoint; one that another run
    trains is waited for, with nothing reserved meanwhile. `train.workers: 0` trains in this process, without a cluster.
    Labels that are made ahead (`blend.when: ahead`) are made by Ray Data between two fits, once their teacher is
    trained. `scratch` is a local folder for copies of models from an object store, `callbacks` are called by Ray Train
    at each epoch; a stage that a run of the same `invocation` of a sweep gave up is not tried again. Raises TrainingFailed.
    """
    root = Location.of(stages_root)
    if run.config.data.loading == "ray" and root.local is None and any(entry.labels for entry in run.stages):
        raise UserError(
            "with data.loading: ray every node reads labels made ahead (method.blend.when: ahead) where they lie, and"
            f" {root} is no folder; give one that all nodes see by --out, or take when: loop or data.loading: local"
        )
    folders = {entry.stage.name: StageFolder(root, entry.address, scratch) for entry in run.stages}
    training = _Training(run, root, folders, progress_file, list(callbacks), invocation)
    for entry in run.stages:
        if entry.labels and not training.finds(entry):
            teacher = run.named(entry.stage.teacher)
            training.ensure(run.stages[: run.stages.index(teacher) + 1])
            try:
                ensure_labels(entry, run, root, folders[teacher.stage.name].model())
            except UserError as error:
                raise explained(error) from error
    training.ensure(run.stages)
    results = [folder.result() for folder in folders.values()]
    ahead = [label_folder(entry, root) for entry in run.stages]
    labelling = sum(labels.seconds_for(run.masks) for labels in ahead if labels)
    return Trained(
        folders=folders,
        stages=results,
        trained_here=training.trained,
        workers=training.workers,
        gpu=training.gpu,
        train_s=results[-1]["seconds"] - results[-1]["teacher_forward_s"],
        teacher_s=sum(r["seconds"] for r in results[:-1]) + results[-1]["teacher_forward_s"] + labelling,
    )


@dataclass
class _Training:
    """A run's training; `trained`, `workers` and `gpu` say what it came to."""

    run: RunPlan
    root: Location
    folders: dict[str, StageFolder]
    progress_file: Location | None
    callbacks: list[UserCallback]
    invocation: str = ""
    trained: list[str] = field(default_factory=list)
    workers: int | None = None
    gpu: str | None = None
    whole: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def finds(self, entry: AddressedStage) -> bool:
        """Whether a stage is trained and not damaged."""
        folder = self.folders[entry.stage.name]
        if entry.address not in self.whole and folder.done and not folder.damage():
            self.whole.add(entry.address)
        return entry.address in self.whole

    def ensure(self, entries: Sequence[AddressedStage]) -> None:
        """Train what is missing of these stages, or wait for those who do.

        Claims are taken here, before anything is reserved. Who waits holds none, so that no two wait for each other.
        """
        while missing := [entry for entry in entries if not self.finds(entry)]:
            self._refuse_given_up(missing)
            with contextlib.ExitStack() as claims:
                mine = list(itertools.takewhile(lambda entry: self._claimed(entry, claims), missing))
                if mine := [entry for entry in mine if not self.finds(entry)]:
                    self._fit_while_it_progresses(mine)
                    self.whole |= {entry.address for entry in mine}
                    continue
            time.sleep(self.folders[missing[0].stage.name].claim.poll_s)

    def _refuse_given_up(self, entries: Sequence[AddressedStage]) -> None:
        for entry in entries if self.invocation else ():
            if why := self.folders[entry.stage.name].given_up(self.invocation):
                said = f"another run that shares its stage {entry.stage.name!r} could not train it: {why.error}"
                raise TrainingFailed(said, why.status, why.mistake, final=True)

    def _claimed(self, entry: AddressedStage, claims: contextlib.ExitStack) -> bool:
        folder = self.folders[entry.stage.name]
        if not folder.claim.try_take():
            return False
        claims.enter_context(folder.claim.held())
        if folder.done and (damage := folder.damage()):
            self.notes.append(f"{damage}; the stage {entry.stage.name!r} is trained again")
            folder.final.delete()
        return True

    def _fit_while_it_progresses(self, entries: Sequence[AddressedStage]) -> None:
        """Train these stages. `train.max_failures` counts lost workers since the last checkpoint, not in a run's whole life."""
        while True:
            before = self._reached(entries)
            try:
                self._fit(entries[-1].stage.name)
                return
            except TrainingFailed as failure:
                if failure.final or self._reached(entries) <= before:
                    failure.address = next((e.address for e in entries if not self.folders[e.stage.name].done), None)
                    raise

    def _reached(self, entries: Sequence[AddressedStage]) -> tuple[int, int]:
        """How many of these stages are done, and the steps of the others' checkpoints."""
        folders = [self.folders[entry.stage.name] for entry in entries]
        states = [folder.state_progress() for folder in folders if not folder.done]
        return sum(folder.done for folder in folders), sum(state["step"] for state in states if state)

    def _fit(self, until: str) -> None:
        """Train all missing stages up to `until`: inside one `TorchTrainer.fit`, or in this process."""
        task = {
            "run": self.run,
            "stages_root": str(self.root),
            "progress_file": str(self.progress_file) if self.progress_file else None,
            "until": until,
            "notes": self.notes,
        }
        try:
            if self.run.config.train.workers:
                from wsshm.training import ray_train

                outcome = ray_train.fit(self.run.config, task, self.callbacks)
            else:
                outcome = run_stages(task)
        except UserError:
            raise
        except Exception as error:
            raise explained(error) from error
        if outcome["error"]:
            raise TrainingFailed(outcome["error"], mistake=outcome["mistake"], final=True)
        self.trained += outcome["trained"]
        self.workers, self.gpu = outcome["workers"], outcome["gpu"]


def explained(error: BaseException) -> TrainingFailed:
    """Any error of a run, Ray's nested ones too, as one sentence and a status (`failed` or `oom`)."""
    if isinstance(error, TrainingFailed):
        return error
    failures = getattr(error, "worker_failures", None) or {}
    cause: BaseException = next(iter(failures.values()), error)
    cause = getattr(cause, "cause", None) or cause
    if isinstance(cause, UserError):
        return TrainingFailed(last_sentence(cause), mistake=True)
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return TrainingFailed(DISK_FULL.format(where=cause.filename or "a file"))
    if re.search(r"Bus error|insufficient shared memory", str(error)):
        return TrainingFailed(f"shared memory (/dev/shm) is too small for the loaders; {SHARED_REMEDY}", "oom")
    on_gpu = "CUDA" in str(error)
    if MEMORY.search(str(error)) or isinstance(cause, MemoryError):
        where = "the GPU has" if on_gpu else "the machine had"
        # A GPU's memory is as small the next time; a machine's was short because of what else ran on it.
        return TrainingFailed(f"{where} too little memory for the run; {MEMORY_REMEDY}", "oom", final=on_gpu)
    if "OOM killer" in str(error):  # Ray's guess at why a process is gone
        return TrainingFailed(
            f"a process of the run was killed, most likely for lack of memory; {MEMORY_REMEDY}", "oom"
        )
    if type(cause).__module__.startswith(("torch._dynamo", "torch._inductor")):
        why = f"{type(cause).__name__}: {first_line(cause)[:200]}"
        return TrainingFailed(
            f"torch.compile cannot compile the network here ({why}); set train.compile: false", final=True
        )
    return TrainingFailed(f"{type(cause).__name__}: {last_sentence(cause)}")
