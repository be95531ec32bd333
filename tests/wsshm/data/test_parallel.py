"""Work in threads: in order, only a little ahead, and never more at once than there is room for."""

from __future__ import annotations

import threading
import time

import pytest

from wsshm.data import parallel
from wsshm.data.parallel import AHEAD, Room, on_threads


def test_results_come_in_order_and_only_a_few_are_begun_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 3)
    begun: list[int] = []

    def do(item: int) -> int:
        begun.append(item)
        time.sleep(0.001 * (item % 3))
        return item * item

    for done, result in enumerate(on_threads(do, iter(range(50)))):
        assert result == done * done
        assert len(begun) <= done + 1 + AHEAD * 3
    assert sorted(begun) == list(range(50))


def test_the_first_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)
    begun: list[int] = []

    def do(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise ValueError("three")
        return item

    with pytest.raises(ValueError, match="three"):
        list(on_threads(do, range(1000)))
    assert len(begun) < 30


def test_no_more_is_under_way_than_there_is_room_for() -> None:
    room, lock, under_way, most = Room(10), threading.Lock(), [0], [0]

    def do(amount: int) -> None:
        with room.taken(amount):
            with lock:
                under_way[0] += amount
                most[0] = max(most[0], under_way[0])
            time.sleep(0.002)
            with lock:
                under_way[0] -= amount

    threads = [threading.Thread(target=do, args=(amount,)) for amount in [3, 4, 25, 6, 1, 9, 10, 2] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert most[0] == 25  # alone
    with room.taken(10):
        pass
