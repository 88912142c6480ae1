"""Energy estimate by the paper's formulas (equations 16 and 17), on the folded network.

At 45 nm and 32 bits a multiply-accumulate costs 4.6 pJ and an accumulate 0.9 pJ. The result estimates the
energy of synaptic operations on neuromorphic hardware; it does not measure this machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spikewatch.model.network.layer import Layer

E_MAC_PJ = 4.6
"""Horowitz, ISSCC 2014, as cited by the paper."""

E_AC_PJ = 0.9

PJ_PER_MJ = 1e9


@dataclass(frozen=True, slots=True)
class OperationCosts:
    """Energy of one operation in picojoules."""

    mac_pj: float = E_MAC_PJ
    ac_pj: float = E_AC_PJ


PAPER_COSTS = OperationCosts()


@dataclass(frozen=True, slots=True)
class Energy:
    """Synaptic operations and their energy, over any number of slices.

    Attributes:
        ac: accumulations: spikes times the mean fan-out of their layer.
        mac: multiply-accumulates of layers with real-valued input, such as the encoder.
        ann_mac: multiply-accumulates of the same network as an ANN.
    """

    ac: float = 0.0
    mac: float = 0.0
    ann_mac: float = 0.0

    def spiking_mj(self, costs: OperationCosts = PAPER_COSTS) -> float:
        """Return the spiking energy in millijoules (equation 17; real-valued layers at the cost of a MAC)."""
        return (self.ac * costs.ac_pj + self.mac * costs.mac_pj) / PJ_PER_MJ

    def as_ann_mj(self, costs: OperationCosts = PAPER_COSTS) -> float:
        """Return the energy of the same network as an ANN in millijoules (equation 16)."""
        return self.ann_mac * costs.mac_pj / PJ_PER_MJ

    @property
    def snn_mj(self) -> float:
        """`spiking_mj` at the paper's costs."""
        return self.spiking_mj()

    @property
    def ann_mj(self) -> float:
        """`as_ann_mj` at the paper's costs."""
        return self.as_ann_mj()

    def __add__(self, other: "Energy") -> "Energy":
        """Add operations of other slices or layers."""
        return Energy(self.ac + other.ac, self.mac + other.mac, self.ann_mac + other.ann_mac)


def layer_energy(layer: Layer, mean_spikes: float, slices: float = 1) -> Energy:
    """Compute the energy of one convolution.

    Args:
        layer: its geometry.
        mean_spikes: mean input integer, which is D times the firing rate; ignored for real-valued input.
        slices: number of slices that were run.
    """
    macs = layer.macs * slices
    if layer.spiking:
        return Energy(ac=macs * mean_spikes, ann_mac=macs)
    return Energy(mac=macs, ann_mac=macs)


def slice_energy(layers: Sequence[Layer], mean_spikes: Mapping[str, float]) -> Energy:
    """Compute the energy of one slice.

    Args:
        layers: convolutions of the network.
        mean_spikes: layer name -> mean input integer; without the layers that have real-valued input.
    """
    ac = mac = 0.0
    for layer in layers:
        if layer.spiking:
            ac += layer.macs * mean_spikes.get(layer.name, 0.0)
        else:
            mac += layer.macs
    return Energy(ac, mac, sum(layer.macs for layer in layers))


def firing_rates(
    layers: Iterable[Layer], spikes: Mapping[str, float], d_max: int, slices: int = 1
) -> dict[str, float]:
    """Compute the firing rate at the input of each layer for each virtual binary step, in 0..1.

    If the input is a sum of several neurons (YOLOv8's shortcuts), this is the mean rate of one neuron.

    Args:
        layers: convolutions of the network.
        spikes: layer name -> sum of the integers over all slices.
        d_max: D, virtual steps of one slice.
        slices: number of slices in the sums.
    """
    return {
        layer.name: spikes[layer.name] / (layer.neurons * layer.spike_trains * d_max * slices)
        for layer in layers
        if layer.spiking
    }


def mean_firing_rate(
    layers: Iterable[Layer], spikes: Mapping[str, float], d_max: int, slices: int = 1
) -> float:
    """Compute the mean spikes for each neuron and virtual step over all layers; 0 for an ANN."""
    neurons = sum(layer.neurons * layer.spike_trains for layer in layers if layer.spiking)
    return sum(spikes.values()) / (neurons * d_max * slices) if neurons else 0.0
