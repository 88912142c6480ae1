"""One detector, one bank of membranes, and batches of slices from different lanes.

Used by the worker thread of the service and by the command line alike, so that both compute the same.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.energy.formulas import Energy
from spikewatch.model.errors import StateError
from spikewatch.model.network.base import HeadLogits
from spikewatch.service.inference.window import InputSlice, WindowBuilder, WindowOptions, WindowResult

log = logging.getLogger("spikewatch.engine")


class SequenceState:
    """The computing side of one session: its slot in the bank and the window it is filling."""

    def __init__(
        self, slot: int, detector: Detector, sensor_size: tuple[int, int], options: WindowOptions
    ) -> None:
        self.slot = slot
        self.sensor_size = sensor_size
        self.window_slices = options.window_slices
        self.window_builder = WindowBuilder(detector, sensor_size, options)
        self.buffered: list[InputSlice] = []
        """Slices of a window that runs as a whole, once it is full."""

    @property
    def position_us(self) -> int | None:
        """Up to when events have been run; None before the first slice."""
        return self.buffered[0].t0_us if self.buffered else self.window_builder.position_us

    def has_gap_before(self, slice_: InputSlice) -> bool:
        """True if slices were dropped inside a window that runs as a whole: it must end before them."""
        return bool(self.buffered) and self.buffered[-1].t1_us != slice_.t0_us


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one batch gave.

    Attributes:
        windows: results of each lane, in the order of the batch.
        healthy: False for a lane whose logits are not finite or whose window failed.
        energy: synaptic operations of the whole batch.
        spikes: layer -> integers fired by the whole batch.
        slice_count: how many slices were run.
        duration_s: time of gather, step and scatter.
    """

    windows: list[list[WindowResult]]
    healthy: list[bool]
    energy: Energy
    spikes: dict[str, int]
    slice_count: int
    duration_s: float


StepResults = list[tuple[int, InputSlice, StepOutput, int]]
"""Slices that were run: position in the batch, slice, output of the network, row in that output."""


class Engine:
    """Runs slices. Not thread-safe: one thread owns it."""

    def __init__(self, detector: Detector, slots: int) -> None:
        self.detector = detector
        self.bank = detector.create_bank(slots)
        self.on_flush: Callable[[BatchResult], None] = lambda _result: None
        """Told of slices that run at a flush, outside of any batch."""
        self._stateful = detector.spec.time_order == "oldest_first"

    def run(self, batch: Sequence[tuple[SequenceState, InputSlice]]) -> BatchResult:
        """Run one slice of each lane; a lane may appear once.

        Raises:
            StateError: a lane appears twice or has no slot.
        """
        start = time.monotonic()
        ran = self._run_stateful(batch) if self._stateful else self._run_windows(batch)
        return self._collect_results([lane for lane, _ in batch], ran, time.monotonic() - start)

    def _run_stateful(self, batch: Sequence[tuple[SequenceState, InputSlice]]) -> StepResults:
        """One step for all: the membranes go on from slice to slice."""
        slots = [lane.slot for lane, _ in batch]
        out = self.detector.step_in_bank(torch.stack([part.frame for _, part in batch]), self.bank, slots)
        return [(i, part, out, i) for i, (_, part) in enumerate(batch)]

    def _run_windows(self, batch: Sequence[tuple[SequenceState, InputSlice]]) -> StepResults:
        """Weights trained newest slice first: a window waits until it is full, then runs from rest."""
        held = [[*lane.buffered, part] for lane, part in batch]
        full = [(i, parts) for i, parts in enumerate(held) if len(parts) == batch[i][0].window_slices]
        ran: StepResults = []
        for length in sorted({len(parts) for _, parts in full}):
            ran += self._run_full_windows([window for window in full if len(window[1]) == length])
        # only now: a batch that failed is run again, and must find what it found
        for (lane, _), parts in zip(batch, held, strict=True):
            lane.buffered = [] if len(parts) == lane.window_slices else parts
        return ran

    def _run_full_windows(self, windows: Sequence[tuple[int, list[InputSlice]]]) -> StepResults:
        """Run windows of equal length, given by their position in the batch and their slices."""
        frames = torch.stack([torch.stack([part.frame for part in parts]) for _, parts in windows], 1)
        outputs = self.detector.run_window(frames)
        return [
            (i, parts[t], out, row) for t, out in enumerate(outputs) for row, (i, parts) in enumerate(windows)
        ]

    def _collect_results(
        self, lanes: Sequence[SequenceState], ran: StepResults, duration_s: float
    ) -> BatchResult:
        """Hand outputs to the windows of their lanes, and sum up."""
        windows: list[list[WindowResult]] = [[] for _ in lanes]
        healthy = [True] * len(lanes)
        energy, spikes = Energy(), dict.fromkeys(ran[0][2].spikes if ran else (), 0)
        for i, part, out, row in ran:
            raw, counts = out.sample(row)
            healthy[i] = healthy[i] and _is_finite(raw)
            if not healthy[i]:
                continue
            try:
                spent, result = lanes[i].window_builder.add(part, raw, counts)
            except Exception:
                # the membranes of all have moved on: only this lane may fail, and nobody may be run again
                log.exception("a window failed")
                healthy[i] = False
                continue
            energy += spent
            for name, count in counts.items():
                spikes[name] += count
            if result is not None:
                windows[i].append(result)
        return BatchResult(windows, healthy, energy, spikes, len(ran), duration_s)

    def flush(self, sequence: SequenceState) -> list[WindowResult]:
        """The result of a window that is not full, if it has any slice. The membranes stay."""
        if sequence.buffered:
            start = time.monotonic()
            ran = self._run_full_windows([(0, sequence.buffered)])
            sequence.buffered = []
            result = self._collect_results([sequence], ran, time.monotonic() - start)
            self.on_flush(result)
            if not result.healthy[0]:
                raise StateError("the last window of this stream gave no finite logits")
        rest = sequence.window_builder.flush()
        return [] if rest is None else [rest]

    def reset(self, sequence: SequenceState) -> None:
        """Put the membranes of a lane to rest and forget its unfinished window."""
        self.bank.reset([sequence.slot])
        sequence.buffered = []
        sequence.window_builder.reset()

    def finish_and_reset(self, sequence: SequenceState) -> list[WindowResult]:
        """Time jumped: finish the window before the jump, then start anew."""
        finished = self.flush(sequence)
        self.reset(sequence)
        return finished


def _is_finite(raw: HeadLogits) -> bool:
    return all(bool(torch.isfinite(level).all()) for level in raw)
