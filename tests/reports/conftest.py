"""The simulated store, filled once for all tests that only read it."""

from __future__ import annotations

import pytest

from bench.store import Store
from tests.reports import simulated_store


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of `simulated_store`; not to be written to."""
    return simulated_store.fill(tmp_path_factory.mktemp("simulated") / "store")
