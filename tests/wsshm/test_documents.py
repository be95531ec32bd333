"""Plans and configurations as files: what they may hold, and that nothing in one hangs, crashes or is misread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeps.plan import Plan, load_plan
from wsshm.config import RunConfig, override, parse
from wsshm.documents import MOST_BYTES, load_document, mapping
from wsshm.errors import UserError

BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


def test_plain_yaml_is_read_as_it_stands() -> None:
    text = "a: &one {x: 1, y: [1.5, true, null]}\nb: {<<: *one, x: 0x10}\nday: 2026-11-29\n"
    one = {"x": 1, "y": [1.5, True, None]}
    assert mapping(text.encode(), "X") == {"a": one, "b": {**one, "x": 16}, "day": "2026-11-29"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: " + "[" * 100_000, r"more than 32 levels deep in line 1"),
        ("a: &x [*x]", r"\*x refers to itself in line 1"),
        (BOMB, r"stands for more than 200,000 values"),
        ("a: 1\nb: 2\na: 3", r"the key 'a' appears twice in line 3"),
        ("1: x", r"the key '1' is not text; put it in quotes in line 1"),
        ("? [a, b]\n: x", r"the key a list or mapping is not text"),
        ("a: " + "9" * 10_000, r"an integer beyond 64 bits"),
        ("a: .nan", r"\.nan is not a finite number"),
        ("a: 1.0e+400", r"is not a finite number"),
        ("a: !!python/object/apply:os.system [x]", r"could not determine a constructor for the tag"),
        ("a: !!binary aGk=", r"could not determine a constructor for the tag"),
        ("- a", r"X must hold a mapping"),
        ("a: \x00", r"X is not valid YAML"),
        ("a" * (MOST_BYTES + 1), r"X has more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_plain_yaml_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        mapping(text.encode(), "X")
    assert len(str(error.value)) < 250
    assert "\n" not in str(error.value)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, sentence in (
        (tmp_path / "pipe.yaml", "is not a regular file"),
        (tmp_path, "is a folder"),
        (Path("/dev/zero"), "is not a regular file"),
        (Path("a\0b.yaml"), "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        with pytest.raises(UserError, match=sentence):
            load_document(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.seed", "1e30"),
        ("train.seed", "4294967296"),
        ("train.steps", "1000000000000"),
        ("train.lr", ".inf"),
        ("train.lr", "1e999"),
        ("train.lr", "nan"),
        ("train.workers", "100000"),
        ("train.batch", "1000000000"),
        ("method.blend.band", "inf"),
        ("method.blend.band", "1e9"),
        ("method.blend.feather", "nan"),
        ("data.size", "65536"),
        ("data.procedural.natural", "10000000000000"),
    ],
)
def test_values_beyond_any_use_are_refused_by_their_key(key: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"{key}|--set '{key}"):
        parse(override({}, [f"{key}={value}"]), RunConfig)


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("name=../../etc", r"impossible name = '\.\./\.\./etc': folders and jobs are named after it"),
        ("name=a/b", r"impossible name"),
        ("name=..", r"impossible name"),
        ('name="a\\e[31m"', r"impossible name"),
        ("seeds=[1e30]", r"impossible seeds\.0"),
        ("seeds=[4294967296]", r"impossible seeds\.0"),
        ("space={train.lr: {uniform: [0, .inf]}}", r"is not a finite number"),
        ("search.num_runs=1000000000", r"impossible search\.num_runs"),
        (f"space={{train.seed: {list(range(1000))}, train.steps: {list(range(1, 201))}}}", r"asks for [\d,]+ runs"),
        ("budgets=[{mattes: -1}]", r"impossible budgets\.0"),
    ],
)
def test_plans_beyond_any_use_are_refused(assignment: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_plan("smoke", [assignment])


def test_the_number_of_runs_is_known_without_expanding_them() -> None:
    plan = Plan.model_validate(
        {
            "name": "x",
            "also": [{"method.name": "oracle"}],
            "space": {"train.lr": [1e-3, 1e-4], "method.name": ["mlb", "joint", "seg_only"]},
            "budgets": [{"mattes": [5, 10], "masks": [20, 40]}, {"mattes": 40}],
            "seeds": [0, 1],
        }
    )
    assert plan.num_runs == 2 * (1 + 2 * 3 * (4 + 1))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [*Plan.model_fields, "base.data", "base.train.seed", "base.model.backbone_kwargs", "space.x", "", "."]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(key=KEYS, value=VALUES)
def test_any_value_anywhere_in_a_plan_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    """A plan is a plan, or one UserError; never another exception."""
    file = tmp_path_factory.getbasetemp() / "drawn.yaml"
    document: dict = {"name": "drawn"}
    *parents, last = key.split(".")
    section = document
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    try:
        assert isinstance(load_plan(str(file)), Plan)
    except UserError as error:
        assert str(error)  # noqa: PT017
