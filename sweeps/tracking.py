"""Following runs live in TensorBoard, Weights & Biases or MLflow, by Ray's own callbacks, when a plan's `track` asks.

Each run appears there under its id, with its configuration by dotted keys (`method.blend.band`) and, for every epoch,
`epoch`, `train_loss`, `lr` and the errors on the validation set. Test results are not sent: they are in the store.

- `tensorboard`: event files in OUT/tensorboard/RUN_ID; open them by `tensorboard --logdir OUT/tensorboard`.
- `wandb`: the project WANDB_PROJECT_NAME, or one named after the plan; `wandb login` or WANDB_API_KEY first, or
  WANDB_MODE=offline, which leaves files in OUT/wandb/RUN_ID.
- `mlflow`: the server MLFLOW_TRACKING_URI, or OUT/mlflow.db; open that by `mlflow ui --backend-store-uri sqlite:///FILE`.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback

from reports.load import flatten
from sweeps.reporter import EPOCH
from sweeps.trial import planned
from sweeps.variation import NEVER_SHOWN, shown
from wsshm.config import RunConfig
from wsshm.errors import UserError
from wsshm.files.location import Location

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
COUNTER = "training_iteration"


def callbacks(names: Sequence[str], plan_name: str, out: Location) -> list[tune.Callback]:
    """Callbacks for Ray Tune's RunConfig that follow the runs in the named tools.

    Raises UserError, before anything starts, for a tool that is not installed or not set up.
    """
    for name in names:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise UserError(f"track asks for {name}, which is not installed; pip install {PACKAGES[name]}")
    make = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
    return [Followed(make[name](plan_name, out), out, name) for name in names]


class Followed(tune.Callback):
    """Hands Ray's callback each trial as what it is here: a run with an id, settings and errors by epoch.

    As Ray makes them, trials carry the settings nested in one value, and files would go where the sweep cleans up.
    """

    def __init__(self, logger: LoggerCallback, out: Location, name: str) -> None:
        self.logger, self.place = logger, out / name
        self.folder = self.place.local or Path(tempfile.mkdtemp(prefix=f"wsshm-{name}-"))
        if not self.place.local:
            atexit.register(self._clear)  # for an experiment that is interrupted
        self.views: dict[str, _Run] = {}

    def setup(
        self, stop: Any = None, num_samples: int | None = None, total_num_samples: int | None = None, **info: Any
    ) -> None:
        """Called once before the trials; opens the tool."""
        self.logger.setup(stop, num_samples, total_num_samples, **info)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A run begins."""
        self.logger.log_trial_start(self._view(trial))

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: dict, **info: Any) -> None:
        """A run's epoch is over; the report at its very end has no loss and is left out."""
        if "train_loss" in result:
            self.logger.log_trial_result(iteration, self._view(trial), tracked(result))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A run is over."""
        self._end(trial, failed=False)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A run died."""
        self._end(trial, failed=True)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """All runs are over; waits for what is still being sent."""
        self.logger.on_experiment_end(trials, **info)
        self._clear()

    def _clear(self) -> None:
        """Remove the copies of what has been uploaded, and forget the runs: another experiment may follow."""
        self.views.clear()
        if not self.place.local:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, trial: Trial, failed: bool) -> None:
        view = self._view(trial)
        self.logger.log_trial_end(view, failed=failed)
        if not self.place.local:
            (self.place / view.run_id).upload(Path(view.local_path))

    def _view(self, trial: Trial) -> Any:
        """The run as Ray's callbacks read a trial: always the same object for a trial, since they keep it as a key."""
        if trial.trial_id not in self.views:
            self.views[trial.trial_id] = _Run(trial, self.folder)
        return self.views[trial.trial_id]


class _Run:
    """A run, with a trial's attributes as far as Ray's callbacks read them."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self.trial_id, self.experiment_dir_name = trial.trial_id, folder.name
        try:
            run = planned(trial.config)
            self.run_id, self.config = run.run_id, settings(run.config)
        except UserError:  # a draw that cannot be: it ends without an epoch
            self.run_id, self.config = trial.trial_id, {}
        self.evaluated_params = self.config
        self.local_path = str(folder / self.run_id)
        self.init_local_path()

    def init_local_path(self) -> None:
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.run_id


def settings(config: RunConfig) -> dict[str, str | int | float | bool]:
    """A run's configuration by dotted key, as plain values; paths and worker counts are left out."""
    values = {key: v for key, v in flatten(config.model_dump(mode="json")).items() if key not in NEVER_SHOWN}
    return {
        key: v if isinstance(v, str | int | float | bool) else shown(v) if isinstance(v, dict) else str(v)
        for key, v in values.items()
    }


def tracked(result: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial's report what is shown: the epoch, the loss, the learning rate and the validation errors."""
    wanted = (COUNTER, EPOCH, "train_loss", "lr")
    return {key: value for key, value in result.items() if key in wanted or key.startswith("val_")}


def _tensorboard(plan_name: str, out: Location) -> LoggerCallback:
    from ray.tune.logger.tensorboardx import TBXLoggerCallback

    return TBXLoggerCallback()


def _wandb(plan_name: str, out: Location) -> LoggerCallback:
    from ray.air.integrations.wandb import WandbLoggerCallback, _set_api_key

    try:  # Ray asks for it only once trials run
        _set_api_key()
    except ValueError:
        raise UserError(
            "track asks for wandb, which is not logged in; run `wandb login`, set WANDB_API_KEY, or set"
            " WANDB_MODE=offline"
        ) from None
    return WandbLoggerCallback(project=os.environ.get("WANDB_PROJECT_NAME", plan_name), group=plan_name)


def _mlflow(plan_name: str, out: Location) -> LoggerCallback:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    address = os.environ.get("MLFLOW_TRACKING_URI")
    if address is None:
        if out.local is None:
            raise UserError(
                f"track asks for mlflow, which cannot keep its runs in {out}; set MLFLOW_TRACKING_URI to a server"
            )
        out.local.mkdir(parents=True, exist_ok=True)
        address = f"sqlite:///{out.local / 'mlflow.db'}"
    return MLflowLoggerCallback(tracking_uri=address, experiment_name=plan_name, tags={"plan": plan_name})
