"""What a device's clock was while something ran on it, and whether it was held back for heat or power."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Clock:
    """Clock in MHz and whether the device was held back, each None where the machine does not tell."""

    mhz: float | None
    throttled: bool | None


class Watch:
    """Watches from when it is made until `read`, at whose moment the clock is taken: at the end of the work."""

    def __init__(self, device: str, root: Path = CPUS) -> None:
        self.device, self.root = device, root
        self._before = _throttles(root) if device == "cpu" else None

    def read(self) -> Clock:
        """The clock now, and whether the device was held back since the watch began (of a GPU: is held back now)."""
        if self.device == "cuda":
            return _gpu()
        after = _throttles(self.root)
        told = None if self._before is None or after is None else after > self._before
        return Clock(_cpu_mhz(self.root), told)


def _cpu_mhz(root: Path) -> float | None:
    """The mean clock of the processors; None on machines that do not scale it, or do not say so (virtual ones)."""
    found = []
    for file in root.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):  # kHz
        with contextlib.suppress(OSError, ValueError):
            found.append(int(file.read_text()) / 1e3)
    return sum(found) / len(found) if found else None


def _throttles(root: Path) -> int | None:
    """How often processors were held back for heat since the machine started (Intel's counters)."""
    found = []
    for file in root.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(file.read_text()))
    return sum(found) if found else None


def _gpu() -> Clock:
    from bench.energy import nvidia_gpu

    with contextlib.suppress(ImportError):
        import pynvml

        with contextlib.suppress(pynvml.NVMLError):
            handle = nvidia_gpu()
            mhz = float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))
            reasons = int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
            return Clock(mhz, bool(reasons & _held_back(pynvml)))
    return Clock(None, None)


def _held_back(nvml: Any) -> int:
    """The reasons that are heat or power; an idle GPU, and clocks that somebody has set, are none."""
    return int(
        nvml.nvmlClocksThrottleReasonSwPowerCap
        | nvml.nvmlClocksThrottleReasonHwSlowdown
        | nvml.nvmlClocksThrottleReasonSwThermalSlowdown
        | nvml.nvmlClocksThrottleReasonHwThermalSlowdown
        | nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )
