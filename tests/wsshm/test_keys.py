"""`wsshm config` and `wsshm sweep show PLAN --full`: every key, its type, default and meaning, as YAML that reads back."""

from __future__ import annotations

import re

import pytest
import yaml
from typer.testing import CliRunner

from sweeps.door import app
from sweeps.plan import Plan, explained_plan, load_plan, plan_of, shipped_plans
from wsshm.config import RunConfig, Section, parse
from wsshm.errors import UserError
from wsshm.keys import explained


def fields(kind: type[Section], at: str = "") -> list[tuple[str, str | None]]:
    """Every key below a section, dotted, and what it means."""
    found = []
    for name, field in kind.model_fields.items():
        inner = RunConfig if f"{at}{name}" == "base" else field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            found += fields(inner, f"{at}{name}.")
        else:
            found.append((f"{at}{name}", field.description))
    return found


def test_every_key_has_a_meaning() -> None:
    for key, meaning in fields(RunConfig) + fields(Plan):
        assert meaning, f"{key} has no text below it in wsshm/config.py or sweeps/plan.py"
        assert meaning[-1] == ".", key


@pytest.mark.parametrize("width", [80, 120])
def test_the_configuration_reads_back_as_its_defaults(width: int) -> None:
    text = explained(RunConfig, {}, width)
    assert max(map(len, text.splitlines())) <= width
    assert parse(yaml.safe_load(text)) == RunConfig()
    assert text.count("# ") >= len(fields(RunConfig))
    for key, _ in fields(RunConfig):
        assert re.search(rf"^ +{key.rpartition('.')[2]}:", text, re.MULTILINE), key


def test_types_limits_and_other_values_are_said() -> None:
    text = explained(RunConfig, {"train": {"batch": 8}, "method": {"matte_share": 0.25}}, 200)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("batch: 8") - 1] == (
        "# Samples of a step, over all workers. (whole number, 1 to 65,536; default 16)"
    )
    assert lines[lines.index("lr: 0.002") - 1] == "# Peak learning rate (AdamW). (number above 0)"
    assert lines[lines.index("matte_share: 0.25") - 1].endswith("(number, 0 to 1 or null; default null)")
    assert lines[lines.index("precision: bf16") - 1].endswith("(fp32, bf16 or fp16)")
    assert "test: [procedural/test, procedural/test-shifted]" in lines


def test_a_plan_in_full_is_the_same_plan() -> None:
    for name in shipped_plans():
        plan = load_plan(name)
        text = explained_plan(plan, 80)
        again = plan_of(yaml.safe_load(text), "it")
        assert parse(again.base) == parse(plan.base)
        assert again.model_copy(update={"base": plan.base}) == plan
        assert max(len(line) for line in text.splitlines() if line.lstrip().startswith("#")) <= 80


def test_the_commands_print_them() -> None:
    runner = CliRunner()
    assert parse(yaml.safe_load(runner.invoke(app, ["config"]).output)) == RunConfig()
    shown = runner.invoke(app, ["sweep", "show", "quickstart", "--full", "--set", "base.train.steps=999"]).output
    assert "default 400)\n    steps: 999\n" in shown
    with pytest.raises(UserError, match="--full prints the whole plan"):
        runner.invoke(app, ["sweep", "show", "quickstart", "--full", "--run", "0"], catch_exceptions=False)
