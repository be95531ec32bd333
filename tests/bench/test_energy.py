"""Joules are read from counters that a test writes; a machine without counters has none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import energy


def counter(folder: Path, microjoules: int, most: int = 10**9) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{most}\n")


def test_packages_are_added_up_and_counters_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    counter(tmp_path / "intel-rapl:0", 900, most=999)
    counter(tmp_path / "intel-rapl:1", 5_000_000)
    counter(tmp_path / "intel-rapl:0:0", 77)  # a part of the first package
    joules = energy.meter("cpu")
    assert joules
    assert joules() == 0
    counter(tmp_path / "intel-rapl:0", 100, most=999)  # 100 more, and 100 after it began anew
    counter(tmp_path / "intel-rapl:1", 7_000_000)
    assert joules() == pytest.approx(2.0002)
    counter(tmp_path / "intel-rapl:1", 7_500_000)
    assert joules() == pytest.approx(2.5002)


def test_a_machine_without_counters_has_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    assert energy.meter("cpu") is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert energy.meter("cpu") is None


def test_a_gpu_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    used = iter([5000, 7500])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="1-2"))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: {"GPU-1-2": "card"}[uuid])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda card: next(used))
    joules = energy.meter("cuda")
    assert joules
    assert joules() == 2.5


def test_an_old_gpu_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert energy.meter("cuda") is None
