"""The file of licences is what timm's own configurations say."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import timm

from wsshm.__main__ import main
from wsshm.models import licences


def run(monkeypatch: pytest.MonkeyPatch, out: Path) -> int:
    monkeypatch.setattr(sys, "argv", ["wsshm", "licences", "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_every_row_is_what_timm_states(tmp_path, monkeypatch, capsys):
    file = tmp_path / "licences.csv"
    assert run(monkeypatch, file) == 0
    with file.open() as opened:
        rows = list(csv.DictReader(opened))
    assert f"{len(rows)} weights" in capsys.readouterr().out
    assert tuple(rows[0]) == licences.COLUMNS
    assert len(rows) == len(timm.list_pretrained())
    assert list(tmp_path.iterdir()) == [file]
    for row in (rows[0], rows[-1], *(row for row in rows if row["backbone"] == "resnet18")):
        config = timm.get_pretrained_cfg(f"{row['backbone']}.{row['tag']}")
        assert row["licence"] == (config.license or "")
        assert row["hub_id"] == (config.hf_hub_id or "")
        by_default = timm.get_pretrained_cfg(row["backbone"])
        assert row["default"] == str(by_default.tag == row["tag"]).lower()


def test_another_ending_is_refused(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, tmp_path / "licences.parquet") == 2
    assert "end it in .csv" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
