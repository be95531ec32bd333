"""Configuration: closed, and every fault one sentence that names the key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsshm.config import RunConfig, override, parse
from wsshm.documents import load_document
from wsshm.errors import UserError


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"train": {"bacth": 8}}, ["'train.bacth'", "'batch'"]),
        ({"method": {"name": "mbl"}}, ["method.name = 'mbl'", "'mlb'"]),
        ({"method": {"blend": {"variant": "gate"}}}, ["method.blend.variant", "'gated'"]),
        ({"train": {"lr": -1}}, ["train.lr = -1", "greater than 0"]),
        ({"train": {"steps": "many"}}, ["train.steps = 'many'", "integer"]),
        ({"data": {"size": 100}}, ["data.size", "multiple of 64"]),
        ({"train": {"steps": 10, "teacher_steps": 10}}, ["teacher_steps (10)", "smaller than train.steps (10)"]),
        (
            {"train": {"batch": 7, "workers": 4, "accumulate": 2}},
            ["batch (7) must be at least workers x accumulate (4 x 2)"],
        ),
        ({"train": {"batch": 3, "workers": [1, 4]}}, ["batch (3)", "(4 x 1)"]),
        ({"train": {"workers": [4, 2]}}, ["workers [4, 2] must be [fewest, most]"]),
        ({"train": {"accelerator": "A100"}}, ["accelerator A100 is a GPU's type; set gpus_per_worker as well"]),
        ({"train": {"workers": [1, 2], "max_failures": 0}}, ["elastic workers need max_failures of at least 1"]),
        ({"train": {"workers": 2, "gpus_per_worker": 0.5}}, ["two workers of one run cannot share one"]),
        ({"trian": {}}, ["'trian'", "'train'"]),
    ],
)
def test_a_mistake_is_one_sentence(document: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse(document)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_defaults_are_a_valid_run() -> None:
    assert parse({}) == RunConfig()


def test_overrides_are_yaml_and_leave_the_document_alone() -> None:
    document = {"train": {"steps": 1}}
    changed = override(
        document, ["train.steps=800", "method.blend.feather=0.5", "model.backbone_kwargs={drop_rate: 0.1}"]
    )
    assert document == {"train": {"steps": 1}}
    assert changed["train"]["steps"] == 800
    assert changed["method"]["blend"]["feather"] == 0.5
    assert changed["model"]["backbone_kwargs"] == {"drop_rate": 0.1}


@pytest.mark.parametrize("assignment", ["train.steps", "=3", "train.steps.more=3", "train.lr={"])
def test_a_malformed_override_is_named(assignment: str) -> None:
    with pytest.raises(UserError, match=r"set"):
        override({"train": {"steps": 1}}, [assignment])


def test_files_that_are_no_mappings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        load_document(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(UserError, match="mapping"):
        load_document(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(UserError, match="not valid YAML"):
        load_document(tmp_path / "broken.yaml")
