"""The compiled runtime equals int8 to the last bit on dyadic weights, with every instruction set."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from spikewatch.model.checkpoints.checkpoint import load_detector, untrained_network
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError, StateError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.runtime.compiled.instruction_sets import INSTRUCTION_SETS, is_available
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.select import select_runtime
from spikewatch.model.spec import ModelSpec
from tests.model.support.fakes import event_like_frames, small_detector
from tests.model.support.runtimes import FUSIBLE, SLICES, equal, on

AVAILABLE = [name for name, target in INSTRUCTION_SETS.items() if is_available(target)]
LARGEST_PAIRED = SpikeYOLOConfig("t", d_max=129)


def compiled(
    detector: Detector, instruction_set: str = "auto", dtype: torch.dtype = torch.float32
) -> Detector:
    options = CompileOptions(instruction_set)
    return Detector(detector.network, detector.spec, "cpu", "compiled", dtype, options)


def assert_equal_streams(reference: Detector, found: Detector, slices: int = SLICES) -> None:
    """Streams in batches of two, then one, with counts, logits and membranes compared after each slice."""
    a, b = reference.create_bank(3), found.create_bank(3)
    for seed in range(slices):
        frames = event_like_frames(2, reference.spec, seed)
        for slots in ([2, 0], [1]):
            batch = frames[: len(slots)]
            expected = reference.step_in_bank(batch, a, slots)
            assert equal(expected, found.step_in_bank(batch, b, slots))
        assert all(torch.equal(h, b.membranes[name]) for name, h in a.membranes.items())
    assert sum(int(n.sum()) for n in expected.spikes.values())


OTHERWISE = SpikeYOLOConfig(
    "t", low_block="snn2", head="anchor_based", beta_mode="learned", input_gain=0.5, repeats=(2, 1, 1, 1)
)
"""Every choice that differs from the default in one network, to compile once for all."""


@pytest.mark.parametrize("config", [FUSIBLE[0], OTHERWISE], ids=str)
def test_step_is_exact_on_dyadic_weights(config: SpikeYOLOConfig) -> None:
    reference = on("int8", small_detector(config=config))
    for layer in reference.network.modules():
        if isinstance(getattr(layer, "beta", None), torch.nn.Parameter):
            layer.beta.data.fill_(0.75)
    assert_equal_streams(on("int8", reference), compiled(reference))


@pytest.mark.slow
@pytest.mark.parametrize("name", AVAILABLE)
@pytest.mark.parametrize("config", [LARGEST_PAIRED, *FUSIBLE], ids=str)
def test_every_variant_is_exact_with_every_instruction_set(config: SpikeYOLOConfig, name: str) -> None:
    reference = on("int8", small_detector(config=config))
    assert_equal_streams(reference, compiled(reference, name), 2)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["s", "m", "l"])
def test_larger_scales_are_exact(scale: str) -> None:
    reference = on("int8", small_detector(config=SpikeYOLOConfig(scale)))
    assert_equal_streams(reference, compiled(reference), 2)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 32), (32, 160), (96, 64), (256, 320), (480, 640)])
def test_other_input_sizes_are_exact(size: tuple[int, int]) -> None:
    reference = on("int8", small_detector(*size))
    assert_equal_streams(reference, compiled(reference), 2)


@pytest.mark.slow
def test_bfloat16_membranes_equal_those_of_int8() -> None:
    base = small_detector()
    reference = Detector(base.network, base.spec, runtime="int8", state_dtype=torch.bfloat16)
    assert_equal_streams(reference, compiled(base, dtype=torch.bfloat16))


def test_trained_weights_give_equal_spikes_and_logits() -> None:
    """The encoder sums in another order, so a few membranes differ in the last bit."""
    reference, found = load_detector(runtime="int8"), load_detector(runtime="compiled")
    a, b = reference.init_state(), found.init_state()
    for seed in range(2):
        frames = event_like_frames(1, reference.spec, seed)
        expected, out = reference.step(frames, a), found.step(frames, b)
        a, b = expected.state, out.state
        for name, n in expected.spikes.items():
            assert int((n - out.spikes[name]).abs().sum()) <= 1e-3 * int(n.sum()) + 1
        torch.testing.assert_close(out.logits, expected.logits, rtol=0.05, atol=0.5)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return compiled(small_detector())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sessions_in_a_bank_equal_single_sessions(detector: Detector, threads: int) -> None:
    """With helpers too: they draw rows of one sample, or whole samples."""
    sessions, rng, before = 5, random.Random(3), torch.get_num_threads()
    frames = [event_like_frames(SLICES, detector.spec, seed) for seed in range(sessions)]
    torch.set_num_threads(1)
    alone = [detector.run_window(f[:, None]) for f in frames]
    torch.set_num_threads(threads)
    try:
        bank, position = detector.create_bank(sessions + 1), [0] * sessions
        while any(p < SLICES for p in position):
            ready = [s for s in range(sessions) if position[s] < SLICES]
            batch = rng.sample(ready, rng.randint(1, len(ready)))
            out = detector.step_in_bank(torch.stack([frames[s][position[s]] for s in batch]), bank, batch)
            for row, s in enumerate(batch):
                assert out.sample(row)[1] == alone[s][position[s]].sample(0)[1]
                assert all(map(torch.equal, out.sample(row)[0], alone[s][position[s]].logits))
                position[s] += 1
    finally:
        torch.set_num_threads(before)
    assert all(not h.any() for h in bank.gather([sessions]).values())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_non_finite_membrane_affects_its_sample_only(detector: Detector, value: float) -> None:
    bank, frames = detector.create_bank(2), event_like_frames(2, detector.spec)
    well = detector.step(frames[1:], detector.init_state())
    sick = {name: h.clone() for name, h in bank.gather([0]).items()}
    sick["down1"][0, 0, 0, 0] = value
    bank.scatter([0], sick)
    out = detector.step_in_bank(frames, bank, [0, 1])
    assert all(torch.isnan(level[0]).all() for level in out.logits)
    assert all(torch.equal(level[1:], other) for level, other in zip(out.logits, well.logits, strict=True))
    assert all(int(n[0]) >= 0 for n in out.spikes.values())
    assert all(int(n[1]) == int(well.spikes[name][0]) for name, n in out.spikes.items())


def test_non_finite_frame_affects_its_sample_only(detector: Detector) -> None:
    frames = event_like_frames(2, detector.spec)
    well = detector.step(frames[1:], detector.init_state())
    frames[0, 0, 5, 5] = torch.nan
    out = detector.step(frames, detector.init_state(2))
    assert all(torch.isnan(level[0]).all() for level in out.logits)
    assert all(torch.equal(level[1:], other) for level, other in zip(out.logits, well.logits, strict=True))


def test_step_does_not_modify_its_input_state(detector: Detector) -> None:
    state = detector.init_state()
    out = detector.step(event_like_frames(1, detector.spec), state)
    assert all(not h.any() for h in state.values())
    assert any(h.any() for h in out.state.values())


def test_outputs_survive_the_next_step(detector: Detector) -> None:
    frames, bank = event_like_frames(2, detector.spec), detector.create_bank(1)
    first = detector.step_in_bank(frames[:1], bank, [0])
    kept = [level.clone() for level in first.logits], {k: n.clone() for k, n in first.spikes.items()}
    detector.step_in_bank(frames[1:], bank, [0])
    assert all(map(torch.equal, first.logits, kept[0]))
    assert all(torch.equal(n, kept[1][k]) for k, n in first.spikes.items())


def test_wrong_input_is_rejected_before_membranes_change(detector: Detector) -> None:
    bank, frames = detector.create_bank(3), event_like_frames(2, detector.spec)
    with pytest.raises(StateError, match="frames are"):
        detector.step_in_bank(frames[:, :, :32], bank, [0, 2])
    assert bank.corrupted_slots == set()
    bank.membranes["down1"] = bank.membranes["down1"].contiguous(memory_format=torch.contiguous_format)
    with pytest.raises(StateError, match="down1"):
        detector.step_in_bank(frames, bank, [0, 2])
    state = detector.init_state()
    del state["down1"]
    with pytest.raises(StateError, match="down1"):
        detector.step(frames[:1], state)
    state["down1"] = torch.zeros(1, 16, 4, 4)
    with pytest.raises(StateError, match="down1"):
        detector.step(frames[:1], state)


def test_banks_take_turns(detector: Detector) -> None:
    """A table holds addresses of one bank; another bank must replace all of them."""
    frames = event_like_frames(SLICES, detector.spec)
    banks = [detector.create_bank(1), detector.create_bank(4)]
    for frame in frames.split(1):
        first, second = (
            detector.step_in_bank(frame, bank, [slot]) for bank, slot in zip(banks, (0, 3), strict=True)
        )
        assert equal(first, second)
    assert all(not h[:3].any() for h in banks[1].membranes.values())


def test_unusual_memory_of_frames_is_read_correctly(detector: Detector) -> None:
    frames = event_like_frames(2, detector.spec)
    expected = detector.step(frames, detector.init_state(2))
    for other in (frames.contiguous(memory_format=torch.channels_last), frames.double()):
        assert equal(expected, detector.step(other, detector.init_state(2)))


def test_released_detector_frees_code_and_memory() -> None:
    detector = compiled(small_detector())
    bank = detector.create_bank(1)
    detector.step_in_bank(event_like_frames(1, detector.spec), bank, [0])
    network = detector._networks.in_bank  # type: ignore[union-attr]
    before = network.nbytes
    detector.release()
    assert network.nbytes < before / 2


def test_network_with_odd_channels_falls_back_to_int8(caplog: pytest.LogCaptureFixture) -> None:
    config = SpikeYOLOConfig("t", classes=45)
    spec = ModelSpec("odd", config, tuple(map(str, range(45))), input_height=64, input_width=64)
    network = untrained_network(config)
    with caplog.at_level("INFO", "spikewatch.runtime"):
        assert select_runtime("auto", network, "cpu") in ("int8", "fp32")
    assert ["45 channels" in str(record.__dict__.get("reason")) for record in caplog.records].count(True) == 1
    with pytest.raises(ConfigError, match="45 channels"):
        Detector(network, spec, runtime="compiled")


def test_auto_selects_compiled_where_bytes_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_detector().network
    fast = {"avx2", "avx_vnni", "avx512_vnni", "neon_dotprod"} & set(AVAILABLE)
    assert (select_runtime("auto", network, "cpu") == "compiled") == bool(fast)
    monkeypatch.setenv("SPIKEWATCH_INSTRUCTION_SET", "generic")
    assert select_runtime("auto", network, "cpu") == "compiled"
    monkeypatch.setenv("SPIKEWATCH_INSTRUCTION_SET", "mmx")
    with pytest.raises(ConfigError, match="'mmx' is unknown; known are auto"):
        select_runtime("auto", network, "cpu")


def test_missing_instruction_set_is_rejected() -> None:
    missing = next(name for name in INSTRUCTION_SETS if name not in AVAILABLE)
    with pytest.raises(ConfigError, match=f"{missing} is not available"):
        compiled(small_detector(), missing)


def test_logits_are_views_of_one_batch(detector: Detector) -> None:
    spec = replace(detector.spec)
    out = detector.step(event_like_frames(2, spec), detector.init_state(2))
    for level, stride in zip(out.logits, (8, 16, 32), strict=True):
        assert level.shape == (2, 66, spec.input_height // stride, spec.input_width // stride)
        assert level.dtype == torch.float32


def test_window_equals_single_steps(detector: Detector) -> None:
    frames: Tensor = event_like_frames(SLICES, detector.spec)[:, None]
    state = detector.init_state()
    for t, out in enumerate(detector.run_window(frames)):
        expected = detector.step(frames[t], state)
        state = expected.state
        assert equal(out, expected)
    assert np.isfinite([float(level.sum()) for level in out.logits]).all()
