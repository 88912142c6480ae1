"""Energy formulas equal the authors' layer table and values by hand."""

import csv
from pathlib import Path

import pytest
import torch

from spikewatch.model.checkpoints.official_names import official_layer_names
from spikewatch.model.energy.formulas import firing_rates, slice_energy
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.layer import ConvKernel, Layer
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.spikeyolo import SpikeYOLO
from tests.model.support.fakes import event_like_frames, small_detector

LEDGER_SLIPS = {"12.Conv.lif3", "22.lif1", "22.lif2"}
"""Rows where the authors' ledger differs from their network: 20x20 for 40x40, and expansion 2 for 3."""


def ledger_layer(row: dict[str, str]) -> Layer:
    kernel = ConvKernel(*(int(row[k]) for k in ("in_channels", "out_channels", "kernel", "stride", "groups")))
    height, width = int(row["in_height"]), int(row["in_width"])
    name = "encoder" if row["layer"] == "1.encode_conv" else row["layer"]
    return Layer(name, kernel, height, width, name != "encoder")


@pytest.fixture(scope="module")
def ledger(golden: Path) -> list[dict[str, str]]:
    with (golden / "energy_s_coco.csv").open() as file:
        return list(csv.DictReader(file))


def test_authors_layer_table_sums_to_the_published_energy(ledger: list[dict[str, str]]) -> None:
    spikes = {row["layer"]: float(row["mean_integer_spikes"] or 0) for row in ledger}
    energy = slice_energy([ledger_layer(row) for row in ledger], spikes)
    assert round(energy.snn_mj, 2) == 34.60
    assert round(energy.ann_mj, 1) == 465.6
    assert round(energy.ann_mac / 1e9, 1) == 101.2


def test_traced_shapes_equal_the_authors_layer_table(ledger: list[dict[str, str]]) -> None:
    with torch.device("meta"):
        network = SpikeYOLO(SpikeYOLOConfig("s", 80, 3))
    names = official_layer_names(network)
    traced = {
        names[layer.name].removeprefix("model.") if layer.spiking else "1.encode_conv": layer
        for layer in trace_shapes(network, 640, 640).layers
    }
    assert traced.keys() == {row["layer"] for row in ledger}
    differing = set()
    for row in ledger:
        ours, theirs = traced[row["layer"]], ledger_layer(row)
        same_size = (ours.in_height, ours.out_height) == (theirs.in_height, theirs.out_height)
        if ours.kernel != theirs.kernel or not same_size:
            differing.add(row["layer"])
    assert differing == LEDGER_SLIPS


def test_energy_of_one_layer_by_hand() -> None:
    """16 x 16 outputs, 8 -> 4 channels, 3x3: 73,728 MAC; half an integer each: 36,864 AC."""
    layer = Layer("a", ConvKernel(8, 4, 3), 16, 16)
    energy = slice_energy([layer], {"a": 0.5})
    assert (layer.macs, energy.ac, energy.mac) == (73_728, 36_864, 0)
    assert energy.snn_mj == pytest.approx(36_864 * 0.9e-9)
    assert energy.ann_mj == pytest.approx(73_728 * 4.6e-9)


def test_firing_rates_equal_fired_spikes() -> None:
    detector = small_detector()
    out = detector.step(event_like_frames(2, detector.spec), detector.init_state(2))
    _, spikes = out.sample(1)
    rates = firing_rates(detector.layers, spikes, detector.spec.config.d_max)
    assert rates.keys() == detector.state_shapes.keys()
    assert all(0 <= rate <= 1 for rate in rates.values())
    layer = next(layer for layer in detector.layers if layer.name == "down1")
    assert rates["down1"] == spikes["down1"] / (layer.neurons * 4)
