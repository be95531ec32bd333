"""Where a number comes from: device, versions, commit and time. Importing this module imports no torch."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from wsshm import plugins
from wsshm.cores import usable_cores

CHECKOUT = Path(__file__).resolve().parents[1]
DISTRIBUTIONS = {  # the first one installed counts
    "wsshm-bench": ("wsshm-bench",),
    "torch": ("torch",),
    "timm": ("timm",),
    "ray": ("ray",),
    "numpy": ("numpy",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
}


def now() -> datetime:
    """The time in UTC, as the store takes it."""
    return datetime.now(UTC)


def device_name(device: str = "cpu", threads: int | None = None) -> str:
    """The GPU's name for `cuda`; else the CPU's model and the number of threads, by default all it may use."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    count = threads or usable_cores()
    return f"{_cpu_model()}, {count} thread{'s' if count > 1 else ''}"


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    name = found[1] if found else platform.processor() or platform.machine() or "unknown CPU"
    return " ".join(name.split())


def versions() -> dict[str, str | None]:
    """Versions of what can change a number, from package metadata; None for what is not installed.

    Files that the user adds (`wsshm.plugins`) have a part of their checksum as version.
    """
    return _installed() | {f"plugin {name}": checksum for name, checksum in plugins.identities().items()}


@functools.cache
def _installed() -> dict[str, str | None]:
    found = {name: _first_installed(choices) for name, choices in DISTRIBUTIONS.items()}
    return {"python": platform.python_version(), **found, "cuda": _torch_cuda()}


def _first_installed(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _torch_cuda() -> str | None:
    """The CUDA version that torch was built for, read from its version file: importing torch takes seconds."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    try:
        text = Path(torch.origin).with_name("version.py").read_text()
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found[1] if found else None


def git_state(checkout: Path = CHECKOUT) -> tuple[str | None, bool | None]:
    """(commit, whether tracked files differ from it) of this suite; (None, None) where that cannot be known.

    WSSHM_GIT_COMMIT and WSSHM_GIT_DIRTY (1 or 0) count first: a container or a cluster's workers have no checkout.
    Otherwise git is asked, but only if the package lies in a checkout of its own: an installed package inside some
    other project's repository would take that project's commit.
    """
    commit = os.environ.get("WSSHM_GIT_COMMIT")
    if commit:
        dirty = os.environ.get("WSSHM_GIT_DIRTY")
        return commit, None if dirty is None else dirty.strip().lower() not in ("", "0", "false", "no")
    if not (checkout / ".git").exists():
        return None, None
    head = _git(checkout, "rev-parse", "--verify", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    if head is None or changes is None:
        return None, None
    return head, bool(changes)


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
