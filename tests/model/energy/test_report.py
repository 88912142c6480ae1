"""Energy report: sums, operation costs, and degraded layers."""

import pytest
import torch

from spikewatch.model.checkpoints.checkpoint import untrained_network
from spikewatch.model.detector import Detector
from spikewatch.model.energy.degradation import classify_degradation
from spikewatch.model.energy.formulas import OperationCosts
from spikewatch.model.energy.report import EnergyMeter, EnergyReport
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import Synapses
from tests.model.support.fakes import event_like_frames, small_detector


def measured(detector: Detector, slices: int = 4) -> EnergyReport:
    meter, state = EnergyMeter(detector), detector.init_state()
    for frame in event_like_frames(6, detector.spec):
        out = detector.step(frame[None], state, exact=True)
        state = out.state
        meter.add(out)
    return meter.report(slices)


def test_window_energy_is_the_mean_over_slices() -> None:
    detector = small_detector()
    one, four = measured(detector, 1), measured(detector, 4)
    assert (one.windows, four.windows) == (6, 1.5)
    assert four.formula.snn_mj == pytest.approx(4 * one.formula.snn_mj)
    assert four.exact.ac == pytest.approx(4 * one.exact.ac)
    assert [row.firing_rate for row in one.layers] == [row.firing_rate for row in four.layers]
    assert four.formula.ann_mac == 4 * sum(layer.macs for layer in detector.layers)
    encoder = four.layers[0]
    assert (encoder.firing_rate, encoder.exact.ac, encoder.formula.mac) == (None, 0, 4 * encoder.layer.macs)


def test_each_sample_of_a_batch_counts_as_a_slice() -> None:
    detector = small_detector()
    frames = event_like_frames(3, detector.spec)
    together, apart = EnergyMeter(detector), EnergyMeter(detector)
    together.add(detector.step(frames, detector.init_state(3), exact=True))
    apart.add_all(detector.step(f[None], detector.init_state(), exact=True) for f in frames)
    assert together.report(1) == apart.report(1)


def test_operation_costs_are_configurable() -> None:
    report = measured(small_detector())
    total = report.formula
    assert total.spiking_mj(OperationCosts(mac_pj=0, ac_pj=1)) == pytest.approx(total.ac / 1e9)
    assert total.spiking_mj(OperationCosts(mac_pj=2, ac_pj=0)) == pytest.approx(2 * total.mac / 1e9)
    assert total.as_ann_mj(OperationCosts(mac_pj=2, ac_pj=0)) == pytest.approx(2 * total.ann_mac / 1e9)


def test_silent_and_saturated_layers_are_reported() -> None:
    network = untrained_network(SpikeYOLOConfig())
    layers = {m.name: m for m in network.modules() if isinstance(m, Synapses)}
    with torch.no_grad():
        for name, shift in (("stage2.0.conv1", -100.0), ("stage3.0.token.pw1", 100.0)):
            layers[name].conv.bn.bias.fill_(shift)  # type: ignore[union-attr, operator]
    detector = Detector(network, small_detector().spec)
    degraded = measured(detector).degraded
    assert degraded["stage2.0.conv2"] == "silent"
    assert degraded["stage3.0.token.dw2"] == "saturated"
    assert measured(small_detector()).degraded == {}


def test_degradation_thresholds() -> None:
    rates = (0.0, 0.0009, 0.001, 0.5, 0.9, 0.91, 1.0)
    assert [classify_degradation(r) for r in rates] == ["silent"] * 2 + [None] * 3 + ["saturated"] * 2


def test_report_without_slices_raises() -> None:
    with pytest.raises(ValueError, match="no slice was run"):
        EnergyMeter(small_detector()).report(4)
