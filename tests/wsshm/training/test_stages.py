"""Claims on a stage: one trainer at a time, and none lost with its owner."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsshm.files import claims
from wsshm.files.claims import Claim
from wsshm.files.location import Location

CLAIM = """
import sys
from wsshm.files.claims import Claim
from wsshm.files.location import Location
sys.stdout.write(str(Claim(Location.of(sys.argv[1])).try_take()))
sys.stdout.flush()
sys.stdin.read()
"""


def claim_in(root: Path) -> Claim:
    """The claim that the tests are about."""
    return Claim(Location.of(root) / "a" / "claim.json")


def claimant(root: Path) -> subprocess.Popen:
    """A process that asks for the claim and then lives until its stdin closes."""
    command = [sys.executable, "-c", CLAIM, str(root / "a" / "claim.json")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_one_of_several_processes_gets_the_claim(tmp_path: Path) -> None:
    processes = [claimant(tmp_path) for _ in range(4)]
    answers = []
    for process in processes:
        assert process.stdout is not None
        answers.append(process.stdout.read(4).strip("e"))
    for process in processes:
        process.communicate("")
    assert sorted(answers) == ["Fals", "Fals", "Fals", "Tru"]


def test_a_dead_owners_claim_is_taken_over(tmp_path: Path) -> None:
    process = claimant(tmp_path)
    assert process.stdout is not None
    assert process.stdout.read(4) == "True"
    claim = claim_in(tmp_path)
    assert not claim.try_take()
    assert (claim.owner() or {})["pid"] == process.pid
    process.kill()
    time.sleep(0.2)
    assert claim.try_take()  # though its parent, this process, has not looked after it yet
    process.wait()
    assert (claim.owner() or {})["pid"] == os.getpid()


@pytest.mark.parametrize("owner", [{"host": "elsewhere", "pid": 1}, {"host": socket.gethostname(), "pid": 1}])
def test_a_claim_from_elsewhere_goes_stale(tmp_path: Path, owner: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another host, or in another container of this one, whose process numbers are its own."""
    monkeypatch.setattr(claims, "STALE_S", 0.6)
    claim = claim_in(tmp_path)
    file = Path(claim.place.path)
    file.parent.mkdir()
    file.write_text(json.dumps(owner | {"processes": "pid:[1]"}))
    ahead = time.time() - 120  # by a clock that is two minutes behind this one
    os.utime(file, (ahead, ahead))
    assert not claim.try_take()
    time.sleep(0.4)
    os.utime(file, (ahead + 5, ahead + 5))  # a sign of life
    assert not claim.try_take()
    time.sleep(0.4)
    assert not claim.try_take()
    time.sleep(0.4)
    assert claim.try_take()


def test_a_number_given_to_another_process_is_not_its_owner(tmp_path: Path) -> None:
    claim = claim_in(tmp_path)
    assert claim.try_take()
    owner = json.loads(claim.place.read_text())
    claim.place.write_text(json.dumps(owner | {"began": "1"}))
    assert claim.owner() is None
    assert claim_in(tmp_path).try_take()


def test_a_claim_that_was_taken_over_is_not_given_up_by_its_old_owner(tmp_path: Path) -> None:
    slow, fast = claim_in(tmp_path), claim_in(tmp_path)
    assert slow.try_take()
    fast.text = "the new owner's"
    fast.place.write_text(fast.text)
    slow.release()
    assert fast.place.read_text() == fast.text
    fast.text = "the new owner's"
    fast.release()
    assert not fast.place.exists()


def test_a_live_claim_is_left_by_a_process_that_judged_too_late(tmp_path: Path) -> None:
    """Two processes judge the same claim dead; the second acts after the first has already made its own."""
    winner, late = claim_in(tmp_path), claim_in(tmp_path)
    assert winner.try_take()
    assert not late._bury(Path(late.place.path))
    assert winner.place.read_text() == winner.text
    assert [p.name for p in tmp_path.glob("a/*")] == ["claim.json"]


def test_a_lost_claim_is_not_kept_fresh(tmp_path: Path) -> None:
    slow, fast = claim_in(tmp_path), claim_in(tmp_path)
    assert slow.try_take()
    fast.place.write_text("the new owner's")
    os.utime(fast.place.path, (1, 1))
    slow._renew()
    assert fast.place.modified() == 1


def test_a_held_claim_is_given_up_at_the_end(tmp_path: Path) -> None:
    claim = claim_in(tmp_path)
    assert claim.try_take()
    with claim.held():
        assert not claim_in(tmp_path).try_take()
    assert not claim.place.exists()
