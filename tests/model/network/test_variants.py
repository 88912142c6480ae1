"""Network variants of the paper: parameter counts, and properties that hold for all of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spikewatch.model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.network.neuron import ILIF, ilif_step
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.step import StepContext
from spikewatch.model.network.transformer import SpikeAttention
from spikewatch.model.paper_tables import PAPER_ROWS, TABLE_5, PaperRow
from spikewatch.model.runtime.binary_spikes import SpikeDrivenConv, to_spike_driven
from spikewatch.model.spec import REPRESENTATION_CHANNELS, WINDOW_US
from tests.model.support.fakes import event_like_frames, small_detector
from tests.support import slow_after

SPIKING: dict[str, dict[str, Any]] = {
    "baseline": {},
    "gen1 neuron": {"beta": 0.5, "input_gain": 0.5},
    "learned beta": {"beta_mode": "learned"},
    "neurons inside": {"reparameterised": False},
    "snn-block-2": {"low_block": "snn2"},
    "transformer": {"high_block": "transformer"},
    "anchors": {"head": "anchor_based"},
    "yolov8": {"architecture": "yolov8", "scale": "n"},
}
DFL = 16
"""Constants of the DFL, which the published counts of anchor-free networks include."""


def parameters(config: SpikeYOLOConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_network(config).parameters())


def detector(variant: dict[str, Any]) -> Detector:
    return small_detector(config=SpikeYOLOConfig(**variant))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("table5/baseline", 23_153_024 - DFL),
        ("table5/no-reparameterisation", 23_137_664 - DFL),
        ("table5/snn-block-2", 19_917_760 - DFL),
        ("table5/transformer", 24_493_184 - DFL),
        ("table5/anchor-based", 21_235_261),
        ("table2/yolov8", 25_902_640 - DFL),
        ("table2/spiking-yolov8-1x1", 25_902_640 - DFL),
        ("table2/ann", 23_153_024 - DFL),
    ],
)
def test_parameter_counts_of_variants_are_published(row: str, expected: int) -> None:
    """YOLOv8m's 25,902,640 is its authors' own figure; the others are ours."""
    assert parameters(PAPER_ROWS[row].config) == expected


@pytest.mark.parametrize("row", TABLE_5, ids=lambda row: row.name)
def test_table_5_sizes_equal_the_paper(row: PaperRow) -> None:
    """To the last digit printed, rounded or cut off."""
    assert row.parameters_m == pytest.approx(parameters(row.config) / 1e6, abs=0.06)


@pytest.mark.parametrize(
    ("config", "size", "ann_mj"),
    [
        (PAPER_ROWS["table2/ann"].config, (640, 640), 480.8),
        (PAPER_ROWS["table3/ann"].config, (256, 320), 96.1),
        (PAPER_ROWS["table5/no-reparameterisation"].config, (640, 640), 277.4),
        (replace(PAPER_ROWS["table3/s-4x2"].config, reparameterised=False), (256, 320), 55.4),
        (PAPER_ROWS["table2/yolov8"].config, (640, 640), 181.6),
    ],
)
def test_ann_energies_equal_the_paper(config: SpikeYOLOConfig, size: tuple[int, int], ann_mj: float) -> None:
    with torch.device("meta"):
        layers = trace_shapes(build_network(config), *size).layers
    assert round(sum(layer.macs for layer in layers) * 4.6e-9, 1) == ann_mj


def test_fused_yolov8_m_has_25_8_million_parameters() -> None:
    with torch.device("meta"):
        network = build_network(PAPER_ROWS["table2/yolov8"].config)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    fused = parameters(PAPER_ROWS["table2/yolov8"].config) + DFL - sum(2 * m.num_features for m in norms)
    assert fused + sum(m.num_features for m in norms) == 25_886_080


@pytest.mark.parametrize(
    ("scale", "published"), [("n", 3_157_200), ("s", 11_166_560), ("m", 25_902_640), ("l", 43_691_520)]
)
def test_yolov8_parameter_counts_equal_the_published(scale: str, published: int) -> None:
    config = SpikeYOLOConfig(scale, 80, 3, architecture="yolov8")
    assert parameters(config) + DFL == published


def test_every_paper_row_builds_a_network() -> None:
    for row in PAPER_ROWS.values():
        spec = row.spec
        assert spec.config.in_channels == REPRESENTATION_CHANNELS[spec.representation]
        assert spec.slice_us * spec.slices == WINDOW_US["paper"]
        assert row.parameters_m == pytest.approx(parameters(row.config) / 1e6, abs=0.35)
    assert {(r.slices, r.config.d_max) for r in PAPER_ROWS.values() if r.name.startswith("table4/")} >= {
        *((1, 1), (1, 2), (2, 1), (2, 2), (2, 4), (4, 1), (4, 2), (8, 1))
    }


@pytest.mark.parametrize("name", slow_after(3, SPIKING))
def test_modes_agree_and_every_layer_fires(name: str) -> None:
    integer = detector(SPIKING[name])
    spike = Detector(to_spike_driven(integer.network), integer.spec)
    assert any(isinstance(m, SpikeDrivenConv) for m in spike.network.modules())
    states, fired = [integer.init_state(), spike.init_state()], dict.fromkeys(integer.state_shapes, 0)
    for frame in event_like_frames(3, integer.spec):
        a, b = (d.step(frame[None], s) for d, s in zip((integer, spike), states, strict=True))
        assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
        assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)
        assert a.sample(0)[1] == b.sample(0)[1]
        states = [a.state, b.state]
        fired |= a.sample(0)[1]
    assert min(count for layer, count in fired.items() if layer in a.spikes) > 0


@pytest.mark.parametrize("name", slow_after(3, SPIKING))
def test_samples_of_a_batch_are_independent(name: str) -> None:
    """Two streams side by side equal each alone, slice after slice."""
    both = detector(SPIKING[name])
    streams = [event_like_frames(3, both.spec, seed) for seed in (1, 2)]
    state, alone = both.init_state(2), [both.init_state(), both.init_state()]
    for t in range(3):
        together = both.step(torch.stack([s[t] for s in streams]), state)
        state = together.state
        for i, stream in enumerate(streams):
            out = both.step(stream[t : t + 1], alone[i])
            alone[i] = out.state
            assert out.sample(0)[1] == together.sample(i)[1]
            assert all(torch.equal(x[0], y[i]) for x, y in zip(out.logits, together.logits, strict=True))


@pytest.mark.parametrize("architecture", ["spikeyolo", "yolov8"])
@pytest.mark.parametrize("neuron", ["silu", "relu"])
def test_ann_has_neither_membranes_nor_spikes(architecture: str, neuron: str) -> None:
    twin = detector({"architecture": architecture, "scale": "n", "neuron": neuron})
    out = twin.step(event_like_frames(1, twin.spec), twin.init_state())
    assert (out.state, out.spikes, twin.state_shapes) == ({}, {}, {})
    assert not any(layer.spiking for layer in twin.layers)
    spiking = detector({"architecture": architecture, "scale": "n"})
    assert [layer.macs for layer in twin.layers] == [layer.macs for layer in spiking.layers]
    with pytest.raises(ConfigError, match="no spikes to run on"):
        to_spike_driven(twin.network)


@torch.inference_mode()
def test_linear_attention_equals_quadratic_attention() -> None:
    """Q (K^T V) against the sum over all pairs of pixels, head by head."""
    config = SpikeYOLOConfig(high_block="transformer")
    layer = SpikeAttention(config, 64)
    layer.q.name, layer.k.name, layer.v.name = "q", "k", "v"
    qkv = torch.randint(0, 5, (1, 192, 3, 5), generator=torch.Generator().manual_seed(0)).float()
    step = StepContext({name: torch.zeros(1, 64, 3, 5) for name in "qkv"})
    q, k, v = (x.reshape(8, 8, 15) for x in qkv[0].chunk(3))
    pairs = torch.einsum("gen,gem->gnm", q, k)
    expected = torch.einsum("gnm,gem->gen", pairs, v) * (0.125 / 16)
    assert torch.equal(layer(qkv, step)[0].reshape(8, 8, 15), expected)
    assert {name: int(n) for name, n in step.spikes.items()} == {"q": int(q.sum()), "k": int(k.sum())}


def test_learned_beta_starts_at_default_and_is_trained() -> None:
    learned = detector({"beta_mode": "learned"})
    decays = [m.beta for m in learned.network.modules() if isinstance(m, ILIF)]
    assert len(decays) == 88
    step = StepContext(learned.init_state())
    frames = event_like_frames(2, learned.spec)
    learned.network(frames[:1], step)
    torch.cat(
        [level.flatten() for level in learned.network(frames[1:], StepContext(step.next_state))]
    ).sum().backward()
    gradients = []
    for beta in decays:
        assert isinstance(beta, torch.nn.Parameter)
        assert beta.item() == 0.25
        assert beta.grad is not None
        gradients.append(beta.grad.item())
    assert sum(g != 0 for g in gradients) > 44


def test_learned_beta_is_saved_and_clamped(tmp_path: Path) -> None:
    learned = detector({"beta_mode": "learned"})
    layer = next(m for m in learned.network.modules() if isinstance(m, SpikeConv))
    assert isinstance(layer.lif.beta, torch.Tensor)
    frames = event_like_frames(1, learned.spec)
    before = learned.step(frames, learned.init_state()).state[layer.name]
    layer.lif.beta.data.fill_(1.5)
    save_checkpoint(tmp_path / "w.safetensors", learned.network, learned.spec)
    loaded = load_checkpoint(tmp_path / "w.safetensors")
    after = loaded.step(frames, loaded.init_state()).state[layer.name]
    assert torch.equal(after, before * 4)


def test_beta_outside_its_bounds_gets_a_gradient() -> None:
    neuron = ILIF(0.25, 4, learn_beta=True)
    neuron.name = "n"
    assert isinstance(neuron.beta, torch.nn.Parameter)
    for outside in (-0.2, 1.2):
        neuron.beta.data.fill_(outside)
        neuron.beta.grad = None
        step = StepContext({"n": torch.zeros(1, 1, 1, 1)})
        neuron(torch.full((1, 1, 1, 1), 0.4), step)
        assert step.next_state["n"].item() == pytest.approx(0.4 * min(max(outside, 0), 1))
        step.next_state["n"].sum().backward()
        assert neuron.beta.grad is not None
        assert neuron.beta.grad.item() == pytest.approx(0.4)


def test_gen1_neuron_equals_the_authors_code() -> None:
    """v = 0.5 v + 0.5 x; fire clip(round(v), 0, 4); subtract what was fired."""
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 3
    v, h = torch.zeros(3), torch.zeros(3)
    for current in x:
        v = 0.5 * v + 0.5 * current
        fired = v.round().clamp(0, 4)
        v = v - fired
        s, h = ilif_step(current, h, beta=0.5, d_max=4, input_gain=0.5)
        assert torch.equal(s, fired)
        assert torch.equal(h, 0.5 * v)


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"architecture": "yolov9"}, "architecture 'yolov9' is unknown; known are spikeyolo, yolov8"),
        ({"architecture": "yolov8"}, "scale 't' is unknown; known are n, s, m, l"),
        (
            {"architecture": "yolov8", "scale": "n", "low_block": "snn2"},
            "yolov8 has blocks and a head of its own",
        ),
        ({"neuron": "silu", "beta_mode": "learned"}, "has no membrane"),
        ({"input_gain": 2.0}, "input_gain is 2.0, expected 0 to 1"),
        ({"repeats": (1, 0, 1, 1)}, "expected four numbers"),
    ],
)
def test_invalid_network_configurations_are_rejected(variant: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SpikeYOLOConfig(**variant)
