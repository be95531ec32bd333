"""Claims on a stage: one trainer at a time, and none lost with its owner."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from wsshm.stages import STALE_S, StageFolder

CLAIM = """
import sys
from pathlib import Path
from wsshm.stages import StageFolder
sys.stdout.write(str(StageFolder(Path(sys.argv[1]), "a").try_claim()))
sys.stdout.flush()
sys.stdin.read()
"""


def claimant(root: Path) -> subprocess.Popen:
    """A process that asks for the claim and then lives until its stdin closes."""
    command = [sys.executable, "-c", CLAIM, str(root)]
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
    folder = StageFolder(tmp_path, "a")
    assert not folder.try_claim()
    process.kill()
    process.wait()
    assert folder.try_claim()
    assert json.loads(folder.claim_file.read_text())["pid"] == os.getpid()


def test_a_claim_from_another_host_goes_stale(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, "a")
    folder.path.mkdir()
    folder.claim_file.write_text(json.dumps({"host": "elsewhere" + socket.gethostname(), "pid": 1}))
    assert not folder.try_claim()
    old = time.time() - STALE_S - 1
    os.utime(folder.claim_file, (old, old))
    assert folder.try_claim()


def test_a_claim_that_was_taken_over_is_not_given_up_by_its_old_owner(tmp_path: Path) -> None:
    slow, fast = StageFolder(tmp_path, "a"), StageFolder(tmp_path, "a")
    assert slow.try_claim()
    fast.claim = "the new owner's"
    fast.claim_file.write_text(fast.claim)
    slow.release()
    assert fast.claim_file.read_text() == fast.claim
    fast.release()
    assert not fast.claim_file.exists()


def test_a_live_claim_is_put_back_by_a_process_that_judged_too_late(tmp_path: Path) -> None:
    """Two processes judge the same claim dead; the second acts after the first has already made its own."""
    winner, late = StageFolder(tmp_path, "a"), StageFolder(tmp_path, "a")
    assert winner.try_claim()
    assert not late._bury("the text of the claim that both judged dead")
    assert winner.claim_file.read_text() == winner.claim
    assert [p.name for p in tmp_path.glob("a/*")] == ["claim.json"]


def test_a_held_claim_is_given_up_at_the_end(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, "a")
    assert folder.try_claim()
    with folder.held():
        assert not StageFolder(tmp_path, "a").try_claim()
    assert not folder.claim_file.exists()
