"""Folders go to the hub, and come from it, by huggingface_hub; without a hub that is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wsshm.errors import UserError
from wsshm.models import hub


class FakeApi:
    """What huggingface_hub's mixin asks of its API to push a folder."""

    pushed: dict[str, dict[str, bytes]] = {}  # noqa: RUF012

    def __init__(self, **options: Any) -> None:
        pass

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        if repo_id == "not-mine/model":
            raise ValueError("403 Forbidden")
        return type("Repository", (), {"repo_id": repo_id})

    def upload_folder(self, *, repo_id: str, folder_path: Path, **options: Any) -> None:
        files = {file.name: file.read_bytes() for file in Path(folder_path).iterdir()}
        self.pushed[repo_id] = files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("model.safetensors", "config.json", "README.md"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def _a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda: True)
    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", FakeApi)


@pytest.mark.usefixtures("_a_hub")
def test_every_file_of_a_folder_is_pushed(folder: Path) -> None:
    address = hub.push(folder, "us/model")
    assert address.endswith("/us/model")
    assert FakeApi.pushed["us/model"] == {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.usefixtures("_a_hub")
def test_a_hub_that_refuses_is_quoted(folder: Path) -> None:
    with pytest.raises(UserError, match=r"does not take not-mine/model \(403 Forbidden\); log in with `hf auth login`"):
        hub.push(folder, "not-mine/model")


@pytest.mark.usefixtures("_a_hub")
def test_a_folder_of_the_hub_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(model: str, revision: str | None) -> str:
        asked.append((model, revision))
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert hub.fetched("hf://us/model@v1") == hub.fetched("hf://us/model") == folder
    assert asked == [("us/model", "v1"), ("us/model", None)]


def test_without_a_hub_nothing_is_tried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hub_answers", lambda: False)
    with pytest.raises(UserError, match=r"^--push-to-hub us/model: no model hub answers at https://"):
        hub.push(folder, "us/model")
    with pytest.raises(UserError, match=r"^hf://us/model: no model hub answers"):
        hub.fetched("hf://us/model")
