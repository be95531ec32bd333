"""The sdist and the wheel: they build without a network, hold what the commands need, and work without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import wsshm
from tests.reports import example_store

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("wsshm", "bench", "reports", "sweeps")
# Files that modules read from beside them.
DATA = (
    *("sweeps/plans/*.yaml", "sweeps/clusters/*", "bench/peers/*.yaml"),
    *("reports/templates/*", "reports/published.yaml", "reports/licences.csv", "*/py.typed"),
)
# As pip builds: the backend in a process of its own. Nothing is fetched, since what it requires is installed.
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


def built(kind: str, source: Path, out: Path) -> Path:
    """The sdist or wheel (`kind`) of a source tree."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", out], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-1000:]
    [file] = out.iterdir()
    return file


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of the checkout's tracked files: of a copy, so that no earlier build's folders are taken for code."""
    source = tmp_path_factory.mktemp("source") / "tree"
    unwanted = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs")
    shutil.copytree(ROOT, source, ignore=unwanted)
    return built("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist as somebody else would."""
    source = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(source, filter="data")
    [tree] = source.iterdir()
    return built("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the wheel, which finds the dependencies where this one has them."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    paths = {"base": str(home), "platbase": str(home)}
    place = Path(sysconfig.get_path("purelib", "venv", paths))
    (place / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    python = home / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", wheel]
    subprocess.run(install, check=True, env=clean())
    return python


def clean() -> dict[str, str]:
    """This process's environment without what leads Python to the checkout."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WSSHM_PLUGINS")}


def asked(python: Path, folder: Path, *arguments: object) -> str:
    """What `wsshm ARGUMENTS` of that environment prints, in an empty folder."""
    folder.mkdir(exist_ok=True)
    command = [python.with_name("wsshm"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout


def test_the_wheel_holds_all_code_and_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {file.relative_to(ROOT) for room in ROOMS for file in (ROOT / room).rglob("*.py")}
    code = {file for file in code if all((ROOT / part / "__init__.py").exists() for part in list(file.parents)[:-1])}
    data = {file.relative_to(ROOT) for pattern in DATA for file in ROOT.glob(pattern)}
    assert all(any(ROOT.glob(pattern)) for pattern in DATA)
    assert held == {file.as_posix() for file in code | data}
    assert wheel.name == f"wsshm_bench-{wsshm.__version__}-py3-none-any.whl"


def test_the_sdist_holds_what_the_readme_asks_for_and_no_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "constraints.txt"} <= names
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".parquet")]


def test_the_installed_code_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(ROOMS)}; print(*(m.__file__ for m in ({', '.join(ROOMS)})), sep='\\n')"
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, env=clean(), capture_output=True, text=True)
    files = done.stdout.splitlines()
    assert len(files) == len(ROOMS), done.stderr
    assert all(Path(file).is_relative_to(installed.parents[1]) for file in files)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version"], f"wsshm {wsshm.__version__}"),
        (["--help"], "licences"),
        (["config"], "backbone: tf_efficientnet_lite0"),
        (["config", "--format", "markdown"], "`data.procedural.natural`"),
        (["sweep", "plans"], "quickstart"),
        (["sweep", "keys"], "`speed.target_fps`"),
        (["sweep", "show", "smoke", "--full"], "name: smoke"),
        (["data", "layouts"], "p3m-10k"),
        (["models", "list", "--weights", "offline"], "tf_efficientnet_lite0"),
        (["bench", "peers"], "rvm"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_answer_without_the_checkout(installed: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in asked(installed, tmp_path / "empty", *arguments)


def test_a_report_is_built_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    store = example_store.fill(tmp_path / "store", seeds=(0,), images=6)
    asked(installed, tmp_path / "empty", "report", "build", store.root, "--out", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert f"{wsshm.__version__}" in page
    assert "MODNet" in page  # of published.yaml
