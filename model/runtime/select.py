"""Runtime selection by device, processor and network."""

import logging

import torch

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.runtime.cpu import PRECISIONS, is_supported
from spikewatch.model.runtime.gpu import HALF

log = logging.getLogger("spikewatch.runtime")

AUTO = "auto"
RUNTIMES = ("eager", *PRECISIONS, HALF)
"""Names of the runtimes; AUTO selects one of them."""


def has_vnni() -> bool:
    """Return whether the processor has int8 dot products (VNNI or AMX); int8 gains little without them."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def select_runtime(requested: str, network: Network, device: torch.device | str) -> str:
    """Return the requested runtime; for `auto` the fastest runtime that keeps the scores.

    Raises:
        ConfigError: the runtime is unknown, or is not available on this device.
    """
    device_type = torch.device(device).type
    has_onednn = device_type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if requested not in (AUTO, *RUNTIMES):
        raise ConfigError(f"runtime {requested!r} is unknown; known are {', '.join((AUTO, *RUNTIMES))}")
    if requested == HALF and device_type != "cuda":
        raise ConfigError(
            f"runtime {requested} needs a CUDA device, but the device is {device_type}; choose auto"
        )
    if requested in PRECISIONS and not has_onednn:
        raise ConfigError(
            f"runtime {requested} needs a CPU and a torch build with oneDNN (the device is {device_type}); "
            "choose auto"
        )
    if requested != AUTO:
        return requested
    if not is_supported(network) or not (has_onednn or device_type == "cuda"):
        return "eager"
    runtime = HALF if device_type == "cuda" else "int8" if has_vnni() else "fp32"
    log.info("runtime selected", extra={"runtime": runtime})
    return runtime
