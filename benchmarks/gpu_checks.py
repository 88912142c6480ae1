"""Is the GPU path right? Graphs against none, half precision against the network as it was built.

A neuron that fires another integer ends with a membrane that is off by about beta, so membranes tell how many
spikes differ. Shapes: B batch, P channels, h and w input pixels.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from spikewatch.model.detector import Detector
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.state import StateBank
from spikewatch.model.runtime.bank_step import BankRuntime
from spikewatch.model.runtime.cuda_graphs import CudaGraphNetwork

SESSIONS, STEPS = 6, 8
ACTIVE_SHARE = 0.06
"""Share of input values with events, as in Gen1's slices of 50 ms."""

FIRST_LAYERS = 3
MAX_FIRST_SHARE, MAX_OVERALL_SHARE, MIN_CORRELATION = 0.06, 0.4, 0.9
"""Limits that a correct path stays well within: share of spikes of the first layers and of all, and
correlation of logits. A CPU in float16 has 2 %, 30 % and 0.93 on dyadic weights, 0.4 %, 20 % and 0.98 on
the default."""

Run = Callable[[Tensor, StateBank, Sequence[int]], tuple[HeadLogits, dict[str, Tensor]]]


class Mismatch(Exception):
    """A check found what must not be."""


def sparse_frames(detector: Detector, batch: int, seed: int = 0) -> Tensor:
    """Input as sparse as events, float32 [B,P,h,w]: counts over their cap."""
    frames = detector.blank_frames(batch)
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 9, frames.shape, generator=generator) / 8
    return torch.where(torch.rand(frames.shape, generator=generator) < ACTIVE_SHARE, counts, frames)


def bank_run(detector: Detector) -> Run:
    """The product's own step, its outputs on the host."""

    def run(frames: Tensor, bank: StateBank, slots: Sequence[int]) -> tuple[HeadLogits, dict[str, Tensor]]:
        out = detector.step_in_bank(frames, bank, slots)
        counts = torch.stack(list(out.spikes.values())).cpu()
        p3, p4, p5 = (level.cpu() for level in out.logits)
        return (p3, p4, p5), dict(zip(out.spikes, counts.unbind(), strict=True))

    return run


def network_run(network: BankRuntime) -> Run:
    """A packed network by itself, without the detector around it."""

    @torch.inference_mode()
    def run(frames: Tensor, bank: StateBank, slots: Sequence[int]) -> tuple[HeadLogits, dict[str, Tensor]]:
        return network.run(frames, network.step(bank.membranes, slots))

    return run


