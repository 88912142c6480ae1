"""Which runtime fits the machine and the network."""

import logging

import torch

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.runtime.cpu import PRECISIONS, is_supported
from spikewatch.model.runtime.gpu import HALF

log = logging.getLogger("spikewatch.runtime")

AUTO = "auto"
RUNTIMES = ("eager", *PRECISIONS, HALF)
"""What can be asked for, besides AUTO."""


def has_vnni() -> bool:
    """Whether the processor multiplies bytes in one instruction (VNNI); without it int8 gains little."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def select_runtime(requested: str, network: Network, device: torch.device | str) -> str:
    """A runtime by name; for `auto` the fastest that keeps the scores.

    Raises:
        ConfigError: no such runtime, or not on this device.
    """
    kind = torch.device(device).type
    packs = kind == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if requested not in (AUTO, *RUNTIMES):
        raise ConfigError(f"runtime {requested!r} is unknown; known are {', '.join((AUTO, *RUNTIMES))}")
    if requested == HALF and kind != "cuda":
        raise ConfigError(f"runtime {requested} needs a CUDA device")
    if requested in PRECISIONS and not packs:
        raise ConfigError(f"runtime {requested} needs a CPU and a torch built with oneDNN")
    if requested != AUTO:
        return requested
    if not is_supported(network) or not (packs or kind == "cuda"):
        return "eager"
    chosen = HALF if kind == "cuda" else "int8" if has_vnni() else "fp32"
    log.info("runtime chosen", extra={"runtime": chosen})
    return chosen
