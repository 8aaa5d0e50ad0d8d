"""Energy as the hardware counts it: NVML's counter of a GPU, RAPL's counters of the processors' packages.

Both count the device as a whole, its idle power and whatever else runs on it included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pynvml
import torch

_POWERCAP = Path("/sys/class/powercap")


class EnergyMeter(Protocol):
    """Counts from `start` to `stop`."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> float:
        """Joules since `start`."""
        ...


class RaplMeter:
    """The processors' packages, from the system's `intel-rapl:N/energy_uj` files (AMD's have the same name).

    Args:
        packages: folders of the packages.
    """

    def __init__(self, packages: list[Path]) -> None:
        self._packages = packages

    def _read(self) -> list[int]:
        return [int((package / "energy_uj").read_text()) for package in self._packages]

    def start(self) -> None:
        """See `EnergyMeter`."""
        self._before = self._read()

    def stop(self) -> float:
        """See `EnergyMeter`; a counter that began anew has done so once."""
        ranges = [int((package / "max_energy_range_uj").read_text()) for package in self._packages]
        pairs = zip(self._before, self._read(), ranges, strict=True)
        return sum((now - before) % (most + 1) for before, now, most in pairs) / 1e6


class NvmlMeter:
    """One GPU, from NVML's count since the driver was loaded.

    Args:
        handle: NVML's, of the GPU.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def _read(self) -> int:
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))  # mJ

    def start(self) -> None:
        """See `EnergyMeter`."""
        self._before = self._read()

    def stop(self) -> float:
        """See `EnergyMeter`."""
        return (self._read() - self._before) / 1e3


def find_meter(device: str, powercap: Path = _POWERCAP) -> tuple[EnergyMeter | None, str]:
    """The meter of `cpu` or `cuda`, and what it is; or None, and why there is none."""
    return _nvml() if device == "cuda" else _rapl(powercap)


def _rapl(powercap: Path) -> tuple[EnergyMeter | None, str]:
    try:
        zones = sorted(powercap.glob("intel-rapl:*"))
        packages = [zone for zone in zones if (zone / "name").read_text().startswith("package")]
        if not packages:
            return None, "the system shows no energy counters of its processors (RAPL)"
        meter = RaplMeter(packages)
        meter.start()
        meter.stop()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return None, f"the processors' energy counters (RAPL) cannot be read ({reason})"
    return meter, f"RAPL counters of {len(packages)} processor package{'s' if len(packages) > 1 else ''}"


def _nvml() -> tuple[EnergyMeter | None, str]:
    try:
        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
        meter = NvmlMeter(pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"))
        meter.start()
    except (pynvml.NVMLError, AttributeError) as error:
        return None, f"NVML does not report this GPU's energy ({error})"
    return meter, "NVML's energy counter of the GPU"
