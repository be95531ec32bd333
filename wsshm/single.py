"""Train one model outside any sweep: the command `wsshm train`."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from wsshm.checkpoint import whole_folder
from wsshm.config import RunConfig
from wsshm.errors import UserError
from wsshm.progress import Watched, Watcher
from wsshm.train import TrainingFailed, checked_sources, resolved, train
from wsshm.work import run_work

log = logging.getLogger(__name__)


def train_single(config: RunConfig, out: Path) -> Path:
    """Train `config` with OUT/stages as its stages' place and copy the final model to OUT/model, which is returned.

    Raises UserError for what the user gave wrong, and where the training failed.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    config = resolved(config)
    checked_sources(config)
    logging.getLogger("ray").setLevel(logging.WARNING)
    progress = out / "progress.json"
    try:
        with Watcher({"run": Watched(config.method.name, progress, run_work(config))}, "training"):
            trained = train(config, out / "stages", progress)
    except TrainingFailed as error:
        raise UserError(f"the training failed: {error}") from error
    finally:
        progress.unlink(missing_ok=True)
    with whole_folder(out / "model") as temporary:
        shutil.copytree(trained.model, temporary, dirs_exist_ok=True)
    return out / "model"
