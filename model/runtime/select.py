"""Runtime selection by device, processor and network."""

import logging

import torch

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.runtime.compiled.instruction_sets import select_instruction_set
from spikewatch.model.runtime.compiled.layout import unsupported_reason
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.cpu import PRECISIONS, is_supported
from spikewatch.model.runtime.gpu import HALF
from spikewatch.model.runtime.names import AUTO, COMPILED

log = logging.getLogger("spikewatch.runtime")

RUNTIMES = ("eager", *PRECISIONS, COMPILED, HALF)
"""Names of the runtimes; AUTO selects one of them."""


def has_vnni() -> bool:
    """Return whether the processor has int8 dot products (VNNI or AMX); int8 gains little without them."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def _compiles_fast(network: Network, options: CompileOptions) -> bool:
    """Return whether the compiled runtime supports a network, and this processor multiplies bytes fast."""
    target = select_instruction_set(options.instruction_set)
    if target.name == "generic" and options.instruction_set == AUTO:
        return False
    # channels do not depend on the size of the input
    reason = unsupported_reason(trace_shapes(network, 64, 64).layers)
    if reason:
        log.info("runtime compiled is not used", extra={"reason": reason})
    return reason is None


def select_runtime(
    requested: str,
    network: Network,
    device: torch.device | str,
    compile_options: CompileOptions | None = None,
) -> str:
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
    if requested == COMPILED and (device_type != "cpu" or not is_supported(network)):
        raise ConfigError(
            f"runtime {requested} needs a CPU and the paper's SpikeYOLO (the device is {device_type}); "
            "choose auto"
        )
    if requested in PRECISIONS and not has_onednn:
        raise ConfigError(
            f"runtime {requested} needs a CPU and a torch build with oneDNN (the device is {device_type}); "
            "choose auto"
        )
    if requested != AUTO:
        return requested
    runtime = _fastest_runtime(network, device_type, compile_options or CompileOptions.from_environment())
    log.info("runtime selected", extra={"runtime": runtime})
    return runtime


def _fastest_runtime(network: Network, device_type: str, options: CompileOptions) -> str:
    if not is_supported(network):
        return "eager"
    if device_type == "cuda":
        return HALF
    if device_type == "cpu" and _compiles_fast(network, options):
        return COMPILED
    if device_type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "int8" if has_vnni() else "fp32"
    return "eager"
