"""GPU runtime on a CPU: exact where sums are exact, and equal with and without CUDA graphs."""

import gc
import os
import random

import pytest
import torch
from torch import Tensor

from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError, StateError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.state import StateBank
from spikewatch.model.runtime.cuda_graphs import CudaGraphNetwork
from spikewatch.model.runtime.gpu import HalfPrecisionNetwork, select_fire_kernel
from spikewatch.model.runtime.ilif_gpu import ILIFConstants, fire_torch
from spikewatch.model.runtime.select import select_runtime
from tests.model.support.fake_cuda import FakeGraph, pretend
from tests.model.support.fakes import calibrated_detector, event_like_frames, small_detector
from tests.model.support.runtimes import FUSIBLE, SLICES, equal, on
from tests.support import slow_after

SESSIONS = 4


def half_network(detector: Detector, dtype: torch.dtype = torch.float32) -> HalfPrecisionNetwork:
    return HalfPrecisionNetwork(detector.network, detector.layers, dtype)


def graphed(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> CudaGraphNetwork:
    pretend(monkeypatch)
    return CudaGraphNetwork(half_network(detector))


def channels_last_bank(detector: Detector, slots: int = SESSIONS) -> StateBank:
    return StateBank(detector.state_shapes, slots, memory_format=torch.channels_last)


@pytest.mark.parametrize("config", slow_after(2, FUSIBLE), ids=str)
def test_half_is_exact_on_dyadic_weights(config: SpikeYOLOConfig) -> None:
    """On a CPU it computes in float32, so that sums are exact."""
    reference = small_detector(config=config)
    half = on("half", reference)
    expected, bank = reference.init_state(2), half.create_bank(SESSIONS)
    for frames in event_like_frames(2 * SLICES, reference.spec).split(2):
        a, b = reference.step(frames, expected), half.step_in_bank(frames, bank, [3, 1])
        assert equal(a, b)
        assert all(torch.equal(h, a.state[name]) for name, h in bank.gather([3, 1]).items())
        expected = a.state
    assert not any(h.any() for h in bank.gather([0, 2]).values())


@torch.inference_mode()
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 0.02), (torch.bfloat16, 0.1)])
def test_half_is_close_on_random_weights(dtype: torch.dtype, limit: float) -> None:
    """The first layers: differences grow from layer to layer."""
    reference = calibrated_detector()
    half = half_network(reference, dtype)
    frames, bank = event_like_frames(2, reference.spec, 9), channels_last_bank(reference, 2)
    expected = reference.step(frames, reference.init_state(2))
    raw, spikes = half.run(frames, half.step(bank.membranes, [0, 1]))
    for name in list(bank.membranes)[:3]:
        off = (bank.membranes[name] - expected.state[name]).abs() > reference.network.config.beta / 2
        assert off.float().mean() < limit
    total = sum(int(n.sum()) for n in expected.spikes.values())
    assert sum(int((n - spikes[name]).sum()) for name, n in expected.spikes.items()) == pytest.approx(
        0, abs=0.1 * total
    )
    assert all(level.dtype == torch.float32 and level.isfinite().all() for level in raw)


