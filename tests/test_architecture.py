"""The house's rules: imports go one way, light rooms stay light, no import goes round."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import wsshm
from sweeps.door import ROOMS
from sweeps.door import app as door
from wsshm.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
# Who may import whom; those of `OPEN_TO_ALL` are torch-free.
ALLOWED = {
    "wsshm": {"wsshm"},
    "bench": {"bench", "wsshm"},
    "reports": {
        *("reports", "bench.store", "bench.graded", "bench.comparable", "bench.cost", "bench.statistics"),
        "wsshm.methods",
    },
    "sweeps": {"sweeps", "reports", "bench", "wsshm"},
}
# `python -m wsshm` is a program that nothing imports, so it may be the door, which only the top room can build.
PROGRAMS = {"wsshm/__main__.py": "sweeps.door.app"}
OPEN_TO_ALL = {
    *(
        "wsshm.files.whole",
        "wsshm.console",
        "wsshm.data.manifest",
        "wsshm.data.sample",
        "wsshm.errors",
        "wsshm.files.tables",
    ),
    *("wsshm.config", "wsshm.documents"),  # typed documents: plans, and the settings that a table is made of
    *("wsshm.keys", "wsshm.measures", "wsshm.plugins", "wsshm.registry", "wsshm.__version__", "wsshm.grades"),
}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ALLOWED}


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_go_one_way(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for file in files:
        for name in imported(file) - {PROGRAMS.get(file.relative_to(ROOT).as_posix(), "")}:
            fits = any((name + ".").startswith(place + ".") for place in ALLOWED[room] | OPEN_TO_ALL)
            assert fits, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    "code",
    [
        "import bench.store, bench.comparable, bench.cost, bench.statistics",
        "import wsshm.methods; wsshm.methods.listed()",
        "import reports.page, reports.cli",
        "import wsshm.cli, bench.cli, sweeps.cli",
        "from sweeps.plan import load_plan; load_plan('methods')",
        "import sweeps.door",
    ],
)
def test_light_doors_import_neither_torch_nor_ray(code: str) -> None:
    check = "import sys; assert not {'torch', 'ray', 'timm'} & set(sys.modules), set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"{code}; {check}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("door", ["wsshm", "sweeps", "bench", "reports"])
def test_every_command_has_help_with_an_example(door: str) -> None:
    import importlib

    import typer.main

    app = importlib.import_module(f"{door}.cli").app
    command = typer.main.get_command(app)
    runner = CliRunner()

    def leaves(group: object, path: list[str]) -> list[list[str]]:
        commands = getattr(group, "commands", None)
        return [leaf for n, c in commands.items() for leaf in leaves(c, [*path, n])] if commands else [path]

    for path in leaves(command, []):
        result = runner.invoke(app, [*path, "--help"])
        assert result.exit_code == 0, path
        assert "Example" in result.output, f"{door} {' '.join(path)}"


def asked(*arguments: str) -> Result:
    """What `wsshm ARGUMENTS` does, in this process."""
    return CliRunner().invoke(door, arguments)


def test_the_door_leads_to_every_room() -> None:
    listed = asked("--help").output
    for room, (_, about) in ROOMS.items():
        assert re.search(rf"{room} +{about[:30]}", listed)
    for room, command in {"sweep": "run", "bench": "evaluate", "report": "plan-budget", "data": "check"}.items():
        assert command in asked(room, "--help").output
        assert "Example: wsshm" in asked(room, command, "--help").output


def test_the_door_says_its_version() -> None:
    assert asked("--version").output == f"wsshm {wsshm.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("swep", "the nearest valid choice is 'sweep'"),
        ("run", "type wsshm sweep run"),
        ("leaderboard", "type wsshm report leaderboard"),
        ("xyz", "valid choices are bench, blend, "),
    ],
)
def test_an_unknown_command_gets_the_nearest_one(typed: str, remedy: str) -> None:
    with pytest.raises(UserError, match=f"no command '{typed}'; {remedy}"):
        CliRunner().invoke(door, [typed], catch_exceptions=False)


def test_folders_of_our_rooms_names_hide_nothing(tmp_path: Path) -> None:
    for room in ALLOWED:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise SystemExit('the wrong one')")
    # As the console script starts, whose folder holds none of the rooms; an own process starts others of ours.
    check = "import sys; assert not {'sweeps.cli', 'reports', 'bench', 'torch'} & set(sys.modules)"
    lines = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sweeps.door import main; {check}",
        "import subprocess, wsshm.console as ours; command, environment = ours.own_process('wsshm', '--version')",
        "subprocess.run(command, env=environment, check=True); main()",
    )
    command = [sys.executable, "-P", "-c", "; ".join(lines), "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"wsshm {wsshm.__version__}\n" * 2, "")


def test_in_such_a_folder_the_module_is_the_same_as_the_script(tmp_path: Path) -> None:
    for room in set(ALLOWED) - {"wsshm"}:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise SystemExit('the wrong one')")
    command = [sys.executable, "-m", "wsshm", "sweep", "plans"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "quickstart" in done.stdout


def modules() -> dict[str, Path]:
    """All modules of the rooms by their names."""
    files = [file for room in ALLOWED for file in (ROOT / room).rglob("*.py")]
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imported_at_once(body: list[ast.stmt], known: Collection[str]) -> Iterator[str]:
    """The modules of the rooms that importing a module imports: not those of its functions, or of types alone."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield from [name for name in (f"{node.module}.{alias.name}", node.module) if name in known][:1]
        elif isinstance(node, ast.Try) or (isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test)):
            yield from imported_at_once([*node.body, *node.orelse], known)


def test_no_import_goes_round() -> None:
    files = modules()
    graph = {
        name: set(imported_at_once(ast.parse(file.read_text()).body, files)) - {name} for name, file in files.items()
    }
    assert sum(map(len, graph.values())) > 500
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(files)  # CycleError names the modules


def test_a_round_is_seen() -> None:
    body = ast.parse(
        "import a\nfrom b import c\ntry:\n    import d\nexcept ImportError:\n    pass\ndef f():\n    import e"
    ).body
    assert list(imported_at_once(body, {"a", "b.c", "d", "e"})) == ["a", "b.c", "d"]
