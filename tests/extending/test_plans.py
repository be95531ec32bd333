"""Plans over options of a method's and an architecture's own: what runs, tables and commands call them."""

from __future__ import annotations

import re
from pathlib import Path
from shlex import split

import pytest
import yaml

from sweeps.estimate import Kind
from sweeps.expand import expand
from sweeps.plan import load_plan
from sweeps.show import show
from sweeps.tracking import settings
from tests.extending.conftest import Add
from tests.sweeps import made_up
from tests.wsshm import tiny
from wsshm import plugins
from wsshm.config import RunConfig, parse
from wsshm.errors import UserError
from wsshm.files.location import Location
from wsshm.key_page import configuration_page
from wsshm.keys import explained

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _both(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, f"{HERE / 'halves.py'},{HERE / 'pyramid.py'}")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("tiny"))


def plan(root: Path, space: dict, **base: object):
    document = tiny.config(root, workers=1).model_dump(mode="json")
    for section, values in base.items():
        document[section] |= values
    return made_up.plan_of(base=document, space=space, seeds=[0])


def labels(root: Path, space: dict, **base: object) -> list[str]:
    return [run.label for run in expand(plan(root, space, **base))]


def test_a_default_in_the_space_is_called_by_its_value(root: Path) -> None:
    assert labels(root, {"method.name": ["halves"], "method.options.share": [0.5, 0.75]}) == [
        "halves (6 mattes, seed 0, share 0.5)",
        "halves (6 mattes, seed 0, share 0.75)",
    ]
    for given in ("pyramid", {"name": "pyramid"}):  # a name is short for {name: NAME}
        found = labels(root, {"model.architecture.width": [8, 16]}, model={"architecture": given})
        assert [label.partition("seed 0, ")[2] for label in found] == ["width 8)", "width 16)"]


def test_an_architecture_is_one_value_and_a_section_only_what_differs(root: Path) -> None:
    choices = ["unet", {"name": "pyramid", "width": 16}]
    assert labels(root, {"method.name": ["seg_only"], "model.architecture": choices}) == [
        "seg_only (0 mattes, seed 0, unet)",  # which reads none of the 6 mattes
        "seg_only (0 mattes, seed 0, pyramid, width=16)",
    ]
    sections = [{"name": "halves", "options": {"share": 0.25}}, {"name": "seg_only"}]
    assert labels(root, {"method": sections}) == [
        "halves (6 mattes, seed 0, share 0.25)",
        "seg_only (0 mattes, seed 0)",
    ]
    config: RunConfig = expand(plan(root, {"model.architecture": choices}))[1].config
    assert settings(config)["model.architecture"] == "pyramid, width=16"


def test_the_configuration_explains_options_and_says_whose_they_are(add: Add) -> None:
    add(
        "eased",
        "from pydantic import Field\nfrom wsshm.config import Section\nfrom wsshm.methods import Method, register\n"
        "class Options(Section):\n    ease: float = Field(default=0.05, ge=0, lt=0.5)\n    'How far.'\n"
        "register(Method('eased', None, about='eased', options=Options))\n",
    )
    text = explained(RunConfig, {})
    assert parse(yaml.safe_load(text)) == RunConfig()
    comments = " ".join(text.replace("#", "").split())
    assert (
        "pyramid: width (whole number; default 8): Channels of the decoder. people (number; default 1.0): W" in comments
    )
    assert "unet: width (number above 0, at most 16; default 1.0): By how much" in comments
    assert "halves: share (number above 0; default 0.5): How much of the label is the teacher's." in comments
    assert "eased: ease (number, 0 or more and below 0.5; default 0.05): How far." in comments
    assert "| `eased` | `ease` | `0.05` | number, 0 or more and below 0.5 | How far. |" in configuration_page()
    with pytest.raises(
        UserError, match=r"options are of a method's own, and 'mlb', the default, has none; set method.na"
    ):
        parse({"method": {"options": {"share": 0.2}}})


def test_show_has_one_column_and_its_command_supplies_the_missing_rate(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = plan(root, {"model.architecture": ["unet", {"name": "pyramid", "width": 16}]})
    show(asked, {}, Location.of(tmp_path / "none"))
    text = capsys.readouterr().out
    assert re.search(r"run +method +architecture +mattes", text)
    assert re.search(r"mlb +pyramid, width=16 +6", text)
    command = next(line for line in text.splitlines() if line.strip().startswith("wsshm sweep run smoke"))
    words = split(command.partition("   (then")[0])
    given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    made = expand(load_plan("smoke", given))
    assert {Kind.of(run.config) for run in made} == {Kind.of(run.config) for run in expand(asked)}
