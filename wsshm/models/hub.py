"""Model folders on the Hugging Face hub, by huggingface_hub: `org/name` there is a folder here."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import ModelHubMixin, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from wsshm.errors import UserError, first_line
from wsshm.models.folder import HUB
from wsshm.models.weights import hub_answers


class HubFolder(ModelHubMixin):
    """A model's folder, as huggingface_hub saves and pushes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _save_pretrained(self, save_directory: Path) -> None:
        shutil.copytree(self.folder, save_directory, dirs_exist_ok=True)


def push(folder: Path, name: str) -> str:
    """Push all files of a folder to the hub's repository `name` (org/name), which is made if it is missing; its address.

    Raises UserError where no hub answers, for a name that it refuses, and without the right to write there.
    """
    check(f"--push-to-hub {name}")
    try:
        HubFolder(folder).push_to_hub(name)
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, ValueError) as error:
        raise UserError(
            f"the hub does not take {name} ({first_line(error)}); log in with `hf auth login`, and give ORG/NAME where you"
            " may write"
        ) from error
    return f"{constants.ENDPOINT}/{name}"


def fetched(name: str) -> Path:
    """The folder of `hf://org/name`, or `hf://org/name@revision`, fetched into huggingface_hub's cache.

    Raises UserError where no hub answers or it has no such model.
    """
    check(name)
    model, _, revision = name.removeprefix(HUB).partition("@")
    try:
        return Path(snapshot_download(model, revision=revision or None))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(
            f"the hub gives no model {name} ({first_line(error)}); check its name at {constants.ENDPOINT}"
        ) from error


def check(what: str) -> None:
    """Raise UserError, which begins with `what`, unless a hub answers."""
    if not hub_answers():
        raise UserError(
            f"{what}: no model hub answers at {constants.ENDPOINT}; connect to it, or set HF_ENDPOINT to a mirror of it"
        )
