"""What a model's path may point to: a model's folder, `wsshm train`'s OUT, or a sweep's OUT."""

from __future__ import annotations

import json
import os

from wsshm.errors import UserError
from wsshm.files.location import Location

CARD, PUBLISHED = "model.json", "config.json"
"""What a model is, beside its weights: in folders of ours, and in exported ones, as the Hugging Face hub calls it."""
HUB = "hf://"
PICKLES = ("pt", "pth", "ckpt", "pkl", "pickle", "bin", "tar")
BEST = "best.json"
"""In a sweep's OUT: the id of the run that was best on the validation set, written when the sweep ends."""


def model_folder(given: str | os.PathLike[str] | Location) -> Location:
    """The folder of the model that `given` means: it itself, OUT/model of `wsshm train`, or the best of a sweep's OUT.

    A text hf://ORG/NAME is a model of the Hugging Face hub, fetched into its cache. UserError, which says what to give,
    where it means none.
    """
    if isinstance(given, str) and given.startswith(HUB):
        from wsshm.models import hub  # only then: it imports torch

        given = hub.fetched(given)
    given = Location.of(given)
    if given.is_file():
        ending = given.name.rpartition(".")[2].lower()
        if ending in PICKLES:
            raise UserError(
                f"{given} is a pickle (.{ending}), which can run code when it is opened, so it is never read here; give a "
                f"model's folder, with model.safetensors and {CARD}"
            )
        raise UserError(f"{given} is a file; give the folder of a model, with model.safetensors and {CARD}")
    if (given / CARD).is_file() or (given / PUBLISHED).is_file():
        return given
    if (given / "model" / CARD).is_file():
        return given / "model"
    if (given / "plan.yaml").is_file():
        return _best(given)
    raise UserError(
        f"{given} holds no model ({CARD}); give a finished run's folder OUT/models/RUN_ID, OUT of `wsshm train`, or OUT"
        " of a sweep"
    )


def found_elsewhere(given: str, folder: Location) -> bool:
    """Whether `model_folder` found the model in another folder than the one that was given, which commands then say."""
    return given.startswith(HUB) or folder != Location.of(given)


def _best(out: Location) -> Location:
    remedy = f"give one of its models, {out}/models/RUN_ID (`wsshm sweep status {out}` lists the best)"
    try:
        run_id = json.loads((out / BEST).read_text())["run_id"]
        if not isinstance(run_id, str) or "/" in run_id:
            raise ValueError
    except FileNotFoundError:
        raise UserError(
            f"the sweep in {out} names no best model: it has not ended, or compares none; {remedy}"
        ) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f"{out / BEST} is damaged; {remedy}") from None
    folder = out / "models" / run_id
    if not (folder / CARD).is_file():
        raise UserError(f"the best model of the sweep in {out}, that of the run {run_id}, is gone; {remedy}")
    return folder
