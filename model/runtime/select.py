"""Which runtime fits the machine and the network."""

import logging

import torch

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.runtime.cpu import PARTS, fusible
from spikewatch.model.runtime.gpu import HALF

log = logging.getLogger("spikewatch.runtime")

AUTO = "auto"
RUNTIMES = ("eager", *PARTS, HALF)
"""What can be asked for, besides AUTO."""


def has_byte_products() -> bool:
    """Whether the processor multiplies bytes in one instruction (VNNI); without it int8 gains little."""
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def choose_runtime(asked: str, network: Network, device: torch.device | str) -> str:
    """A runtime by name; for `auto` the fastest that keeps the scores.

    Raises:
        ConfigError: no such runtime, or not on this device.
    """
    kind = torch.device(device).type
    packs = kind == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if asked not in (AUTO, *RUNTIMES):
        raise ConfigError(f"runtime {asked!r} is unknown; known are {', '.join((AUTO, *RUNTIMES))}")
    if asked == HALF and kind != "cuda":
        raise ConfigError(f"runtime {asked} needs a CUDA device")
    if asked in PARTS and not packs:
        raise ConfigError(f"runtime {asked} needs a CPU and a torch built with oneDNN")
    if asked != AUTO:
        return asked
    if not fusible(network) or not (packs or kind == "cuda"):
        return "eager"
    chosen = HALF if kind == "cuda" else "int8" if has_byte_products() else "fp32"
    log.info("runtime chosen", extra={"runtime": chosen})
    return chosen
