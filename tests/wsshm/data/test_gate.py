"""Training starts on data that pass their check, or where the configuration says so."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.wsshm import tiny
from tests.wsshm.data.test_cli import wsshm
from tests.wsshm.test_methods import changed
from wsshm.config import DataConfig
from wsshm.data.gate import check_data
from wsshm.data.manifest import Manifest
from wsshm.data.pictures import write_png
from wsshm.data.sources import Sources, open_sources
from wsshm.errors import UserError
from wsshm.keys import first_difference

__all__ = ["wsshm"]  # a fixture


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSSHM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny.make(tmp_path / "data")


def opened(root: Path, **data: object) -> tuple[DataConfig, Sources]:
    config = tiny.config(root).data.model_copy(update=data)
    return config, open_sources(config)


def test_sound_data_pass(root: Path) -> None:
    check_data(*opened(root))


def test_a_missing_or_foreign_file_is_named_before_training(root: Path) -> None:
    mask = root / "photo" / "3_mask.png"
    for break_it, problem in (
        (lambda: mask.write_text("no picture"), "is not a readable picture"),
        (mask.unlink, "missing"),
    ):
        break_it()
        for allow in (False, True):  # nothing can be trained on it
            with pytest.raises(UserError, match=rf"3_mask\.png: {problem}") as caught:
                check_data(*opened(root, allow_faults=allow))
            assert "allow_faults" not in str(caught.value)


def test_the_remedies_are_named(root: Path) -> None:
    for name in ("2", "5"):
        write_png(root / "photo" / f"{name}_mask.png", np.zeros((64, 64), np.uint8))
    with pytest.raises(UserError) as caught:
        check_data(*opened(root))
    names = " ".join(str(root / f"{name}.parquet") for name in ("mattes", "masks", "val", "test"))
    assert str(caught.value) == (
        f"the data fail their check: {root / 'photo' / '2_mask.png'}: 0 everywhere (the first of 4 errors); see with"
        f" `wsshm data check {names}`, or train all the same with data.allow_faults: true"
    )


def test_a_leak_stops_training_until_it_is_allowed(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = Manifest.read(root / "masks.parquet")
    (root / "test" / "0.png").write_bytes(train.path(train.samples[3], "image").read_bytes())
    test = Manifest.read(root / "test.parquet")
    Manifest(root, (replace(s, sha256="") for s in test.samples)).hashed().write(root / "test.parquet")
    leak = r"test/0\.png: the same picture as photo3 \(train of .*masks\.parquet\)"
    with pytest.raises(UserError, match=leak):
        check_data(*opened(root))
    with caplog.at_level(logging.WARNING):
        check_data(*opened(root, allow_faults=True))
    assert "training although the data fail their check" in caplog.text


def test_by_the_command_line_it_is_one_sentence_and_nothing_is_written(wsshm, root: Path, tmp_path: Path) -> None:
    write_png(root / "photo" / "2_mask.png", np.zeros((64, 64), np.uint8))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny.config(root).model_dump(mode="json")))
    code, out, err = wsshm("train", tmp_path / "run.yaml", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: the data fail their check: {root / 'photo' / '2_mask.png'}: ")
    assert not (tmp_path / "out").exists()


def test_faulty_samples_that_are_not_used_may_be_allowed(root: Path) -> None:
    masks = Manifest.read(root / "masks.parquet")
    held = [replace(s, split="test") if s.id == "photo3" else s for s in masks.samples]
    Manifest(root, held).write(root / "masks.parquet")
    masks.path(masks.samples[3], "image").unlink()
    with pytest.raises(UserError, match=r"photo/3\.png: missing"):
        check_data(*opened(root))
    check_data(*opened(root, allow_faults=True))


def test_files_are_opened_once_until_they_change(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_data(*opened(root))
    with monkeypatch.context() as patched:
        patched.setattr("wsshm.data.check.look", lambda *_: pytest.fail("it was opened again"))
        check_data(*opened(root))
    write_png(root / "photo" / "3.png", np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UserError, match=r"photo/3\.png: changed since import"):
        check_data(*opened(root))


def test_what_is_allowed_is_no_part_of_a_run(root: Path) -> None:
    plain = tiny.config(root)
    allowed = changed(plain, "data.allow_faults=true")
    assert tiny.planned(plain).run_id == tiny.planned(allowed).run_id
    assert first_difference(plain.model_dump(), allowed.model_dump()) is None


def test_of_the_embedded_data_only_headers_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"cutouts": 2, "backgrounds": 2, "natural": 2, "val": 1, "test": 1}
    config = changed(tiny.config(Path()), f"data={{size: 64, procedural: {drawn}}}").data
    monkeypatch.setattr("wsshm.data.gate.check", lambda *_, **__: pytest.fail("it was checked whole"))
    check_data(config, open_sources(config))