@contextmanager
def disable_tf32() -> Iterator[None]:
    """Convolutions in all 24 bits of a float32: by default a GPU takes 11."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def random_slots(seed: int) -> Iterator[list[int]]:
    """Random slots in random order; two batch sizes take turns, so that graphs are captured and met again."""
    rng = random.Random(seed)
    for step in range(STEPS):
        yield rng.sample(range(SESSIONS), (4, 1, 4, 3)[step % 4])


def largest_differences(one: Run, other: Run, detector: Detector) -> dict[str, Any]:
    """Both on banks of their own: largest differences of logits, spike counts and membranes, all steps."""
    banks = [detector.create_bank(SESSIONS) for _ in range(2)]
    logits = counts = 0.0
    for step, slots in enumerate(random_slots(1)):
        frames = sparse_frames(detector, len(slots), step)
        (raw_a, spikes_a), (raw_b, spikes_b) = (
            run(frames, bank, slots) for run, bank in zip((one, other), banks, strict=True)
        )
        if list(spikes_a) != list(spikes_b) or not all(int(n.sum()) for n in list(spikes_a.values())[:5]):
            raise Mismatch("layers are missing or silent")  # no value
        logits = max(logits, *(float((a - b).abs().max()) for a, b in zip(raw_a, raw_b, strict=True)))
        counts = max(counts, *(float((n - spikes_b[name]).abs().max()) for name, n in spikes_a.items()))
    membranes = max(
        float((h.float() - banks[1].membranes[name].float()).abs().max())
        for name, h in banks[0].membranes.items()
    )
    return {"logits": logits, "counts": counts, "membranes": membranes}


def require_identical(one: Run, other: Run, detector: Detector) -> dict[str, Any]:
    """The same to the last bit, or Mismatch."""
    found = largest_differences(one, other, detector)
    if any(found.values()):
        raise Mismatch(f"largest differences: {found}")
    return found


def compare_with_eager(run: Run, detector: Detector, eager: Detector) -> dict[str, Any]:
    """First slice from rest: share of spikes that differ, and how alike logits are; Mismatch if far off."""
    slots, frames = [2, 0], sparse_frames(eager, 2, 5)
    banks = detector.create_bank(3), eager.create_bank(3)
    raw, _ = run(frames, banks[0], slots)
    with disable_tf32():
        expected, _ = bank_run(eager)(frames, banks[1], slots)
    half_beta = eager.network.config.beta / 2
    shares = [
        float(((banks[0].membranes[name].float() - h).abs() > half_beta).float().mean())
        for name, h in banks[1].membranes.items()
    ]
    flat = [torch.cat([level.flatten() for level in each]) for each in (raw, expected)]
    found = {
        "first_layers": max(shares[:FIRST_LAYERS]),
        "all_layers": sum(shares) / len(shares),
        "worst_layer": max(shares),
        "logits_mean_difference": float((flat[0] - flat[1]).abs().mean()),
        "logits_deviation": float(flat[1].std()),
        "logits_correlation": float(torch.corrcoef(torch.stack(flat))[0, 1]),
    }
    far = found["first_layers"] > MAX_FIRST_SHARE or found["all_layers"] > MAX_OVERALL_SHARE
    if far or not found["logits_correlation"] > MIN_CORRELATION:
        raise Mismatch(f"far from eager: {found}")
    return found


def check_single_step(run: Run, detector: Detector) -> dict[str, Any]:
    """`Detector.step`, a state in and a state out, is the step in a bank."""
    frames, bank, state = sparse_frames(detector, 2), detector.create_bank(2), detector.init_state(2)
    raw, _ = run(frames, bank, [0, 1])
    out = detector.step(frames, state)
    if not all(map(torch.equal, raw, out.logits)) or any(h.any() for h in state.values()):
        raise Mismatch("Detector.step gives other logits, or writes to its input")  # no value
    if not all(torch.equal(h, out.state[name]) for name, h in bank.gather([0, 1]).items()):
        raise Mismatch("Detector.step gives other membranes")  # no value
    return {"device_of_logits": str(out.logits[0].device)}


def check_non_finite(run: Run, detector: Detector) -> dict[str, Any]:
    """A membrane that is not finite makes the logits of its own sample NaN, and of no other."""
    frames, slots = sparse_frames(detector, 3), [3, 1, 0]
    well, _ = run(frames, detector.create_bank(4), slots)
    for value in (torch.nan, torch.inf):
        bank = detector.create_bank(4)
        list(bank.membranes.values())[4][1, 0, 0, 0] = value
        raw, spikes = run(frames, bank, slots)
        for level, other in zip(raw, well, strict=True):
            if not level[1].isnan().all() or not torch.equal(level[[0, 2]], other[[0, 2]]):
                raise Mismatch(f"a membrane of {value} shows elsewhere, or not at all")
        if min(int(n.min()) for n in spikes.values()) < 0:
            raise Mismatch("negative counts")  # no value
    bank.reset([1])
    again, _ = run(frames, bank, slots)
    return {"after_reset_finite": all(bool(level.isfinite().all()) for level in again)}


def check_other_thread(detector: Detector) -> dict[str, Any]:
    """Capture and replay a graph in another thread, as the service does; earlier outputs must not change."""
    run, bank, frames = bank_run(detector), detector.create_bank(4), sparse_frames(detector, 2)
    first, _ = run(frames, bank, [0, 1])
    kept = [level.clone() for level in first]
    given: list[HeadLogits] = []

    def work() -> None:
        given.append(run(frames, bank, [3, 2])[0])
        bank.reset([0, 1])
        given.append(run(frames[:1], bank, [0])[0])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if len(given) != 2 or not all(map(torch.equal, given[0], first)):
        raise Mismatch("another thread sees other logits")  # no value
    if not all(map(torch.equal, kept, first)):
        raise Mismatch("logits changed after they were handed out")  # no value
    close = max(float((a - b[:1]).abs().max()) for a, b in zip(given[1], first, strict=True))
    return {"batch_1_against_2": close}


def check_graph_lifetime(detector: Detector) -> dict[str, Any]:
    """No graph outlives its bank, and another bank gets its own."""
    assert detector._networks is not None
    graphed = detector._networks.in_bank
    assert isinstance(graphed, CudaGraphNetwork)
    before, frames = len(graphed._graph_streams), sparse_frames(detector, 1)
    for _ in range(3):
        bank = detector.create_bank(2)
        detector.step_in_bank(frames, bank, [1])
        if not any(h[1].any() for h in bank.membranes.values()) or any(
            h[0].any() for h in bank.membranes.values()
        ):
            raise Mismatch("the graph wrote to another bank or slot")  # no value
        during = len(graphed._graph_streams)
        del bank
    found = {"before": before, "during": during, "after": len(graphed._graph_streams)}
    if found["after"] > before:
        raise Mismatch(f"graphs outlive their banks: {found}")
    return found
