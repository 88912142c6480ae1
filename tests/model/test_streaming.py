"""Explicit state: streaming equals offline, sessions are independent, and state changes the output."""

import random

import pytest
import torch
from torch import Tensor

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.errors import StateError
from spikewatch.model.network.state import StateBank
from tests.model.support.fakes import event_like_frames, small_detector

SLICES = 6


@pytest.fixture(scope="module")
def detector() -> Detector:
    return small_detector()


def run_alone(detector: Detector, frames: Tensor) -> list[StepOutput]:
    state, outputs = detector.init_state(), []
    for frame in frames:
        out = detector.step(frame[None], state)
        state = out.state
        outputs.append(out)
    return outputs


def same(a: StepOutput, b: StepOutput, i: int = 0) -> bool:
    """Whether sample i of b is sample 0 of a, to the last bit."""
    raw_a, spikes_a = a.sample(0)
    raw_b, spikes_b = b.sample(i)
    return spikes_a == spikes_b and all(torch.equal(x, y) for x, y in zip(raw_a, raw_b, strict=True))


def test_step_does_not_modify_its_input_state(detector: Detector) -> None:
    state = detector.init_state()
    frames = event_like_frames(1, detector.spec)
    out = detector.step(frames, state)
    assert all(not t.any() for t in state.values())
    assert any(t.any() for t in out.state.values())
    assert same(out, detector.step(frames, state))


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_split_stream_continues_exactly(detector: Detector, cut: int) -> None:
    frames = event_like_frames(SLICES, detector.spec)
    whole = run_alone(detector, frames)
    saved = {name: t.clone() for name, t in whole[cut - 1].state.items()}
    state = saved
    for t in range(cut, SLICES):
        out = detector.step(frames[t : t + 1], state)
        assert same(out, whole[t])
        state = out.state


def test_interleaved_sessions_equal_single_sessions(detector: Detector) -> None:
    """Random batches of random sessions, through the bank, against each session by itself: exactly equal."""
    sessions = 5
    frames = [event_like_frames(SLICES, detector.spec, seed) for seed in range(sessions)]
    alone = [run_alone(detector, f) for f in frames]
    bank = StateBank(detector.state_shapes, sessions)
    rng, position = random.Random(7), [0] * sessions
    while any(p < SLICES for p in position):
        ready = [s for s in range(sessions) if position[s] < SLICES]
        batch = rng.sample(ready, rng.randint(1, len(ready)))
        out = detector.step(torch.stack([frames[s][position[s]] for s in batch]), bank.gather(batch))
        bank.scatter(batch, out.state)
        for i, s in enumerate(batch):
            assert same(alone[s][position[s]], out, i), f"session {s}, slice {position[s]}"
            position[s] += 1


def test_reset_of_one_slot_keeps_the_others(detector: Detector) -> None:
    bank = StateBank(detector.state_shapes, 3)
    out = detector.step(event_like_frames(3, detector.spec), bank.gather([0, 1, 2]))
    bank.scatter([0, 1, 2], out.state)
    bank.reset([1])
    after = bank.gather([0, 1, 2])
    for name, tensor in after.items():
        assert torch.equal(tensor[0], out.state[name][0])
        assert not tensor[1].any()
        assert torch.equal(tensor[2], out.state[name][2])


def test_carried_state_changes_the_output(detector: Detector) -> None:
    frames = event_like_frames(2, detector.spec)
    carried = run_alone(detector, frames)[1]
    reset = detector.step(frames[1:], detector.init_state())
    assert not same(carried, reset)
    differing = sum(int(carried.spikes[name][0]) != int(reset.spikes[name][0]) for name in reset.spikes)
    assert differing > len(reset.spikes) / 2


def test_state_of_another_shape_is_rejected(detector: Detector) -> None:
    state = detector.init_state()
    first = next(iter(state))
    del state[first]
    with pytest.raises(StateError, match=first):
        detector.step(event_like_frames(1, detector.spec), state)
    bank = StateBank(detector.state_shapes, 2)
    with pytest.raises(StateError, match="differ in layers"):
        bank.scatter([0], state)
    for slots in ([2], [-1], [0, 0]):
        with pytest.raises(StateError, match="distinct numbers below 2"):
            bank.gather(slots)
