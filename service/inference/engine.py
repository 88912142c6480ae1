"""One detector, one bank of membranes, and batches of slices of different sessions.

The service and the command line both use this engine, so that their results are equal.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spikewatch.model.array_detector import ArrayDetector, ArrayOutput, Floats, Levels
from spikewatch.model.energy.formulas import Energy
from spikewatch.model.errors import StateError
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.window import WindowBuilder
from spikewatch.service.inference.window_result import WindowOptions, WindowResult

log = logging.getLogger("spikewatch.engine")


class SequenceState:
    """The computing side of one session: its slot in the bank and the window it is filling."""

    def __init__(
        self, slot: int, detector: ArrayDetector, sensor_size: tuple[int, int], options: WindowOptions
    ) -> None:
        self.slot = slot
        self.sensor_size = sensor_size
        self.window_slices = options.window_slices
        self.window_builder = WindowBuilder(detector, sensor_size, options)
        self.buffered: list[InputSlice] = []
        """Slices of a window that runs as a whole, once the window is full."""

    @property
    def position_us(self) -> int | None:
        """Time up to which events were run; None before the first slice."""
        return self.buffered[0].t0_us if self.buffered else self.window_builder.position_us

    def has_gap_before(self, slice_: InputSlice) -> bool:
        """Return whether slices were dropped before `slice_`, so that the window before them must end."""
        return bool(self.buffered) and self.buffered[-1].t1_us != slice_.t0_us


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Results of one batch.

    Attributes:
        windows: results of each session, in the order of the batch.
        healthy: False for a session whose logits are not finite or whose window failed.
        energy: synaptic operations of the whole batch.
        spikes: layer -> integers fired by the whole batch.
        slice_count: number of slices that were run.
        duration_s: time of gather, step and scatter.
    """

    windows: list[list[WindowResult]]
    healthy: list[bool]
    energy: Energy
    spikes: dict[str, int]
    slice_count: int
    duration_s: float


StepResults = list[tuple[int, InputSlice, ArrayOutput, int]]
"""Slices that were run: position in the batch, slice, output of the network, row in that output."""


