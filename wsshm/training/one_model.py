"""Train one model outside any sweep: the command `wsshm train`."""

from __future__ import annotations

import contextlib
import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from wsshm.config import RunConfig
from wsshm.data.gate import check_data
from wsshm.documents import mapping
from wsshm.errors import UserError, redacted
from wsshm.files.location import Location, check_writable
from wsshm.keys import first_difference
from wsshm.models.card import trained_by, write_page
from wsshm.models.checkpoint import CARD
from wsshm.training.planning import plan_run, resolved
from wsshm.training.progress import Watched, Watcher
from wsshm.training.run import TrainingFailed, train
from wsshm.training.workload import run_work

RUN = "run.yaml"
"""Beside a model of `wsshm train`: the configuration that it was trained by."""
log = logging.getLogger(__name__)


def train_single(config: RunConfig, out: Location) -> Location:
    """Train `config` with OUT/stages as its stages' place and copy the final model to OUT/model, which is returned.

    A model of another configuration that is there is replaced, which is said before anything is trained. Raises UserError
    for what the user gave wrong, and where the training failed.
    """
    if out.exists() and not out.is_folder():
        raise UserError(f"--out {out} is not a folder; give another path")
    if config.train.workers:  # without any, Ray is not even imported
        from wsshm.ray_cluster import check_named

        check_named()
    run = plan_run(resolved(config))
    check_data(run.config.data, run.sources)
    check_writable(out, "--out")
    written = redacted(yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False))
    _say_what_is_replaced(out, yaml.safe_load(written))
    logging.getLogger("ray").setLevel(logging.WARNING)
    progress = out / "progress.json"
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        try:
            with Watcher({"run": Watched(config.method.name, progress, run_work(config))}, "training"):
                trained = train(run, out / "stages", progress, scratch=Path(scratch))
        except TrainingFailed as error:
            raise UserError(f"the training failed: {error}") from error
        finally:
            progress.delete()
        with (out / "model").new_folder(last=CARD) as temporary:
            shutil.copytree(trained.model, temporary, dirs_exist_ok=True)
            (temporary / RUN).write_text(written)
            known = trained_by(run.config, run.run_id, run.mattes, run.masks_by_grade)
            write_page(temporary, known)
    return out / "model"


def _say_what_is_replaced(out: Location, config: dict[str, Any]) -> None:
    """Log how the configuration of the model in OUT differs, if there is one that does."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, UserError):  # no model, or nobody's knowing of what
        before = mapping((out / "model" / RUN).read_bytes(), RUN)
        if found := first_difference(before, config):
            key, there, here = found
            log.warning(
                "%s is of another configuration (its %s is %r, this one's is %r) and will be replaced; its stages stay in %s",
                *(out / "model", key, there, here, out / "stages"),
            )
