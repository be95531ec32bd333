"""Which runs of a sweep begin first: who trains what others need, then who needs nothing of others, then who waits."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sweeps.expand import expand
from sweeps.order import in_order, shared_first
from tests.sweeps import made_up
from tests.wsshm import tiny
from wsshm.files.location import Location
from wsshm.training.stages import RESULT, StageFolder

# A run's last stage is its own, those before are taken from few; a stage's name says what it builds on.
CHAINS = st.lists(st.lists(st.sampled_from("ab"), max_size=3), max_size=12)


def runs_of(chains: list[list[str]]) -> list[list[tuple[str, float]]]:
    shared = [["".join(chain[: n + 1]) for n in range(len(chain))] for chain in chains]
    return [[(name, 1.0) for name in [*names, f"own{number}"]] for number, names in enumerate(shared)]


@given(CHAINS)
def test_every_run_begins_once_and_nobody_waits_before_one_who_need_not(chains: list[list[str]]) -> None:
    runs = runs_of(chains)
    order = shared_first(runs)
    assert sorted(order) == list(range(len(runs)))
    trained: set[str] = set()
    waits = []
    for position in order:
        names = {name for name, _ in runs[position]}
        waits.append(bool(names & trained))
        trained |= names
    assert waits == sorted(waits), "who needs a stage of a run before it begins after all who need none"


@given(CHAINS)
def test_who_trains_for_others_begins_first(chains: list[list[str]]) -> None:
    runs = runs_of(chains)
    users = {name: sum(name in dict(run) for run in runs) for run in runs for name, _ in run}
    trained: set[str] = set()
    needed_by = []
    for position in shared_first(runs):
        names = {name for name, _ in runs[position]}
        if names & trained:
            break
        trained |= names
        needed_by.append(max(users[name] for name in names))
    assert needed_by == sorted(needed_by, reverse=True)


def test_eight_students_over_one_teacher_and_four_runs_beside_them() -> None:
    students = [[("teacher", 10.0), (f"student{n}", 5.0)] for n in range(8)]
    alone = [[(f"alone{n}", 15.0)] for n in range(4)]
    assert shared_first(students + alone) == [0, 8, 9, 10, 11, *range(1, 8)]


def test_who_waits_less_begins_earlier() -> None:
    long = [[("long", 9.0), (f"a{n}", 1.0)] for n in range(2)]
    short = [[("short", 2.0), (f"b{n}", 1.0)] for n in range(2)]
    assert shared_first(long + short) == [0, 2, 3, 1]


def test_a_teacher_that_is_there_is_waited_for_by_nobody(tmp_path: Path) -> None:
    base = tiny.config(tiny.make(tmp_path / "data"), workers=1).model_dump(mode="json")
    plan = made_up.plan_of(base=base, space={"method.blend.band": [0.02, 0.04]}, seeds=[0, 1])
    runs, stages = expand(plan), Location.of(tmp_path / "stages")
    assert [run.config.train.seed for run in runs] == [0, 1, 0, 1]
    assert in_order(runs, stages) == runs
    result = StageFolder(stages, runs[1].stages[0].address).final / RESULT
    result.write_text("{}")
    assert in_order(runs, stages) == [runs[n] for n in (0, 1, 3, 2)]


def test_labels_made_ahead_are_shared_as_stages_are(tmp_path: Path) -> None:
    base = tiny.config(tiny.make(tmp_path / "data"), workers=1).model_dump(mode="json")
    plan = made_up.plan_of(
        base=base,
        seeds=[0],
        space={"method.blend.band": [0.02, 0.04], "method.blend.when": ["ahead"], "method.matte_share": [None, 0.5]},
    )
    runs, stages = expand(plan), Location.of(tmp_path / "stages")
    (StageFolder(stages, runs[0].stages[0].address).final / RESULT).write_text("{}")  # the teacher of all
    assert len({run.stages[1].labels for run in runs}) == 2
    assert in_order(runs, stages) == [runs[n] for n in (0, 2, 1, 3)]
