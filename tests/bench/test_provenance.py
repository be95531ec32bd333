"""Provenance: package metadata without torch, and git only where it can be trusted."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC
from pathlib import Path

import numpy
import pytest

from bench import provenance


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WSSHM_GIT_COMMIT", raising=False)
    monkeypatch.delenv("WSSHM_GIT_DIRTY", raising=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    (tmp_path / "file.txt").write_text("one")
    git("init")
    git("add", "file.txt")
    git("commit", "-m", "first")
    return tmp_path


def test_versions_name_what_is_installed_and_need_no_torch() -> None:
    code = "import sys; from bench import provenance as p; p.versions(); p.device_name(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    found = provenance.versions()
    assert found["numpy"] == numpy.__version__
    assert {"python", "torch", "timm", "ray", "opencv", "cuda"} <= set(found)


def test_cuda_version_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert provenance.versions()["cuda"] == torch.version.cuda


def test_device_name_says_threads() -> None:
    assert provenance.device_name(threads=1).endswith(", 1 thread")
    assert provenance.device_name(threads=3).endswith(", 3 threads")
    assert provenance.now().tzinfo is UTC


def test_git_state_of_a_checkout(checkout: Path) -> None:
    commit, dirty = provenance.git_state(checkout)
    assert commit is not None
    assert len(commit) == 40
    assert dirty is False
    (checkout / "notes.txt").write_text("untracked")
    assert provenance.git_state(checkout) == (commit, False)
    (checkout / "file.txt").write_text("two")
    assert provenance.git_state(checkout) == (commit, True)


def test_a_package_inside_another_repository_has_no_commit(checkout: Path) -> None:
    inner = checkout / "venv" / "site-packages"
    inner.mkdir(parents=True)
    assert provenance.git_state(inner) == (None, None)


def test_no_git_and_no_commit_are_no_failure(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    subprocess.run(["git", "-C", str(empty), "init"], check=True, capture_output=True)
    assert provenance.git_state(empty) == (None, None)
    monkeypatch.setenv("PATH", str(empty))
    assert provenance.git_state(checkout) == (None, None)


def test_variables_count_first(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSHM_GIT_COMMIT", "abc")
    assert provenance.git_state(checkout) == ("abc", None)
    for text, dirty in (("1", True), ("true", True), ("0", False), ("False", False)):
        monkeypatch.setenv("WSSHM_GIT_DIRTY", text)
        assert provenance.git_state(checkout) == ("abc", dirty)
