"""Files of a stage that a crash, a bad disk or a hand has altered: found, said, and trained anew to the same numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wsshm import tiny
from wsshm.blended_labels.labels import LabelFolder
from wsshm.config import BlendConfig, RunConfig
from wsshm.data.sources import Sources, open_sources
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.files.sealed import Damaged, parsed, sealed
from wsshm.methods import stages_of
from wsshm.models.checkpoint import CARD, STATE, WEIGHTS, load_model
from wsshm.training import loop
from wsshm.training.distributed import World
from wsshm.training.run import train
from wsshm.training.stages import RESULT, StageFolder

ALONE = World(0, 1, torch.device("cpu"))
STATES = ("state-00000001", "state-00000002")
DOCUMENTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 5000,
    b'{"step": "x"}',
]
"""What stands in a JSON file's place: nothing, cut off, of another type, not UTF-8, nested, too large a number."""


class Made(NamedTuple):
    """A stage of three steps: killed after two of them, and undisturbed."""

    half: Path
    whole: Path
    config: RunConfig
    sources: Sources


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.set_num_threads(1)
    root = tiny.make(tmp_path_factory.mktemp("data"))
    config = tiny.config(root, "joint", steps=3, teacher_steps=1, epoch_steps=1, ema=0.5)
    made = Made(root / "half", root / "whole", config, open_sources(config.data))

    class Killed(Exception):
        pass

    def killed(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        go_on(made, made.half, killed)
    assert [state.name for state in StageFolder(made.half, "a").states()] == list(STATES)
    assert go_on(made, made.whole) == []
    return made


def go_on(made: Made, root: Path, on_epoch: Callable[[dict[str, float]], None] = lambda row: None) -> list[str]:
    """Train the stage under `root` to its end; what was said meanwhile."""
    said: list[str] = []
    loop.train_stage(
        stages_of(made.config)[0],
        made.config,
        made.sources,
        StageFolder(root, "a"),
        {},
        ALONE,
        lambda step: None,
        on_epoch,
        say=said.append,
    )
    return said


def copied(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def same_model(a: Path, b: Path) -> bool:
    one, other = (safetensors.torch.load_file(folder / "a" / "final" / WEIGHTS) for folder in (a, b))
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@st.composite
def alterations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Ways to alter a file: a few bits turned over, its end lost, or all of it zeros, as after a power cut."""
    way, where = draw(st.sampled_from(["flip", "cut", "zeros"])), draw(st.floats(0, 1, exclude_max=True))
    bit = draw(st.integers(0, 7))

    def altered(content: bytes) -> bytes:
        place = int(where * len(content))
        if way == "cut":
            return content[:place]
        if way == "zeros":
            return bytes(len(content))
        return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

    return altered


@settings(max_examples=6)
@given(st.sampled_from(STATES), st.sampled_from([WEIGHTS, STATE]), alterations())
def test_an_altered_checkpoint_trains_to_the_same_weights(
    made: Made, state: str, name: str, alter: Callable[[bytes], bytes]
) -> None:
    root = copied(made.half, made.half.with_name("altered"))
    file = root / "a" / state / name
    before = file.read_bytes()
    file.write_bytes(alter(before))
    said = go_on(made, root)
    assert same_model(root, made.whole)
    histories = [StageFolder(folder, "a").result()["history"] for folder in (root, made.whole)]
    assert histories[0] == histories[1]
    if state == STATES[0]:  # the older one is not asked for
        assert said == []
    elif name == WEIGHTS or not reads_the_same(before, file):
        assert [str(file) in note and "from the state before it" in note for note in said] == [True]


def reads_the_same(before: bytes, file: Path) -> bool:
    try:
        return json.loads(before) == json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False


def test_without_any_whole_checkpoint_a_stage_is_trained_from_its_beginning(made: Made) -> None:
    root = copied(made.half, made.half.with_name("none"))
    (root / "a" / STATES[0] / WEIGHTS).unlink()
    (root / "a" / STATES[1] / STATE).write_bytes(b"{}")
    said = go_on(made, root)
    assert [name in note for name, note in zip(reversed(STATES), said, strict=True)] == [True, True]
    assert same_model(root, made.whole)


@pytest.mark.parametrize(("key", "value"), [("step", "x"), ("step", -1), ("groups", "x"), ("history", {})])
@pytest.mark.parametrize("with_checksums", [True, False])
def test_a_state_that_says_the_impossible_is_passed_over(
    made: Made, key: str, value: object, with_checksums: bool
) -> None:
    """Written by a hand that made the checksums anew, or as the first release wrote it, which had none."""
    root = copied(made.half, made.half.with_name("impossible"))
    file = root / "a" / STATES[1] / STATE
    document = json.loads(file.read_text())
    del document["format_version"], document["sha256"]
    document[key] = value
    file.write_text(sealed(document, file.parent, (WEIGHTS,)) if with_checksums else json.dumps(document))
    said = go_on(made, root)
    assert [str(file) in note and key in note and "resumes from the state before it" in note for note in said] == [True]
    assert same_model(root, made.whole)


def test_a_checkpoint_of_another_network_is_not_taken(made: Made) -> None:
    """Without checksums, as the first release wrote it, and of another size: it does not fit, and nothing is half loaded."""
    root = copied(made.half, made.half.with_name("other"))
    file = root / "a" / STATES[1] / WEIGHTS
    tensors = safetensors.torch.load_file(file)
    document = json.loads((file.parent / STATE).read_text())
    del document["format_version"], document["sha256"]
    (file.parent / STATE).write_text(json.dumps(document))
    for key, value in (("optimiser.3.exp_avg", torch.zeros(7)), ("model.network.decoder.heads.bias", torch.zeros(7))):
        safetensors.torch.save_file(tensors | {key: value}, file)
        said = go_on(made, copied(root, root.with_name("again")))
        assert ["does not fit" in note for note in said] == [True]
        assert same_model(root.with_name("again"), made.whole)
    safetensors.torch.save_file(tensors, file)  # whole: it is gone on from
    assert go_on(made, root) == []
    assert same_model(root, made.whole)


@settings(max_examples=30)
@given(st.sampled_from([WEIGHTS, CARD, RESULT]), alterations())
def test_an_altered_model_is_noticed_by_all_who_read_it(made: Made, name: str, alter: Callable[[bytes], bytes]) -> None:
    root = copied(made.whole, made.whole.with_name("altered-model"))
    folder, file = StageFolder(root, "a"), root / "a" / "final" / name
    assert folder.damage() == ""
    before = file.read_bytes()
    file.write_bytes(alter(before))
    if name != WEIGHTS and reads_the_same(before, file):
        return
    assert str(file) in folder.damage()
    with pytest.raises(UserError, match=name):
        folder.result() if name == RESULT else load_model(file.parent)


@pytest.mark.parametrize("content", DOCUMENTS, ids=lambda content: str(content[:8]))
def test_documents_of_another_kind_are_a_sentence(made: Made, content: bytes) -> None:
    root = copied(made.whole, made.whole.with_name("documents"))
    folder = StageFolder(root, "a")
    for name in (CARD, RESULT):
        before = (root / "a" / "final" / name).read_bytes()
        (root / "a" / "final" / name).write_bytes(content)
        assert name in folder.damage()
        (root / "a" / "final" / name).write_bytes(before)
    with folder.new_state(7) as state:
        (state / STATE).write_bytes(content)
    assert folder.state_progress() is None
    with pytest.raises(Damaged, match=r"^here "):
        parsed(content, "here", dict[str, int])


def test_labels_whose_count_is_damaged_stay_and_are_no_other_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = LabelFolder(Location.of(tmp_path), BlendConfig())
    folder.add({"teacher": "a"}, 4, 10.0)
    assert folder.seconds_for(2) == 5.0
    for content in (*DOCUMENTS, b'{"pictures": "x"}'):
        if content == b'{"step": "x"}':  # a recipe of something else, and whole
            continue
        (tmp_path / "labels.json").write_bytes(content)
        assert folder.seconds_for(2) == 0.0
        with pytest.raises(
            UserError, match=r"labels.json .*, so what its labels were made from is not known; give another"
        ):
            folder.hold_against({"teacher": "a"})
    assert "the time that it took to make these labels is not known" in caplog.text
    folder.add({"teacher": "b"}, 1, 1.0)
    assert folder.recipe() == {"teacher": "b", "pictures": 1, "seconds": 1.0}


def test_a_run_trains_a_damaged_stage_anew_and_says_so(made: Made, tmp_path: Path) -> None:
    """Its teacher alone: the student was not trained on anything else."""
    run = tiny.planned(tiny.config(Path(str(made.config.data.root)), "mlb", steps=2, teacher_steps=1))
    first = train(run, tmp_path)
    teacher, student = (folder.final.local for folder in first.folders.values())
    assert teacher
    assert student
    expected = (teacher / WEIGHTS).read_bytes()
    kept = (student / WEIGHTS).stat()
    (teacher / WEIGHTS).write_bytes(expected[:-1])
    again = train(run, tmp_path, progress := Location.of(tmp_path / "progress.json"))
    assert again.trained_here == ["teacher"]
    assert (teacher / WEIGHTS).read_bytes() == expected
    assert (student / WEIGHTS).stat() == kept
    [note] = json.loads(progress.read_text())["notes"]
    assert f"{teacher / WEIGHTS} was altered after it was written" in note
    assert note.endswith("the stage 'teacher' is trained again")
