"""Where Ray Train's processes enter. This module stays light: the controller imports it too, and needs neither torch
nor timm, whose import takes a core for ten seconds."""

from __future__ import annotations

from typing import Any


def work(task: dict) -> Any:
    """Run a worker; see `wsshm.training.worker.run_stages`."""
    from wsshm.training.worker import run_stages

    return run_stages(task)
