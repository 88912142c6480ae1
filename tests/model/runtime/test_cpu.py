"""Every runtime equals the network: exactly on dyadic weights, closely on others, in any batch."""

import random

import pytest
import torch
from torch import Tensor, nn

from spikewatch.model.checkpoints.checkpoint import load_detector, untrained_network
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError, StateError
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.runtime import select
from spikewatch.model.runtime.packed_convolutions import ByteConv, ConvGeometry, quantise_weight
from spikewatch.model.runtime.select import select_runtime
from spikewatch.model.spec import ModelSpec
from tests.model.support.fakes import calibrated_detector, event_like_frames, small_detector
from tests.model.support.runtimes import FUSIBLE, SLICES, equal, on
from tests.support import slow_after

PACKED = ("fp32", "int8x2", "int8")


@pytest.mark.parametrize("runtime", PACKED)
@pytest.mark.parametrize("config", slow_after(2, FUSIBLE), ids=str)
def test_runtime_is_exact_on_dyadic_weights(config: SpikeYOLOConfig, runtime: str) -> None:
    reference = small_detector(config=config)
    packed = on(runtime, reference)
    expected, found = reference.init_state(2), packed.init_state(2)
    for frames in event_like_frames(2 * SLICES, reference.spec).split(2):
        a, b = reference.step(frames, expected), packed.step(frames, found)
        assert equal(a, b)
        assert all(torch.equal(h, b.state[name]) for name, h in a.state.items())
        expected, found = a.state, b.state
    assert sum(int(n.sum()) for n in a.spikes.values())


