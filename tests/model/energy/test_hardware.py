"""Energy on named hardware: neuron updates and memory traffic by hand."""

from dataclasses import replace

import pytest

from spikewatch.model.energy.formulas import PAPER_COSTS, Energy
from spikewatch.model.energy.hardware import (
    HARDWARE,
    access_pj,
    ann_traffic_pj,
    hardware_energy,
    synapse_traffic_pj,
)
from spikewatch.model.energy.report import EnergyMeter, EnergyReport, LayerReport
from spikewatch.model.network.layer import ConvKernel, Layer
from tests.model.support.fakes import event_like_frames, small_detector

# 4 -> 8 channels, 3x3, on 2x2 pixels: 288 weights, 16 inputs, 32 outputs, 1,152 MACs a slice.
LAYER = Layer("conv", ConvKernel(4, 8, 3), 2, 2)
SPIKING = LayerReport(LAYER, 0.25, Energy(ac=600, ann_mac=2 * 1152), Energy(500, ann_mac=2 * 1152), None)
ENCODER = replace(SPIKING, firing_rate=None, exact=Energy(mac=2 * 1152, ann_mac=2 * 1152))


def report(*layers: LayerReport) -> EnergyReport:
    return EnergyReport(layers, 2, 4, 1.0, PAPER_COSTS, (32, 10), 50_000)


def test_a_chip_updates_each_neuron_in_each_virtual_step() -> None:
    cost = hardware_energy(report(SPIKING, ENCODER), HARDWARE["loihi"])
    assert cost.synapses_mj == pytest.approx((500 + 2 * 1152) * 23.6e-9)
    assert cost.neurons_mj == pytest.approx(42 * 2 * 4 * 81e-9)
    assert (cost.memory_mj, cost.ann_mj) == (0, None)
    assert cost.total_mj == cost.synapses_mj + cost.neurons_mj


def test_45_nm_updates_each_neuron_once_a_slice() -> None:
    cost = hardware_energy(report(SPIKING, ENCODER), HARDWARE["45nm-neurons"])
    assert cost.synapses_mj == pytest.approx((500 * 0.9 + 2 * 1152 * 4.6) / 1e9)
    assert cost.neurons_mj == pytest.approx(42 * 2 * 5.5e-9)
    assert cost.ann_mj == pytest.approx(2 * 2 * 1152 * 4.6e-9)


def test_memory_traffic_without_reuse() -> None:
    """All memories here are under 8 KiB: 5 pJ an access. 16 inputs x 0.25 x D 4 x T 2 are 32 spikes."""
    whole = report(SPIKING, ENCODER)
    spiking, real = (2 * 32 + 3 * 500) * 5.0, 2 * (2 * 1152 + 32) * 5.0
    assert synapse_traffic_pj(SPIKING, whole) == spiking
    assert ann_traffic_pj(SPIKING, 2) == synapse_traffic_pj(ENCODER, whole) == real
    updates = 2 * 2 * (32 + 10) * 5.0
    cost = hardware_energy(whole, HARDWARE["45nm-memory"])
    assert cost.memory_mj == pytest.approx((spiking + real + updates) / 1e9)
    assert cost.ann_mj == pytest.approx((2 * 2 * 1152 * 4.6 + 2 * real) / 1e9)


@pytest.mark.parametrize(
    ("size", "pj"), [(1, 5), (8 << 10, 5), (20 << 10, 7.5), (32 << 10, 10), (528 << 10, 30), (9 << 20, 50)]
)
def test_an_access_costs_more_in_a_larger_memory(size: int, pj: float) -> None:
    assert access_pj(size // 4) == pytest.approx(pj, abs=0.01)


def test_power_is_energy_over_the_length_of_a_window() -> None:
    assert report(SPIKING).milliwatts(0.5) == pytest.approx(5)
    assert replace(report(SPIKING), slice_us=None).milliwatts(0.5) is None


def test_a_measured_report_knows_its_membranes() -> None:
    detector = small_detector()
    meter = EnergyMeter(detector)
    out = detector.step(event_like_frames(1, detector.spec), detector.init_state(), exact=True)
    meter.add(out)
    found = meter.report(1)
    assert sum(found.membranes) == sum(membrane[0].numel() for membrane in out.state.values())
    costs = {name: hardware_energy(found, hardware).total_mj for name, hardware in HARDWARE.items()}
    assert found.exact.snn_mj < costs["45nm-neurons"] < costs["45nm-memory"]
