"""What tells Ray Tune of a run's epochs. Ray Train's controller imports this module, which therefore stays light."""

from __future__ import annotations

from typing import Any

from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.trainable.trainable_fn_utils import _in_tune_session

EPOCH = "epoch"
"""Our own count of a run's epochs: Tune's `training_iteration` restarts with a process."""


class EpochReporter(TuneReportCallback):
    """Passes the first worker's report of an epoch on to Tune, if runs may be compared by it.

    A teacher's epochs may not: of runs that share it only one trains it, and would be judged alone.
    """

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Called by Ray Train's controller when all workers have reported."""
        if metrics[0].get("compares"):
            super().after_report(run_context, metrics, checkpoint)


def ended_by_tune() -> bool:
    """Whether Tune has ended the trial that this process is in: an error that comes of it is none of the run's."""
    return not _in_tune_session()
