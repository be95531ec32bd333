"""The house's rules: imports go one way, light rooms stay light, no file grows without end."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Who may import whom; `wsshm.errors`, `wsshm.commandline` and `wsshm.data.manifest` are torch-free and open to all.
ALLOWED = {
    "wsshm": {"wsshm"},
    "bench": {"bench", "wsshm"},
    "reports": {"reports", "bench.store", "bench.cost", "bench.statistics"},
    "sweeps": {"sweeps", "reports", "bench", "wsshm"},
}
OPEN_TO_ALL = {"wsshm.errors", "wsshm.commandline", "wsshm.data.manifest", "wsshm.__version__"}


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
        for name in imported(file):
            fits = any((name + ".").startswith(place + ".") for place in ALLOWED[room] | OPEN_TO_ALL)
            assert fits, f"{file.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    "code",
    [
        "import bench.store, bench.cost, bench.statistics",
        "import reports.page, reports.cli",
        "import wsshm.cli, bench.cli, sweeps.cli",
        "from sweeps.plan import load_plan; load_plan('quickstart')",
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
    from typer.testing import CliRunner

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


def test_no_file_grows_past_reading() -> None:
    for room in ALLOWED:
        for file in (ROOT / room).rglob("*.py"):
            assert len(file.read_text().splitlines()) <= 400, file
