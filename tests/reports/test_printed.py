"""Every command that a report, a plan of labels or an error prints is typed: parsed by the door, and its plan on the
store's own data, with labels that the store's runs have used."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer.main

from bench.cost import CostModel
from bench.store import Store
from reports import printed
from reports.document import Section, Table
from reports.figures.style import theme
from reports.load import load
from reports.page import sections
from reports.planner import plans_of
from sweeps.door import app
from sweeps.plan import configurations, load_plan
from tests.reports import example_store
from tests.reports.commands import mistake, reports
from tests.reports.simulated_runs import simulated
from wsshm.config import RunConfig

PHOTOS = {
    **{"root": None, "mattes": "cut outs/cutouts.parquet", "backgrounds": "scenery.parquet", "masks": "photos.parquet"},
    **{"val": "photos.parquet", "test": ["photos.parquet"], "size": 192},
}


def configured(row: dict, data: dict | None) -> dict:
    config = json.loads(row["config"])
    config.pop("data", None)
    return row | {"config": json.dumps(config | ({"data": data} if data else {}))}


def made(root: Path, data: dict | None, budgets: tuple = ((2, 30), (4, 60)), size: int = 128) -> str:
    """A store in a folder whose name has a space, of joint and mlb with few labels, timed at 512 px."""
    store, rng = Store(root / "my store"), np.random.default_rng(0)
    for mattes, masks in budgets:
        for method in ("joint", "mlb"):
            row = configured(example_store.run_row(method, mattes, masks, 0), data)
            store.write("runs", [row])
            store.write(
                "scores", example_store.score_rows(row["run_id"], 1.0, np.ones(3), rng, protocol=f"short{size}")
            )
    rows = example_store.speed_rows(rng)
    store.write(
        "speed", [row | {"height": 512, "width": 512, "device": "Example GPU", "precision": "fp16"} for row in rows]
    )
    return str(store.root)


def made_planned(root: Path) -> str:
    """A sweep's OUT with plan.yaml, and a grid of labels whose error nobody can predict."""
    store, rng = Store(root / "store"), np.random.default_rng(0)
    (root / "plan.yaml").write_text("name: mine\n")
    for index, run in enumerate(simulated("sum", seeds=1).itertuples()):
        row = configured(example_store.run_row("mlb", int(run.mattes), int(run.masks), 0), PHOTOS)
        store.write("runs", [row | {"run_id": f"run-{index}"}])
        store.write("scores", example_store.score_rows(f"run-{index}", run.sad, np.ones(3), rng))
    return str(store.root)


def made_searched(root: Path) -> str:
    """A sweep's OUT with plan.yaml: five variants of mlb's blend, each with its validation error."""
    store, rng = Store(root / "store"), np.random.default_rng(0)
    (root / "plan.yaml").write_text("name: mine\n")
    for index in range(5):
        row = configured(example_store.run_row("mlb", 40, 1000, 0, run_id=f"run-{index}"), PHOTOS)
        config = json.loads(row["config"])
        config["method"]["blend"] = {"threshold": 0.1 + index / 10}
        store.write("runs", [row | {"config": json.dumps(config)}])
        store.write("scores", example_store.score_rows(f"run-{index}", 1.0, np.ones(3), rng))
        store.write("epochs", example_store.epoch_rows(f"run-{index}", "joint", 1.0, rng))
    return str(store.root)


STORES = {
    "embedded": lambda root: made(root, example_store.DATA),
    "photos": lambda root: made(root, PHOTOS, size=192),
    "silent": lambda root: made(root, None),
    "rates": lambda root: _rates(root),
    "grid": made_planned,
    "searched": made_searched,
}


def _rates(root: Path) -> str:
    store = Store(root / "store")
    store.write("speed", example_store.speed_rows(np.random.default_rng(0)))
    return str(store.root)


def texts(section: Section) -> list[str]:
    captions = [getattr(block, "caption", getattr(block, "about", "")) for block in section.blocks]
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert not any("wsshm " in cell.text for table in tables for row in table.rows for cell in row)
    return [*section.text, *section.notes, *captions, section.missing]


def commands(text: str) -> list[str]:
    """The commands in a text: between backquotes, or up to its end after `; ` or `: `."""
    found = re.findall(r"`(wsshm [^`]*)`", text)
    rest = re.sub(r"`[^`]*`", "", text)
    found += re.findall(r"[;:] (wsshm .*)$", rest)
    assert "wsshm " not in re.sub(r"[;:] wsshm .*$", "", rest), f"a command that nobody would find: {text}"
    return found


