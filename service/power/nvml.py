"""Energy counters of NVIDIA GPUs: NVML, by the package `nvidia-ml-py` (extra `power`).

Source: nvmlDeviceGetTotalEnergyConsumption, millijoules since the driver was loaded, from Volta on.
"""

import logging
from typing import Any

MJ_PER_J = 1e3

log = logging.getLogger("spikewatch.power")


def load_nvml() -> Any:
    """Import NVML's binding.

    Raises:
        ImportError: nvidia-ml-py is not installed.
    """
    import pynvml

    return pynvml


class Nvml:
    """All GPUs of a machine that count their energy.

    Args:
        library: a module with the functions of pynvml; None: import it.

    Attributes:
        name: label `source` of the metrics.
        reason: why there is nothing to measure; empty if there is.
    """

    name = "nvml"

    def __init__(self, library: Any = None) -> None:
        self.reason = ""
        self._devices: dict[str, Any] = {}
        self._first_mj: dict[str, int] = {}
        try:
            self._library = library or load_nvml()
            self._library.nvmlInit()
            self._add_devices()
        except ImportError:
            self.reason = "nvidia-ml-py is not installed (pip install 'spikewatch[power]')"
        except self._library.NVMLError as error:
            self.reason = f"NVML: {error}"

    def joules(self) -> dict[str, float]:
        """Return joules since the start by GPU, `gpu-0` and so on: of all processes that use it."""
        joules = {}
        for domain, device in list(self._devices.items()):
            try:
                millijoules = self._library.nvmlDeviceGetTotalEnergyConsumption(device)
            except self._library.NVMLError as error:
                log.warning("energy counter %s is gone: %s", domain, error)
                del self._devices[domain]
                continue
            joules[domain] = (millijoules - self._first_mj[domain]) / MJ_PER_J
        return joules

    def _add_devices(self) -> None:
        for index in range(self._library.nvmlDeviceGetCount()):
            device = self._library.nvmlDeviceGetHandleByIndex(index)
            try:
                first_mj = self._library.nvmlDeviceGetTotalEnergyConsumption(device)
            except self._library.NVMLError as error:
                self.reason = f"gpu-{index}: {error}"
                continue
            self._devices[f"gpu-{index}"] = device
            self._first_mj[f"gpu-{index}"] = first_mj
        if not self._devices and not self.reason:
            self.reason = "NVML found no GPU"
