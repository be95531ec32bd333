"""What the writer processes of test_store.py run; apart from it, so that they need not import pytest."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier, Event

from bench.store import Store


def rows_of(writer: int, batch: int, count: int) -> list[dict[str, object]]:
    return [
        {"run_id": f"run-{writer}", "stage": "student", "epoch": batch, "key": f"k{row}", "value": writer + row / 7}
        for row in range(count)
    ]


def write_batches(store: Store, writer: int, batches: int, count: int, start: Barrier) -> None:
    start.wait()
    for batch in range(batches):
        store.write("epochs", rows_of(writer, batch, count))


def write_until_killed(store: Store, count: int, begun: Event) -> None:
    for batch in range(10**6):
        store.write("epochs", rows_of(0, batch, count))
        begun.set()