def typed(command: str, root: str) -> None:
    """Raise where a command would not run as it stands."""
    words = shlex.split(command)
    assert words[0] == "wsshm"
    if words[-1] == "--help":
        words = words[:-1]
        place = typer.main.get_command(app)
        for word in words[1:]:
            _, place, _ = place.resolve_command(typer.main.get_command(app).context_class(place), [word])
        return
    group = typer.main.get_command(app)
    context = group.context_class(group, info_name="wsshm")
    _, room, rest = group.resolve_command(context, words[1:])
    if getattr(room, "commands", None):
        _, room, rest = room.resolve_command(context, rest)
    options = room.make_context(words[2], list(rest)).params
    if words[1:3] == ["sweep", "run"]:
        _planned(options, root)
    elif words[1:3] == ["report", "leaderboard"]:
        assert reports(*words[2:]).code == 0
    elif words[1:3] == ["bench", "speed"]:
        assert options["store"] == root
    elif words[1:3] == ["sweep", "show"]:
        assert options["store"] == root
        assert options["run"] in set(Store(root).read("runs")["run_id"])
        assert Path(options["plan"]).is_file()
    else:
        assert words[1:3] == ["report", "build"], command
        assert Path(options["manifest"]).name == "photos.parquet"


def _planned(options: dict, root: str) -> None:
    """A plan's runs are possible, on the store's data, and take no more labels than its runs took."""
    plan = load_plan(options["plan"], options["assignments"])
    runs = Store(root).read("runs")
    if runs.empty:
        return
    data = [RunConfig(data=json.loads(text).get("data", {})).data for text in runs["config"]]
    wanted = configurations(plan)
    assert wanted or plan.search.algorithm == "optuna"
    for config in wanted:
        assert config.data in data
        assert config.budget.mattes <= runs["mattes"].max()
        assert config.budget.masks <= runs["masks"].max()
    assert all(budget.mattes <= runs["mattes"].max() for budget in plan.label_budgets())


@pytest.mark.parametrize("name", STORES)
def test_every_printed_command_runs_as_it_stands(name, tmp_path):
    root = STORES[name](tmp_path)
    frames = load(root)
    with theme():
        said = [text for section in sections(frames, CostModel()) for text in texts(section)]
    if len(frames.scores):
        plans, _ = plans_of(frames, 3000.0 * 1000, CostModel())
        said += [sentence for plan in plans for sentence in plan.sentences()]
    found = [command for text in said for command in commands(text)]
    assert found or name == "silent"
    for command in dict.fromkeys(found):
        typed(command, root)
    assert not any(
        word in command.split() for command in found for word in ("STORE", "PLAN", "DIR", "M.parquet", "MODEL")
    )


def test_errors_name_commands_that_run(tmp_path):
    root = _rates(tmp_path)
    asked = (("leaderboard", root), ("table", root), ("plan-budget", root, "--budget", "30h"))
    found = [command for arguments in asked for command in commands(mistake(*arguments).strip())]
    assert found
    for command in found:
        typed(command, root)


def test_a_command_for_a_whole_configuration_is_short_and_means_the_same(tmp_path):
    data = PHOTOS | {"root": "/data/photos"}
    root = made(tmp_path, RunConfig(data=data).data.model_dump(mode="json"), size=192)
    whole = RunConfig(data=data, model={"weights": "none"}, train={"steps": 500}).model_dump(mode="json")
    Store(root).write("runs", [example_store.run_row("mlb", 2, 30, 0) | {"config": json.dumps(whole)}])
    frames = load(root)
    command = printed.sweep(
        "blending", printed.base_of(frames.runs, [example_store.run_row("mlb", 2, 30, 0)["run_id"]])
    )
    assert len(command) < 350
    words = shlex.split(command)
    plan = load_plan("blending", [words[words.index("--set") + 1]])
    repeated = RunConfig(**plan.base).model_dump(mode="json")
    assert [repeated[key] for key in ("data", "model", "method", "train")] == [
        whole[key] for key in ("data", "model", "method", "train")
    ]


def test_a_command_that_does_not_run_would_be_found(tmp_path):
    root = made(tmp_path, PHOTOS)
    with pytest.raises(Exception, match="epohcs"):
        typed("wsshm sweep run quickstart --set base.train.epohcs=3", root)
    with pytest.raises(AssertionError):
        typed("wsshm sweep run annotation-cost", root)
    with pytest.raises(Exception, match="No such option"):
        typed(f"wsshm bench speed --model a --store {shlex.quote(root)}", root)
    with pytest.raises(AssertionError, match="nobody would find"):
        commands("Try wsshm sweep run")


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (example_store.DATA | {"root": "/machine/folder"}, False),
        (PHOTOS | {"root": "/machine/folder"}, True),
        (example_store.DATA | {"root": "/machine/folder", "test": ["procedural/test", "photos.parquet"]}, True),
    ],
)
def test_a_folder_that_nothing_is_read_from_is_not_printed(tmp_path: Path, data: dict, kept: bool) -> None:
    base = printed.base_of(load(made(tmp_path, data)).runs)
    assert base is not None
    assert ("/machine/folder" in str(base)) is kept