class Engine:
    """Runs slices. Not thread-safe: one thread owns it."""

    def __init__(self, detector: ArrayDetector, slots: int) -> None:
        self.detector = detector
        self.bank = detector.create_bank(slots)
        self.on_flush: Callable[[BatchResult], None] = lambda _result: None
        """Called with the slices that a flush runs outside of any batch."""
        self._stateful = detector.spec.time_order == "oldest_first"
        self._blank_window: tuple[Floats, list[ArrayOutput]] | None = None
        """Frame of a slice without events, and the outputs of the latest window of such slices."""

    def run(self, batch: Sequence[tuple[SequenceState, InputSlice]]) -> BatchResult:
        """Run one slice of each session; a session may appear once.

        Raises:
            StateError: a session appears twice or has no slot.
        """
        start = time.monotonic()
        steps = self._run_stateful(batch) if self._stateful else self._run_windows(batch)
        return self._collect_results([sequence for sequence, _ in batch], steps, time.monotonic() - start)

    def _run_stateful(self, batch: Sequence[tuple[SequenceState, InputSlice]]) -> StepResults:
        """Run one step of the batch; membranes carry over from slice to slice."""
        slots = [sequence.slot for sequence, _ in batch]
        out = self.detector.step_arrays(np.stack([slice_.frame for _, slice_ in batch]), self.bank, slots)
        return [(i, slice_, out, i) for i, (_, slice_) in enumerate(batch)]

    def _run_windows(self, batch: Sequence[tuple[SequenceState, InputSlice]]) -> StepResults:
        """Run full windows from rest, for weights trained newest slice first; buffer other slices."""
        windows = [[*sequence.buffered, slice_] for sequence, slice_ in batch]
        full = [(i, slices) for i, slices in enumerate(windows) if len(slices) == batch[i][0].window_slices]
        steps: StepResults = []
        for length in sorted({len(slices) for _, slices in full}):
            steps += self._run_full_windows([window for window in full if len(window[1]) == length])
        # commit only after success: a failed batch is retried and needs the same buffered slices
        for (sequence, _), slices in zip(batch, windows, strict=True):
            sequence.buffered = [] if len(slices) == sequence.window_slices else slices
        return steps

    def _run_full_windows(self, windows: Sequence[tuple[int, list[InputSlice]]]) -> StepResults:
        """Run windows of equal length, given by their position in the batch and their slices."""
        steps: StepResults = []
        others: list[tuple[int, list[InputSlice]]] = []
        for i, slices in windows:
            if any(slice_.n_events for slice_ in slices):
                others.append((i, slices))
            else:
                steps += [(i, slices[t], out, 0) for t, out in enumerate(self._run_blank_window(slices))]
        if others:
            frames = np.stack([np.stack([slice_.frame for slice_ in slices]) for _, slices in others], 1)
            for t, out in enumerate(self.detector.run_window_arrays(frames)):
                steps += [(i, slices[t], out, row) for row, (i, slices) in enumerate(others)]
        return steps

    def _run_blank_window(self, slices: list[InputSlice]) -> list[ArrayOutput]:
        """Return the outputs of a window without events. It runs from rest, so they are always the same."""
        known_frame, outputs = self._blank_window or (slices[0].frame, [])
        # compared, because a saved state may pair a frame of its own with a count of no events
        same = all(
            slice_.frame is known_frame or np.array_equal(slice_.frame, known_frame) for slice_ in slices
        )
        if same and len(outputs) == len(slices):
            return outputs
        outputs = self.detector.run_window_arrays(np.stack([slice_.frame for slice_ in slices])[:, None])
        if same:
            self._blank_window = known_frame, outputs
        return outputs

    def _collect_results(
        self, sequences: Sequence[SequenceState], steps: StepResults, duration_s: float
    ) -> BatchResult:
        """Add outputs to the windows of their sessions, and sum energy and spikes."""
        windows: list[list[WindowResult]] = [[] for _ in sequences]
        healthy = [True] * len(sequences)
        energy, spikes = Energy(), dict.fromkeys(steps[0][2].spikes if steps else (), 0)
        for i, slice_, out, row in steps:
            logits, counts = out.sample(row)
            healthy[i] = healthy[i] and _is_finite(logits)
            if not healthy[i]:
                continue
            try:
                spent, result = sequences[i].window_builder.add(slice_, logits, counts)
            except Exception:
                # the batch has updated all membranes, so it cannot be retried: fail this session only
                log.exception("a window failed", extra={"slot": sequences[i].slot})
                healthy[i] = False
                continue
            energy += spent
            for name, count in counts.items():
                spikes[name] += count
            if result is not None:
                windows[i].append(result)
        return BatchResult(windows, healthy, energy, spikes, len(steps), duration_s)

    def flush(self, sequence: SequenceState) -> list[WindowResult]:
        """Return the result of an unfinished window, if it has any slice. Membranes stay.

        Raises:
            StateError: the logits are not finite.
        """
        if sequence.buffered:
            start = time.monotonic()
            steps = self._run_full_windows([(0, sequence.buffered)])
            sequence.buffered = []
            result = self._collect_results([sequence], steps, time.monotonic() - start)
            self.on_flush(result)
            if not result.healthy[0]:
                raise StateError(f"the last window gave NaN or infinite logits in slot {sequence.slot}")
        rest = sequence.window_builder.flush()
        return [] if rest is None else [rest]

    def reset(self, sequence: SequenceState) -> None:
        """Set the membranes of a session to rest and discard its unfinished window."""
        self.bank.reset([sequence.slot])
        sequence.buffered = []
        sequence.window_builder.reset()

    def finish_and_reset(self, sequence: SequenceState) -> list[WindowResult]:
        """Finish the window before a jump in time, then reset; return its results."""
        finished = self.flush(sequence)
        self.reset(sequence)
        return finished


def _is_finite(logits: Levels) -> bool:
    return all(bool(np.isfinite(level).all()) for level in logits)
