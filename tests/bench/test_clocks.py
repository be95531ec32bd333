"""Clocks and throttling are read from files that a test writes; a machine without them tells nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench.clocks import Clock, Watch


def processor(root: Path, number: int, khz: int, throttled: int) -> None:
    for name, value in (
        ("cpufreq/scaling_cur_freq", khz),
        ("thermal_throttle/core_throttle_count", throttled),
        ("thermal_throttle/package_throttle_count", 0),
    ):
        file = root / f"cpu{number}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")


def test_the_clock_is_the_mean_and_a_new_throttling_counts(tmp_path: Path) -> None:
    processor(tmp_path, 0, 3_000_000, throttled=5)
    processor(tmp_path, 1, 2_000_000, throttled=0)
    watch = Watch("cpu", tmp_path)
    assert watch.read() == Clock(2500, False)  # what was before does not count
    processor(tmp_path, 1, 1_000_000, throttled=1)
    assert watch.read() == Clock(2000, True)


def test_a_machine_that_does_not_tell(tmp_path: Path) -> None:
    assert Watch("cpu", tmp_path).read() == Clock(None, None)


@pytest.mark.parametrize(("reasons", "throttled"), [(0, False), (1, False), (4, True), (0x40, True)])
def test_a_gpu_is_asked(reasons: int, throttled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML's 1 is an idle GPU, 4 a cap of power, 0x40 heat."""
    import pynvml

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="1-2"))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: {"GPU-1-2": "card"}[uuid])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetClockInfo", lambda card, kind: 1410)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", lambda card: reasons)
    assert Watch("cuda").read() == Clock(1410, throttled)
