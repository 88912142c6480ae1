"""Instruction sets that kernels are compiled for, and the choice among them.

Code is compiled for a fixed level of the architecture, not for the machine's exact model. So the same code
runs in the tests and on every machine of the level.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm

from spikewatch.model.errors import ConfigError

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """One way to compile the kernels.

    Attributes:
        name: its name in options and logs.
        triple: target of LLVM; empty: that of this process.
        cpu, features: level of the architecture, in LLVM's words.
        requires: features that a processor must have.
        dot: name of the byte product in `byte_products.py`.
        accumulators: 16-lane sums that fit into the registers, beside weights and one input.
        fused: whether a multiplication and an addition are one instruction.
    """

    name: str
    triple: str
    cpu: str
    features: str
    requires: tuple[str, ...]
    dot: str
    accumulators: int
    fused: bool = True

    @property
    def wide(self) -> bool:
        """Return whether 16 lanes are one register, and there are 32 of them."""
        return self.accumulators > 8


_X86 = ("avx2", "fma")
INSTRUCTION_SETS = {
    each.name: each
    for each in (
        InstructionSet(
            "avx512_vnni",
            "",
            "x86-64-v4",
            "+avx512vnni,+prfchw",
            (*_X86, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512vnni"),
            "vpdpbusd_512",
            20,
        ),
        InstructionSet(
            "avx_vnni", "", "x86-64-v3", "+avxvnni,+prfchw", (*_X86, "avxvnni"), "vpdpbusd_256", 6
        ),
        InstructionSet("avx2", "", "x86-64-v3", "", _X86, "pmaddubsw", 6),
        InstructionSet(
            "neon_dotprod",
            "",
            "generic",
            "+neon,+dotprod",
            ("dotprod",),
            "sdot",
            6,
        ),
        InstructionSet("generic", "", "", "", (), "widened", 4, fused=False),
    )
}
"""Name -> instruction set, the fastest first. `generic` runs everywhere, slowly."""

NAMES = (AUTO, *INSTRUCTION_SETS)


@cache
def _host_features() -> Mapping[str, bool]:
    """Features of this processor that the operating system supports too."""
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot tell on this platform
        return {}


def is_available(target: InstructionSet) -> bool:
    """Return whether this processor has an instruction set."""
    features = _host_features()
    return all(features.get(name, False) for name in target.requires)


def select_instruction_set(requested: str = AUTO) -> InstructionSet:
    """Return the requested instruction set; for `auto` the fastest of this processor.

    Raises:
        ConfigError: the name is unknown, or this processor lacks the instruction set.
    """
    if requested not in NAMES:
        raise ConfigError(f"instruction set {requested!r} is unknown; known are {', '.join(NAMES)}")
    available = [target for target in INSTRUCTION_SETS.values() if is_available(target)]
    if requested == AUTO:
        return available[0]
    target = INSTRUCTION_SETS[requested]
    if target not in available:
        names = ", ".join(each.name for each in available)
        raise ConfigError(
            f"instruction set {requested} is not available on this {platform.machine()} processor, which has "
            f"{names}; choose one of these, or {AUTO}"
        )
    return target
