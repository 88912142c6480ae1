"""Energy on named hardware: neuron updates and memory traffic beside synaptic operations.

The paper's formulas price synaptic operations only. These estimates add what a chip also spends:

- **neuron updates**: one update of each membrane in each slice at 45 nm (decay, input, reset); on a chip that
  runs in time steps, one in each of the D virtual steps.
- **memory traffic** (`45nm-memory`), counted without reuse as by Lemaire et al. (ICONIP 2022,
  arXiv:2210.13107). Spiking: each input spike is written and read once; each accumulation reads a weight, and
  reads and writes a membrane; so does each update of a neuron with its membrane. ANN: each
  multiply-accumulate reads a weight and an input; each output is written once.

They are estimates from published figures. None is a measurement of this network on a chip.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from spikewatch.model.energy.formulas import E_AC_PJ, E_MAC_PJ, PJ_PER_MJ

if TYPE_CHECKING:  # imports torch, and the command line imports this for its help
    from spikewatch.model.energy.report import EnergyReport, LayerReport

WORD_BYTES = 4

SRAM_PJ = ((8 << 10, 5.0), (32 << 10, 10.0), (1 << 20, 50.0))
"""Bytes, picojoules of a 32-bit access: half of Horowitz' 64-bit figures (ISSCC 2014, 45 nm)."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Costs of one kind of hardware in picojoules.

    Attributes:
        synapse_pj: one accumulation, or one synaptic operation of a chip.
        mac_pj: one multiply-accumulate of the encoder, whose input is real-valued.
        neuron_pj: one update of a neuron; 0 where `synapse_pj` includes it.
        source: origin of the figures.
        steps: True if neurons are updated in each of the D virtual steps, False if once a slice.
        memory: True if memory traffic is added.
    """

    synapse_pj: float
    mac_pj: float
    neuron_pj: float
    source: str
    steps: bool = True
    memory: bool = False

    @property
    def runs_ann(self) -> bool:
        """True if the hardware would run the ANN twin too."""
        return not self.steps


_UPDATE_PJ = E_MAC_PJ + E_AC_PJ

HARDWARE = {
    "45nm-neurons": Hardware(E_AC_PJ, E_MAC_PJ, _UPDATE_PJ, "Horowitz, ISSCC 2014", steps=False),
    "45nm-memory": Hardware(
        E_AC_PJ, E_MAC_PJ, _UPDATE_PJ, "Horowitz, ISSCC 2014; Lemaire et al., 2022", steps=False, memory=True
    ),
    "loihi": Hardware(23.6, 23.6, 81.0, "Davies et al., IEEE Micro 38(1), 2018, table 2"),
    "truenorth": Hardware(26.0, 26.0, 0.0, "Merolla et al., Science 345, 2014"),
    "odin": Hardware(12.7, 12.7, 0.0, "Frenkel et al., IEEE TBioCAS 13(1), 2019"),
}
"""Name -> costs. A chip has no MAC: the encoder's are priced as synaptic operations."""


@dataclass(frozen=True, slots=True)
class HardwareEnergy:
    """Millijoules of one window of T slices; `ann_mj` is None where the hardware runs no ANN."""

    synapses_mj: float
    neurons_mj: float
    memory_mj: float
    ann_mj: float | None

    @property
    def total_mj(self) -> float:
        """Sum of synapses, neurons and memory."""
        return self.synapses_mj + self.neurons_mj + self.memory_mj


def hardware_energy(report: "EnergyReport", hardware: Hardware) -> HardwareEnergy:
    """Estimate one window on `hardware`, from exactly counted accumulations."""
    exact = report.exact
    updates = sum(report.membranes) * report.slices * (report.d_max if hardware.steps else 1)
    ann_pj = exact.ann_mac * hardware.mac_pj
    memory_pj = 0.0
    if hardware.memory:
        memory_pj = sum(synapse_traffic_pj(row, report) for row in report.layers)
        memory_pj += report.slices * sum(2 * count * access_pj(count) for count in report.membranes)
        ann_pj += sum(ann_traffic_pj(row, report.slices) for row in report.layers)
    return HardwareEnergy(
        (exact.ac * hardware.synapse_pj + exact.mac * hardware.mac_pj) / PJ_PER_MJ,
        updates * hardware.neuron_pj / PJ_PER_MJ,
        memory_pj / PJ_PER_MJ,
        ann_pj / PJ_PER_MJ if hardware.runs_ann else None,
    )


def synapse_traffic_pj(row: "LayerReport", report: "EnergyReport") -> float:
    """Picojoules of the memory traffic of one spiking convolution over a window of T slices."""
    if row.firing_rate is None:
        return ann_traffic_pj(row, report.slices)
    layer = row.layer
    spikes = row.firing_rate * layer.neurons * layer.spike_trains * report.d_max * report.slices
    membrane_pj = access_pj(_outputs(row))
    return 2 * spikes * access_pj(layer.neurons) + row.exact.ac * (access_pj(_weights(row)) + 2 * membrane_pj)


def ann_traffic_pj(row: "LayerReport", slices: int) -> float:
    """Picojoules of the memory traffic of one convolution as an ANN over `slices` slices."""
    layer = row.layer
    reads = layer.macs * (access_pj(_weights(row)) + access_pj(layer.neurons))
    return slices * (reads + _outputs(row) * access_pj(_outputs(row)))


def access_pj(words: int) -> float:
    """Picojoules of one 32-bit access to a memory of `words` words, linear between the sizes of SRAM_PJ.

    A memory beyond 1 MiB is one of several banks of 1 MiB; the wires between banks are left out.
    """
    size = words * WORD_BYTES
    if size <= SRAM_PJ[0][0]:
        return SRAM_PJ[0][1]
    for (small, low), (large, high) in pairwise(SRAM_PJ):
        if size <= large:
            return low + (high - low) * (size - small) / (large - small)
    return SRAM_PJ[-1][1]


def _weights(row: "LayerReport") -> int:
    kernel = row.layer.kernel
    return kernel.in_channels * kernel.out_channels * kernel.size**2 // kernel.groups


def _outputs(row: "LayerReport") -> int:
    return row.layer.kernel.out_channels * row.layer.out_height * row.layer.out_width
