"""A data layout from outside the package: one file, no list touched, from a tree to a checked manifest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.extending.conftest import Add
from wsshm import plugins
from wsshm.data.importing import import_layout
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import read_mask, write_png
from wsshm.errors import UserError

LISTED = Path(__file__).with_name("listed.py")
CODE = Path(__file__).parents[2]


@pytest.fixture
def listed(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(LISTED))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two photos and their masks that no name pairs, and the table that does."""
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 30), np.uint8)
    mask[10:30, 8:20] = 255
    rows = [("day 1/a.png", "drawn/7.png"), ("b.png", "drawn/x/8.png")]
    for photo, label in rows:
        write_png(tmp_path / "set" / photo, rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
        write_png(tmp_path / "set" / label, mask)
    table = "\n".join(["photo,mask", *map(",".join, rows)])
    (tmp_path / "set" / "list.csv").write_text(table)
    return tmp_path / "set"


def wsshm(*words: object) -> subprocess.CompletedProcess[str]:
    """What a command prints, in a process of its own."""
    command = [sys.executable, "-m", "wsshm", "data", *map(str, words)]
    return subprocess.run(command, cwd=CODE, capture_output=True, text=True)


@pytest.mark.usefixtures("listed")
def test_it_is_imported_and_checked_by_the_commands(root: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.parquet"
    done = wsshm("import", "listed", root, "--out", manifest, "--split", "val", "--domain", "natural")
    listing, unstated = done.stdout.splitlines()
    assert (done.returncode, listing, done.stderr) == (0, f"{manifest}: 2 samples (0 train, 2 val, 0 test)", "")
    assert unstated.startswith("2 masks of unstated grade, which counts as polygon")
    a, b = Manifest.read(manifest).samples
    assert a.files == {"image": "day 1/a.png", "mask": "drawn/7.png"}
    assert (b.files["mask"], b.split, b.domain, b.width, b.height) == ("drawn/x/8.png", "val", "natural", 30, 40)
    checked = wsshm("check", manifest)
    assert (checked.returncode, checked.stdout) == (0, f"{manifest}: 2 samples, no fault\n")


@pytest.mark.usefixtures("listed")
def test_the_commands_name_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert re.search(r"one of [^;]* listed, [^;]*, or auto: the one that", wsshm("import", "--help").stdout)
    assert (
        "listed: photos with masks\n"
        "    list.csv with the columns photo and mask: paths below ROOT\n"
        "    ROOT/list.csv\n"
        "    ROOT/...\n"
        "    terms: from our own archive; not for publication\n"
    ) in wsshm("layouts").stdout
    for other in ("pairs", "rgba", "backgrounds", "foregrounds"):
        refused = wsshm("import", other, root, "--out", tmp_path / "m.parquet")
        assert refused.returncode == 2
        assert f"; it is laid out as listed, so name that in place of {other}\n" in refused.stderr


def test_without_its_file_it_is_not_known(add: Add, root: Path) -> None:
    with pytest.raises(UserError, match=r"there is no layout 'listed'; valid choices are aim-500, .*, pairs, "):
        import_layout("listed", root)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "holds nothing that is laid out as listed, which expects list.csv with the columns"),
        ("a.png,gone.png", r"gone\.png"),
        ("gone.png,a.png", r"gone\.png"),
        (",a.png", "gave the sample '' neither an image nor a foreground"),
    ],
)
@pytest.mark.usefixtures("listed")
def test_what_it_gives_is_checked(tmp_path: Path, rows: str, message: str) -> None:
    write_png(tmp_path / "a.png", np.full((9, 9, 3), 255, np.uint8))
    (tmp_path / "list.csv").write_text(f"photo,mask\n{rows}\n")
    with pytest.raises(UserError, match=message):
        import_layout("listed", tmp_path)


def test_one_with_options_and_annotations_has_its_masks_drawn(
    add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, str(LISTED.with_name("circles.py")))
    entries = {
        "a": {"size": [30, 40], "circle": [10, 20, 4]},
        "b": {"size": [30, 40], "circle": [9, 9, 1], "split": "val"},
    }
    for name in entries:
        write_png(tmp_path / "set" / f"{name}.png", np.full((40, 30, 3), 90, np.uint8))
    (tmp_path / "set" / "circles.json").write_text(json.dumps(entries))
    manifest = import_layout("auto", tmp_path / "set", options={"grow": 1.5}, converted=tmp_path / "m-masks")
    assert [(s.id, s.split, s.domain, s.mask) for s in manifest.samples] == [
        ("a", "train", "natural", "m-masks/a.png"),
        ("b", "val", "natural", "m-masks/b.png"),
    ]
    rows, columns = np.mgrid[:40, :30]
    drawn = read_mask(manifest.path(manifest.samples[0], "mask"))
    np.testing.assert_array_equal(drawn, np.hypot(columns - 10, rows - 20) <= 6)
    with pytest.raises(UserError, match="m-masks is there already"):
        import_layout("circles", tmp_path / "set", converted=tmp_path / "m-masks")
    with pytest.raises(UserError, match=r"the layout 'circles'.*grow"):
        import_layout("circles", tmp_path / "set", options={"grow": "much"}, converted=tmp_path / "n-masks")
    assert {p.name for p in tmp_path.iterdir() if "masks" in p.name} == {"m-masks"}
