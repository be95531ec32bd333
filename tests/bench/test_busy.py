"""A busy machine is noticed by what the kernel says, and its timings are marked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench import busy
from bench.busy import Moment, disturbance

START = Moment(10.0, 5.0, {"1": 1.0, "2": 0.5})


def after(wall: float, cpu: float, **waited: float) -> Moment:
    """The moment so many seconds later; `waited` by thread t1, t2, ..."""
    assert START.waited is not None
    more = {name[1:]: START.waited.get(name[1:], 0.0) + seconds for name, seconds in waited.items()}
    return Moment(START.wall + wall, START.cpu + cpu, more)


@pytest.mark.parametrize(
    ("end", "numbers"),
    [
        (after(5, 10, t1=0.1, t2=0.2), None),  # two threads that computed all the time
        (after(5, 5, t1=0.5), None),
        (after(5, 5, t1=0.6), ["5.0 s of wall", "computed for 5.0 s", "waited 0.6 s", "11%"]),
        (after(5, 5, t1=0.2, t2=4.8), ["computed for 5.0 s", "waited 5.0 s", "50%"]),  # one of two threads
        (after(5, 9, t1=0.0, t2=0.0, t3=3.0), ["waited 3.0 s", "25%"]),  # a thread that began meanwhile
        (after(152, 17, t1=135), ["152.0 s of wall", "17.0 s", "waited 135.0 s", "89%"]),
        (after(152, 17, t1=0), ["17.0 s of CPU time in 152.0 s of wall"]),  # limited processors: nobody waits
        (after(5, 5), None),  # every thread of before has ended
    ],
)
def test_waiting_for_a_processor_is_named_with_its_numbers(end: Moment, numbers: list[str] | None) -> None:
    said = disturbance(START, end, on_cpu=True)
    if numbers is None:
        assert said is None
    else:
        assert said is not None
        assert "the machine was busy" in said
        assert [number for number in numbers if number not in said] == []


def test_where_the_kernel_does_not_tell_cpu_time_is_compared_with_wall_time() -> None:
    start = START._replace(waited=None)
    assert disturbance(start, after(10, 8.1)._replace(waited=None), on_cpu=True) is None
    said = disturbance(start, after(10, 7.9)._replace(waited=None), on_cpu=True)
    assert said is not None
    assert "7.9 s of CPU time in 10.0 s of wall time" in said


def test_beside_a_gpu_a_sleeping_thread_is_no_sign_of_a_busy_machine() -> None:
    assert disturbance(START, after(10, 1, t1=0.05), on_cpu=False) is None
    assert disturbance(START, after(10, 1, t1=1), on_cpu=False) is not None


@pytest.mark.skipif(not busy.TASKS.exists() or not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_two_processes_on_one_processor_wait_for_each_other() -> None:
    """A process that spins shares its one processor with another: both wait about half of the time."""
    code = (
        "import os, time; from bench.busy import *; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "before = Moment.now(); end = before.wall + 1.0\n"
        "while time.perf_counter() < end: pass\n"
        "print(disturbance(before, Moment.now(), True))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in "ab"]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert any("the machine was busy" in one for one in said), said
