"""The energy that a device has used so far, by its own counters: RAPL of the processors, NVML of an NVIDIA GPU.

Neither is a measurement at the wall: RAPL counts whole processor packages, whatever ran on them, NVML the whole card.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")

Joules = Callable[[], float]


def meter(device: str) -> Joules | None:
    """What reads the joules used since it was made; None if the machine has no counter, or none that may be read."""
    return _gpu() if device == "cuda" else _packages(POWERCAP)


def _packages(root: Path) -> Joules | None:
    """The sum of all packages' counters (microjoules, back to 0 after `max_energy_range_uj`), read at each call."""
    packages = [folder for folder in sorted(root.glob("intel-rapl:*")) if folder.name.count(":") == 1]
    try:
        ranges = [_whole(folder / "max_energy_range_uj") for folder in packages]
        last = [_whole(folder / "energy_uj") for folder in packages]
    except (OSError, ValueError):  # on most systems only root may read them
        return None
    if not packages:
        return None
    used = 0

    def joules() -> float:
        nonlocal used
        for place, folder in enumerate(packages):
            now = _whole(folder / "energy_uj")
            used += (now - last[place]) % (ranges[place] + 1)
            last[place] = now
        return used / 1e6

    return joules


def _whole(file: Path) -> int:
    return int(file.read_text())


def nvidia_gpu() -> Any:
    """NVML's handle of the GPU that torch calls 0. Raises ImportError or NVMLError where there is no NVML."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    # By its UUID: NVML counts the cards that CUDA_VISIBLE_DEVICES hides, too.
    return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")


def _gpu() -> Joules | None:
    """The counter of that GPU (millijoules since its driver was loaded; Volta or later)."""
    with contextlib.suppress(ImportError):
        import pynvml

        with contextlib.suppress(pynvml.NVMLError):
            handle = nvidia_gpu()
            begun = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            return lambda: (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) - begun) / 1000
    return None