def test_float_runtime_is_close_on_random_weights() -> None:
    reference = calibrated_detector()
    frames = event_like_frames(2, reference.spec, 9)
    a, b = (each.step(frames, each.init_state(2)) for each in (reference, on("fp32", reference)))
    total = sum(int(n.sum()) for n in a.spikes.values())
    assert sum(int((n - b.spikes[name]).abs().sum()) for name, n in a.spikes.items()) < 1e-3 * total
    torch.testing.assert_close(b.logits, a.logits, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize(("parts", "limit"), [(1, 0.01), (2, 1e-4)])
@pytest.mark.parametrize(("groups", "size", "stride"), [(1, 1, 1), (1, 3, 1), (1, 3, 2), (16, 7, 1)])
def test_byte_runtimes_are_close_on_random_weights(
    parts: int, limit: float, groups: int, size: int, stride: int
) -> None:
    """Mean error of what a neuron integrates, in standard deviations of it."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(16, 16, size, stride, size // 2, groups=groups)
    for values in conv.parameters():
        values.normal_(generator=generator)
    spikes = torch.randint(0, 5, (2, 16, 12, 20), generator=generator)
    expected = conv.double()(spikes.double())
    packed = ByteConv(conv.weight, conv.bias, ConvGeometry.from_conv(conv, 12, 20), parts)
    bytes_in = spikes.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    found = packed(bytes_in)
    assert float((found - expected).abs().mean() / expected.std()) < limit
    there = torch.randn(expected.shape, generator=generator).contiguous(memory_format=torch.channels_last)
    added = packed(bytes_in, there.clone(memory_format=torch.channels_last))
    torch.testing.assert_close(added, there + found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("runtime", PACKED)
def test_step_does_not_modify_its_input_state(runtime: str) -> None:
    detector = on(runtime, small_detector())
    state = detector.init_state()
    out = detector.step(event_like_frames(1, detector.spec), state)
    assert all(not h.any() for h in state.values())
    assert any(h.any() for h in out.state.values())


@pytest.mark.parametrize("runtime", ["eager", *PACKED])
def test_sessions_in_a_bank_equal_single_sessions(runtime: str) -> None:
    sessions, rng = 5, random.Random(3)
    detector = on(runtime, small_detector())
    frames = [event_like_frames(SLICES, detector.spec, seed) for seed in range(sessions)]
    alone = [detector.run_window(f[:, None]) for f in frames]
    bank, position = detector.create_bank(sessions + 1), [0] * sessions
    untouched = sessions
    while any(p < SLICES for p in position):
        ready = [s for s in range(sessions) if position[s] < SLICES]
        batch = rng.sample(ready, rng.randint(1, len(ready)))
        out = detector.step_in_bank(torch.stack([frames[s][position[s]] for s in batch]), bank, batch)
        for row, s in enumerate(batch):
            assert out.sample(row)[1] == alone[s][position[s]].sample(0)[1]
            assert all(map(torch.equal, out.sample(row)[0], alone[s][position[s]].logits))
            position[s] += 1
    assert all(not h.any() for h in bank.gather([untouched]).values())


@pytest.mark.parametrize("runtime", PACKED)
def test_non_finite_membrane_affects_its_sample_only(runtime: str) -> None:
    detector = on(runtime, small_detector())
    bank, frames = detector.create_bank(2), event_like_frames(2, detector.spec)
    well = detector.step(frames[1:], detector.init_state())
    sick = {name: h.clone() for name, h in bank.gather([0]).items()}
    sick["down1"][0, 0, 0, 0] = torch.nan
    bank.scatter([0], sick)
    out = detector.step_in_bank(frames, bank, [0, 1])
    assert all(torch.isnan(level[0]).all() for level in out.logits)
    assert all(torch.equal(level[1:], other) for level, other in zip(out.logits, well.logits, strict=True))
    assert all(int(n[0]) >= 0 for n in out.spikes.values())


@pytest.mark.parametrize("runtime", ["eager", *PACKED])
def test_failed_step_marks_corrupted_slots(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = on(runtime, small_detector())
    bank, frames = detector.create_bank(3), event_like_frames(2, detector.spec)
    with pytest.raises((StateError, RuntimeError)):
        detector.step_in_bank(frames[:, :, :32], bank, [0, 2])
    half_written = any(h.any() for h in bank.membranes.values())
    assert bank.corrupted_slots == ({0, 2} if half_written else set())

    def broken(*_: object, **__: object) -> Tensor:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(nn.functional, "max_pool2d", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        detector.step_in_bank(frames, bank, [0, 2])
    assert bank.corrupted_slots == (set() if runtime == "eager" else {0, 2})
    bank.reset([2])
    assert bank.corrupted_slots == (set() if runtime == "eager" else {0})
    with pytest.raises(StateError):
        detector.step_in_bank(frames, bank, [1, 1])


def test_bfloat16_membranes_round_between_slices_only() -> None:
    """Against the reference, its membranes rounded by torch."""
    reference = calibrated_detector()
    half = Detector(reference.network, reference.spec, runtime="fp32", state_dtype=torch.bfloat16)
    expected, bank = reference.init_state(), half.create_bank(2)
    frames = event_like_frames(SLICES, reference.spec)
    full = on("fp32", reference)
    for frame in frames.split(1):
        out = full.step(frame, expected)
        expected = {name: h.bfloat16().float() for name, h in out.state.items()}
        found = half.step_in_bank(frame, bank, [1])
        assert equal(out, found)
        assert all(torch.equal(h, bank.gather([1])[name]) for name, h in expected.items())
    assert bank.nbytes * 2 == full.create_bank(2).nbytes
    state = half.init_state()
    for frame in frames.split(1):
        state = half.step(frame, state).state
    assert all(torch.equal(h, state[name]) for name, h in expected.items())


@pytest.mark.parametrize(("runtime", "dtype"), [("eager", torch.bfloat16), ("int8", torch.float16)])
def test_other_membrane_types_are_rejected(runtime: str, dtype: torch.dtype) -> None:
    reference = small_detector()
    with pytest.raises(ConfigError, match="membranes"):
        Detector(reference.network, reference.spec, runtime=runtime, state_dtype=dtype)


def test_two_bytes_are_more_precise_than_one() -> None:
    weight = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    errors = []
    for parts in (1, 2):
        rebuilt = sum(
            part.double() * scale.double().view(-1, 1, 1, 1) for part, scale in quantise_weight(weight, parts)
        )
        errors.append(float(((rebuilt - weight).abs() / weight.abs().amax((1, 2, 3), keepdim=True)).max()))
    assert errors[0] == pytest.approx(0.5 / 127, rel=0.02)
    assert errors[1] == pytest.approx(0.5 / (127 * 128 + 63), rel=0.02)


def test_channel_without_weights_stays_zero() -> None:
    for parts in (1, 2):
        assert all(not part.any() for part, _ in quantise_weight(torch.zeros(2, 3, 1, 1), parts))


@pytest.mark.parametrize(
    ("able", "expected"), [({"avx512_vnni": True}, "int8"), ({"avx2": True}, "fp32"), ({}, "fp32")]
)
def test_auto_selects_by_processor(
    able: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(select, "_compiles_fast", lambda network, options: False)
    assert select_runtime("auto", small_detector().network, "cpu") == expected


def test_auto_selects_a_supported_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    other = build_network(SpikeYOLOConfig("n", architecture="yolov8"))
    ours = small_detector().network
    assert select_runtime("auto", other, "cpu") == "eager"
    assert select_runtime("auto", other, "cuda") == "eager"
    monkeypatch.setattr(select, "_compiles_fast", lambda network, options: False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert select_runtime("auto", ours, "cpu") == "eager"
    with pytest.raises(ConfigError, match="oneDNN"):
        select_runtime("int8", ours, "cpu")


@pytest.mark.parametrize(
    "config",
    [
        SpikeYOLOConfig("n", architecture="yolov8"),
        SpikeYOLOConfig(neuron="silu"),
        SpikeYOLOConfig(reparameterised=False),
        SpikeYOLOConfig(high_block="transformer"),
    ],
    ids=str,
)
def test_unsupported_networks_are_rejected(config: SpikeYOLOConfig) -> None:
    spec = ModelSpec("other", config, input_height=64, input_width=64)
    with pytest.raises(ConfigError, match="eager"):
        Detector(untrained_network(config), spec, runtime="int8")


@pytest.mark.parametrize(
    ("mode", "runtime", "says"),
    [("spike", "int8", "binary spikes run eagerly"), ("integer", "int4", "unknown")],
)
def test_impossible_runtime_is_rejected(mode: str, runtime: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_detector("untrained", mode=mode, runtime=runtime)


def test_detector_is_loaded_with_requested_runtime() -> None:
    assert load_detector("untrained", runtime="int8").runtime == "int8"
    assert load_detector("untrained").runtime == "eager"


def test_kernels_run_without_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikewatch.model.runtime import parallel

    reference = small_detector()
    monkeypatch.setattr(parallel, "_openmp", lambda: None)
    frames = event_like_frames(1, reference.spec)
    alone = on("int8", reference)
    assert equal(reference.step(frames, reference.init_state()), alone.step(frames, alone.init_state()))


def test_default_runtime_of_this_machine_is_known() -> None:
    assert select_runtime("auto", small_detector().network, "cpu") in select.RUNTIMES
