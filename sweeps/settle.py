"""Rows for runs that cannot write their own: stopped early by the scheduler, or dead with their process."""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from bench import provenance
from sweeps.place import Place
from sweeps.reporter import EPOCH
from sweeps.trial import curves, describe, planned
from wsshm.errors import UserError
from wsshm.files.sealed import Damaged
from wsshm.training.progress import ProgressFile
from wsshm.training.run import explained
from wsshm.training.run_plan import RunPlan
from wsshm.training.stages import StageFolder
from wsshm.training.workload import run_work

log = logging.getLogger(__name__)


class Settled(tune.Callback):
    """Writes a run's row as soon as Tune is done with its trial, where the trial itself has not.

    So that a driver that dies later knows of it. `mistakes` says whether a run failed for what the user gave, `unfit`
    why draws came to no run.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.mistakes = False
        self.unfit: list[str] = []
        self.ended = 0
        self.started: dict[str, datetime] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial starts, or starts again."""
        self.started.setdefault(trial.trial_id, provenance.now())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial ended, or the scheduler ended it."""
        self.ended += 1
        told = trial.last_result or {}
        self.mistakes |= bool(told.get("mistake"))
        if unfit := told.get("unfit"):
            if "drawn" in trial.config:
                log.warning("skipping a draw: %s", unfit)
                self.unfit.append(unfit)
            else:
                self._write(trial, {"status": "failed", "error": unfit})
        elif not told.get("over"):
            self._stopped(trial, told.get(EPOCH))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial's process died too often."""
        self.ended += 1
        failure = explained(trial.get_error() or RuntimeError("no reason was given"))
        self._write(trial, {"status": failure.status, "error": f"its process died: {failure}"})

    def _stopped(self, trial: Trial, epoch: int | None) -> None:
        run = self._planned(trial)
        if run is None:
            return
        reached = [_reached(StageFolder(self.place.stages, e.address), e.stage.name) for e in run.stages]
        known = [stage for stage in reached if stage]
        self.place.store.write("epochs", curves(run.run_id, known))
        forward = known[-1]["teacher_forward_s"] if known else 0.0
        self._write(
            trial,
            {
                "status": "stopped",
                "error": f"stopped early after {epoch} epochs: other runs were better by then",
                "train_s": known[-1]["seconds"] - forward if known else 0.0,
                "teacher_s": sum(stage["seconds"] for stage in known[:-1]) + forward,
            },
        )

    def _write(self, trial: Trial, end: dict[str, Any]) -> None:
        run = self._planned(trial)
        if run is None:
            return
        started = self.started.get(trial.trial_id, provenance.now())
        row = {"plan": trial.config["run"]["plan"], **describe(run), "started": started}
        self.place.store.write("runs", [row | {"finished": provenance.now()} | end])
        ProgressFile(self.place.progress(run.run_id), run_work(run.config), run.label).end(end["status"])

    def _planned(self, trial: Trial) -> RunPlan | None:
        try:
            return planned(trial.config)
        except UserError as error:
            log.warning("a run has no result: %s", error)
            return None


def _reached(folder: StageFolder, name: str) -> dict[str, Any] | None:
    """How far a stage came: its result, or what its last training state says."""
    if folder.done:
        with contextlib.suppress(Damaged):  # then it has to be trained again
            return folder.result()
    progress = folder.state_progress()
    return None if progress is None else {"stage": {"name": name}, **progress}
