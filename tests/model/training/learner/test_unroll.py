"""Unrolled network: streaming equals offline, resets clear state, gradients are truncated."""

import pytest
import torch
from torch import Tensor

from spikewatch.model.decode import average_logits
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.state import init_state
from spikewatch.model.training.learner.unroll import StreamState, Unroll, mean_since_reset
from tests.model.support.fakes import event_like_frames, small_detector

DETECTOR = small_detector()
SPEC = DETECTOR.spec


def at_rest(lanes: int) -> StreamState:
    return StreamState(init_state(DETECTOR.state_shapes, lanes), (), torch.zeros(lanes, dtype=torch.int64))


def frames(slices: int, lanes: int) -> Tensor:
    return event_like_frames(slices * lanes, SPEC).view(slices, lanes, *DETECTOR.blank_frames().shape[1:])


def unroll(slices: int, chunks: tuple[int, ...], x: Tensor, fresh: Tensor) -> list[HeadLogits]:
    lanes, run, outputs = at_rest(x.shape[1]), Unroll(DETECTOR.network, slices), []
    for piece, rested in zip(x.split(chunks), fresh.split(chunks), strict=True):
        with torch.no_grad():
            some, lanes = run(piece, rested, lanes)
        outputs += some
    return outputs


@pytest.mark.parametrize("slices", [1, 2, 4])
@pytest.mark.parametrize("chunks", [(6,), (2, 4), (1, 1, 3, 1)])
def test_any_chunking_equals_the_detector(slices: int, chunks: tuple[int, ...]) -> None:
    x = frames(6, 2)
    fresh = torch.zeros(6, 2, dtype=torch.bool)
    fresh[0] = True
    fresh[3, 1] = True
    outputs = unroll(slices, chunks, x, fresh)
    for lane, starts in ((0, (0,)), (1, (0, 3))):
        state, raws = DETECTOR.init_state(), list[HeadLogits]()
        for k in range(6):
            if k in starts:
                state, raws = DETECTOR.init_state(), []
            out = DETECTOR.step(x[k, lane : lane + 1], state)
            state = out.state
            raws.append(out.logits)
            for found, wanted in zip(outputs[k], average_logits(raws[-slices:]), strict=True):
                torch.testing.assert_close(found[lane], wanted[0], atol=1e-5, rtol=1e-5)


def test_mean_excludes_slices_before_a_reset() -> None:
    recent = [tuple(torch.full((3, 1, 1, 1), value) for _ in range(3)) for value in (1.0, 10.0, 100.0)]
    mean = mean_since_reset(recent, torch.tensor([1, 2, 9]))  # type: ignore[arg-type]
    assert mean[0].flatten().tolist() == pytest.approx([100, 55, 37])


def test_gradients_reach_earlier_slices_up_to_a_reset() -> None:
    torch.manual_seed(0)
    network = build_network(SpikeYOLOConfig()).eval()
    x = frames(3, 2).clone().requires_grad_()
    fresh = torch.tensor([[True, True], [False, False], [False, True]])
    outputs, _ = Unroll(network, 1)(x, fresh, at_rest(2))
    weight = torch.randn(outputs[-1][0].shape)
    (outputs[-1][0] * weight).sum().backward()
    assert x.grad is not None
    reach = x.grad.abs().sum((2, 3, 4)) > 0
    assert reach[:, 0].tolist() == [True, True, True]
    assert reach[:, 1].tolist() == [False, False, True]


def test_gradients_end_at_detached_streams() -> None:
    torch.manual_seed(0)
    run, first, second = Unroll(build_network(SpikeYOLOConfig()).eval(), 2), frames(1, 2), frames(1, 2)
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    fresh = torch.zeros(1, 2, dtype=torch.bool)
    _, lanes = run(first, fresh, at_rest(2))
    outputs, _ = run(second, fresh, lanes.detached())
    outputs[0][0].square().sum().backward()
    assert first.grad is None
    assert second.grad is not None


def test_reset_stream_ignores_the_previous_slice() -> None:
    x = frames(2, 1)
    fresh = torch.ones(2, 1, dtype=torch.bool)
    with torch.no_grad():
        outputs, _ = Unroll(DETECTOR.network, 2)(x, fresh, at_rest(1))
        alone, _ = Unroll(DETECTOR.network, 2)(x[1:], fresh[1:], at_rest(1))
    for one, other in zip(outputs[1], alone[0], strict=True):
        assert torch.equal(one, other)
