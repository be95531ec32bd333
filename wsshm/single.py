"""Train one model outside any sweep: the command `wsshm train`."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from wsshm.checkpoint import CARD
from wsshm.config import RunConfig
from wsshm.errors import UserError
from wsshm.progress import Watched, Watcher
from wsshm.storage import Location, check_writable
from wsshm.train import TrainingFailed, checked_sources, resolved, train
from wsshm.work import run_work

log = logging.getLogger(__name__)


def train_single(config: RunConfig, out: Location) -> Location:
    """Train `config` with OUT/stages as its stages' place and copy the final model to OUT/model, which is returned.

    Raises UserError for what the user gave wrong, and where the training failed.
    """
    if out.is_file():
        raise UserError(f"--out {out} is a file; give a folder")
    config = resolved(config)
    checked_sources(config)
    check_writable(out, "--out")
    logging.getLogger("ray").setLevel(logging.WARNING)
    progress = out / "progress.json"
    with TemporaryDirectory(prefix="wsshm-") as scratch:
        try:
            with Watcher({"run": Watched(config.method.name, progress, run_work(config))}, "training"):
                trained = train(config, out / "stages", progress, scratch=Path(scratch))
        except TrainingFailed as error:
            raise UserError(f"the training failed: {error}") from error
        finally:
            progress.delete()
        with (out / "model").new_folder(last=CARD) as temporary:
            shutil.copytree(trained.model, temporary, dirs_exist_ok=True)
    return out / "model"
