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


def initial_streams(batch: int) -> StreamState:
    return StreamState(init_state(DETECTOR.state_shapes, batch), (), torch.zeros(batch, dtype=torch.int64))


def frames(slices: int, batch: int) -> Tensor:
    return event_like_frames(slices * batch, SPEC).view(slices, batch, *DETECTOR.blank_frames().shape[1:])


def unroll(slices: int, chunks: tuple[int, ...], x: Tensor, is_first: Tensor) -> list[HeadLogits]:
    streams, run, outputs = initial_streams(x.shape[1]), Unroll(DETECTOR.network, slices), []
    for chunk, reset in zip(x.split(chunks), is_first.split(chunks), strict=True):
        with torch.no_grad():
            chunk_outputs, streams = run(chunk, reset, streams)
        outputs += chunk_outputs
    return outputs


@pytest.mark.parametrize("slices", [1, 2, 4])
@pytest.mark.parametrize("chunks", [(6,), (2, 4), (1, 1, 3, 1)])
def test_any_chunking_equals_the_detector(slices: int, chunks: tuple[int, ...]) -> None:
    x = frames(6, 2)
    is_first = torch.zeros(6, 2, dtype=torch.bool)
    is_first[0] = True
    is_first[3, 1] = True
    outputs = unroll(slices, chunks, x, is_first)
    for stream, starts in ((0, (0,)), (1, (0, 3))):
        state, logits = DETECTOR.init_state(), list[HeadLogits]()
        for k in range(6):
            if k in starts:
                state, logits = DETECTOR.init_state(), []
            out = DETECTOR.step(x[k, stream : stream + 1], state)
            state = out.state
            logits.append(out.logits)
            for actual, expected in zip(outputs[k], average_logits(logits[-slices:]), strict=True):
                torch.testing.assert_close(actual[stream], expected[0], atol=1e-5, rtol=1e-5)


def test_mean_excludes_slices_before_a_reset() -> None:
    recent = [tuple(torch.full((3, 1, 1, 1), value) for _ in range(3)) for value in (1.0, 10.0, 100.0)]
    mean = mean_since_reset(recent, torch.tensor([1, 2, 9]))  # type: ignore[arg-type]
    assert mean[0].flatten().tolist() == pytest.approx([100, 55, 37])


def test_gradients_reach_earlier_slices_up_to_a_reset() -> None:
    torch.manual_seed(0)
    network = build_network(SpikeYOLOConfig()).eval()
    x = frames(3, 2).clone().requires_grad_()
    is_first = torch.tensor([[True, True], [False, False], [False, True]])
    outputs, _ = Unroll(network, 1)(x, is_first, initial_streams(2))
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
    is_first = torch.zeros(1, 2, dtype=torch.bool)
    _, streams = run(first, is_first, initial_streams(2))
    outputs, _ = run(second, is_first, streams.detached())
    outputs[0][0].square().sum().backward()
    assert first.grad is None
    assert second.grad is not None


def test_reset_stream_ignores_the_previous_slice() -> None:
    x = frames(2, 1)
    is_first = torch.ones(2, 1, dtype=torch.bool)
    with torch.no_grad():
        outputs, _ = Unroll(DETECTOR.network, 2)(x, is_first, initial_streams(1))
        alone, _ = Unroll(DETECTOR.network, 2)(x[1:], is_first[1:], initial_streams(1))
    for after_reset, expected in zip(outputs[1], alone[0], strict=True):
        assert torch.equal(after_reset, expected)
