"""Rows for runs that cannot write their own: stopped early by the scheduler, or dead with their process."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from bench import provenance
from sweeps.expand import label_of
from sweeps.place import Place
from sweeps.reporter import EPOCH
from sweeps.trial import configuration, curves, describe
from wsshm.config import RunConfig
from wsshm.data.sources import open_sources
from wsshm.errors import UserError, last_sentence
from wsshm.progress import ProgressFile
from wsshm.stages import StageFolder, addressed_stages, run_id_of
from wsshm.work import run_work

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
        self.started: dict[str, datetime] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial starts, or starts again."""
        self.started.setdefault(trial.trial_id, provenance.now())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial ended, or the scheduler ended it."""
        told = trial.last_result or {}
        self.mistakes |= bool(told.get("mistake"))
        if unfit := told.get("unfit"):
            if "drawn" in trial.config:
                log.warning("a draw is left out: %s", unfit)
                self.unfit.append(unfit)
            else:
                self._write(trial, {"status": "failed", "error": unfit})
        elif not told.get("over"):
            self._stopped(trial, told.get(EPOCH))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial's process died too often."""
        error = trial.get_error()
        self._write(trial, {"status": "failed", "error": f"its process died: {last_sentence(error or RuntimeError())}"})

    def _stopped(self, trial: Trial, epoch: int | None) -> None:
        config = self._configuration(trial)
        if config is None:
            return
        sources = open_sources(config.data)
        entries = addressed_stages(config, sources)
        reached = [_reached(StageFolder(self.place.stages, e.address), e.stage.name) for e in entries]
        known = [stage for stage in reached if stage]
        self.place.store.write("epochs", curves(run_id_of(config, sources), known))
        forward = known[-1]["teacher_forward_s"] if known else 0.0
        self._write(
            trial,
            {
                "status": "stopped",
                "error": f"stopped early after {epoch} epochs: others were better by then",
                "train_s": known[-1]["seconds"] - forward if known else 0.0,
                "teacher_s": sum(stage["seconds"] for stage in known[:-1]) + forward,
            },
        )

    def _write(self, trial: Trial, end: dict[str, Any]) -> None:
        config = self._configuration(trial)
        if config is None:
            return
        run_id, task = run_id_of(config, open_sources(config.data)), trial.config["run"]
        started = self.started.get(trial.trial_id, provenance.now())
        row = {"run_id": run_id, "plan": task["plan"], **describe(config), "started": started}
        self.place.store.write("runs", [row | {"finished": provenance.now()} | end])
        label = task.get("label") or label_of(config, task["keys"])
        ProgressFile(self.place.progress(run_id), run_work(config), label).end(end["status"])

    def _configuration(self, trial: Trial) -> RunConfig | None:
        try:
            return configuration(trial.config)
        except UserError as error:
            log.warning("a run came to nothing: %s", error)
            return None


def _reached(folder: StageFolder, name: str) -> dict[str, Any] | None:
    """How far a stage came: its result, or what its last training state says."""
    if folder.done:
        return folder.result()
    progress = folder.state_progress()
    return None if progress is None else {"stage": {"name": name}, **progress}
