"""What holds for all tests."""

import atexit
import os
import shutil
import tempfile
from collections import Counter

import pytest
from hypothesis import settings

# A busy machine is no fault of what is tested, and what is fast is shown by benchmarks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Where each core has a process of tests, more threads in each only get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # "The cluster that runs on this machine" is the one in Ray's folder; each process has its own.
    if "RAY_TMPDIR" not in os.environ:
        os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix=f"ray-{worker}-", dir="/tmp")
        atexit.register(shutil.rmtree, os.environ["RAY_TMPDIR"], ignore_errors=True)


@pytest.hookimpl(trylast=True)  # after tests were deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start clusters first, then those of many tests: with `--no-loadscope-reorder` they are dealt out in this
    order, and what is left at the end is short enough to keep every process busy."""
    count = Counter(item.path for item in items)
    clusters = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: (item.path not in clusters, -count[item.path]))