@torch.inference_mode()
def test_graph_equals_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any slots in any order, two batch sizes by turns, two banks."""
    detector, rng = small_detector(), random.Random(0)
    plain, graphs = half_network(detector), graphed(detector, monkeypatch)
    banks = [(channels_last_bank(detector), channels_last_bank(detector)) for _ in range(2)]
    handed_out = []
    for step in range(8):
        slots, bank = rng.sample(range(SESSIONS), 1 + step % 2 * 2), banks[step // 2 % 2]
        frames = event_like_frames(len(slots), detector.spec, step)
        raw, spikes = plain.run(frames, plain.step(bank[0].membranes, slots))
        found, counts = graphs.run(frames, graphs.step(bank[1].membranes, slots))
        assert list(spikes) == list(counts)
        assert all(torch.equal(n, counts[name]) for name, n in spikes.items())
        assert all(map(torch.equal, raw, found))
        assert all(torch.equal(h, bank[1].membranes[name]) for name, h in bank[0].membranes.items())
        handed_out.append((raw, found))
    assert all(all(map(torch.equal, raw, found)) for raw, found in handed_out)


@torch.inference_mode()
def test_capture_does_not_modify_membranes(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = small_detector()
    graphs, bank = graphed(detector, monkeypatch), channels_last_bank(detector)
    frames = event_like_frames(2, detector.spec)

    def broken(_: FakeGraph) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as failing:
        failing.setattr(FakeGraph, "replay", broken)
        step = graphs.step(bank.membranes, [2, 0])
        with pytest.raises(RuntimeError, match="memory"):
            graphs.run(frames, step)
    assert step.touched
    assert not any(h.any() for h in bank.membranes.values())
    step = graphs.step(bank.membranes, [2, 0])
    with pytest.raises(StateError):
        graphs.run(frames[:, :, :32], step)
    assert not step.touched


@torch.inference_mode()
def test_graphs_are_freed_with_their_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = small_detector()
    graphs, frames = graphed(detector, monkeypatch), event_like_frames(1, detector.spec)
    for _ in range(2):
        bank = channels_last_bank(detector, 2)
        graphs.run(frames, graphs.step(bank.membranes, [1]))
        assert len(graphs._graph_streams) == 1
        for side in graphs._graph_streams.values():
            for graph in side.graphs.values():
                graph._graph.ops.clear()  # a real graph holds addresses, the fake one tensors
        del bank, side, graph
        gc.collect()
        assert len(graphs._graph_streams) == 0


@pytest.mark.parametrize("by_graph", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_non_finite_membrane_affects_its_sample_only(
    value: float, by_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = small_detector()
    network = graphed(detector, monkeypatch) if by_graph else half_network(detector)
    bank, frames = channels_last_bank(detector), event_like_frames(2, detector.spec)
    well = on("half", detector).step(frames[1:], detector.init_state())
    bank.membranes["down1"][3, 0, 0, 0] = value
    with torch.inference_mode():
        raw, spikes = network.run(frames, network.step(bank.membranes, [3, 0]))
    assert all(torch.isnan(level[0]).all() for level in raw)
    assert all(torch.equal(level[1:], other) for level, other in zip(raw, well.logits, strict=True))
    assert all(int(n[0]) >= 0 for n in spikes.values())


def test_failed_step_marks_corrupted_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = on("half", small_detector())
    bank, frames = detector.create_bank(3), event_like_frames(2, detector.spec)
    with pytest.raises(StateError):
        detector.step_in_bank(frames[:, :, :32], bank, [0, 2])
    with pytest.raises(StateError, match="2 frames"):
        detector.step_in_bank(frames, bank, [1])
    assert bank.corrupted_slots == set()

    def broken(*_: object, **__: object) -> Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch.nn.functional, "max_pool2d", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        detector.step_in_bank(frames, bank, [0, 2])
    assert bank.corrupted_slots == {0, 2}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_step_equals_step_in_bank(dtype: torch.dtype) -> None:
    reference = small_detector()
    detector = Detector(reference.network, reference.spec, runtime="half", state_dtype=dtype)
    frames, bank, state = event_like_frames(2, detector.spec), detector.create_bank(2), detector.init_state(2)
    assert bank.membranes["down1"].dtype == dtype
    out = detector.step(frames, state)
    assert equal(out, detector.step_in_bank(frames, bank, [0, 1]))
    assert all(torch.equal(h, out.state[name]) for name, h in bank.gather([0, 1]).items())
    assert not any(h.any() for h in state.values())


@pytest.mark.parametrize("bank_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("d_max", [4, 255])
def test_triton_kernel_equals_torch(bank_dtype: torch.dtype, d_max: int) -> None:
    """Without a GPU by triton's interpreter, which cuts bits off where hardware rounds them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("no GPU, and TRITON_INTERPRET=1 is not set")
    pytest.importorskip("triton")
    from spikewatch.model.runtime.ilif_triton import fire_triton

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 7, 48, generator=generator).half() * 2
    x[0, 0, 0, :7] = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5, -0.5, 300])
    bank = torch.randn(6, 5, 7, 48, generator=generator).to(bank_dtype)
    bank[4] = 0
    x, bank, rows = x.to(device), bank.to(device), torch.tensor([4, 0, 2], device=device)
    found = []
    for fire in (fire_torch, fire_triton):
        own, count = bank.clone(), torch.zeros(3, dtype=torch.float64, device=device)
        found.append((fire(x, own, rows, count, ILIFConstants(0.25, 0.5, d_max)), count, own))
    (spikes, count, left), (spikes_too, count_too, left_too) = found
    assert torch.equal(spikes, spikes_too)
    assert torch.equal(count, count_too)
    cut = device == "cpu" and bank_dtype == torch.bfloat16
    torch.testing.assert_close(left_too, left, rtol=2**-7 if cut else 0, atol=0)
    bank[0, 0, 0, 0] = torch.nan
    fire_triton(x, bank, rows, count, ILIFConstants(0.25, 0.5, d_max))
    assert count.isnan().tolist() == [False, True, False]


def test_half_requires_a_gpu() -> None:
    detector = small_detector()
    assert select_runtime("auto", detector.network, "cuda") == "half"
    assert select_runtime("half", detector.network, "cuda:1") == "half"
    with pytest.raises(ConfigError, match="CUDA"):
        select_runtime("half", detector.network, "cpu")
    with pytest.raises(ConfigError, match="CPU"):
        select_runtime("int8", detector.network, "cuda")
    assert select_fire_kernel(torch.device("cpu")) is fire_torch
