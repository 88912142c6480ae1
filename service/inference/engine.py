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
from spikewatch.model.network.base import RawOutputs
from spikewatch.service.inference.window import InputSlice, WindowBuilder, WindowOptions, WindowResult

log = logging.getLogger("spikewatch.engine")


class Lane:
    """The computing side of one session: its slot in the bank and the window it is filling."""

    def __init__(
        self, slot: int, detector: Detector, sensor: tuple[int, int], options: WindowOptions
    ) -> None:
        self.slot = slot
        self.sensor = sensor
        self.slices = options.slices
        self.windows = WindowBuilder(detector, sensor, options)
        self.held: list[InputSlice] = []
        """Slices of a window that runs as a whole, once it is full."""

    @property
    def position_us(self) -> int | None:
        """Up to when events have been run; None before the first slice."""
        return self.held[0].t0_us if self.held else self.windows.position_us

    def has_gap_before(self, part: InputSlice) -> bool:
        """True if slices were dropped inside a window that runs as a whole: it must end before them."""
        return bool(self.held) and self.held[-1].t1_us != part.t0_us


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one batch gave.

    Attributes:
        windows: results of each lane, in the order of the batch.
        healthy: False for a lane whose logits are not finite or whose window failed.
        energy: synaptic operations of the whole batch.
        spikes: layer -> integers fired by the whole batch.
        slices: how many slices were run.
        duration_s: time of gather, step and scatter.
    """

    windows: list[list[WindowResult]]
    healthy: list[bool]
    energy: Energy
    spikes: dict[str, int]
    slices: int
    duration_s: float


Ran = list[tuple[int, InputSlice, StepOutput, int]]
"""Slices that were run: position in the batch, slice, output of the network, row in that output."""


class Engine:
    """Runs slices. Not thread-safe: one thread owns it."""

    def __init__(self, detector: Detector, slots: int) -> None:
        self.detector = detector
        self.bank = detector.make_bank(slots)
        self.on_flush: Callable[[BatchResult], None] = lambda _result: None
        """Told of slices that run at a flush, outside of any batch."""
        self._carries = detector.spec.time_order == "oldest_first"

    def run(self, batch: Sequence[tuple[Lane, InputSlice]]) -> BatchResult:
        """Run one slice of each lane; a lane may appear once.

        Raises:
            StateError: a lane appears twice or has no slot.
        """
        start = time.monotonic()
        ran = self._run_carried(batch) if self._carries else self._run_windows(batch)
        return self._finish([lane for lane, _ in batch], ran, time.monotonic() - start)

    def _run_carried(self, batch: Sequence[tuple[Lane, InputSlice]]) -> Ran:
        """One step for all: the membranes go on from slice to slice."""
        slots = [lane.slot for lane, _ in batch]
        out = self.detector.step_in_bank(torch.stack([part.frame for _, part in batch]), self.bank, slots)
        return [(i, part, out, i) for i, (_, part) in enumerate(batch)]

    def _run_windows(self, batch: Sequence[tuple[Lane, InputSlice]]) -> Ran:
        """Weights trained newest slice first: a window waits until it is full, then runs from rest."""
        held = [[*lane.held, part] for lane, part in batch]
        full = [(i, parts) for i, parts in enumerate(held) if len(parts) == batch[i][0].slices]
        ran: Ran = []
        for length in sorted({len(parts) for _, parts in full}):
            ran += self._run_whole([window for window in full if len(window[1]) == length])
        # only now: a batch that failed is run again, and must find what it found
        for (lane, _), parts in zip(batch, held, strict=True):
            lane.held = [] if len(parts) == lane.slices else parts
        return ran

    def _run_whole(self, windows: Sequence[tuple[int, list[InputSlice]]]) -> Ran:
        """Run windows of equal length, given by their position in the batch and their slices."""
        frames = torch.stack([torch.stack([part.frame for part in parts]) for _, parts in windows], 1)
        outputs = self.detector.window(frames)
        return [
            (i, parts[t], out, row) for t, out in enumerate(outputs) for row, (i, parts) in enumerate(windows)
        ]

    def _finish(self, lanes: Sequence[Lane], ran: Ran, duration_s: float) -> BatchResult:
        """Hand outputs to the windows of their lanes, and sum up."""
        windows: list[list[WindowResult]] = [[] for _ in lanes]
        healthy = [True] * len(lanes)
        energy, spikes = Energy(), dict.fromkeys(ran[0][2].spikes if ran else (), 0)
        for i, part, out, row in ran:
            raw, counts = out.sample(row)
            healthy[i] = healthy[i] and _finite(raw)
            if not healthy[i]:
                continue
            try:
                spent, result = lanes[i].windows.add(part, raw, counts)
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

    def flush(self, lane: Lane) -> list[WindowResult]:
        """The result of a window that is not full, if it has any slice. The membranes stay."""
        if lane.held:
            start = time.monotonic()
            ran = self._run_whole([(0, lane.held)])
            lane.held = []
            result = self._finish([lane], ran, time.monotonic() - start)
            self.on_flush(result)
            if not result.healthy[0]:
                raise StateError("the last window of this stream gave no finite logits")
        rest = lane.windows.flush()
        return [] if rest is None else [rest]

    def reset(self, lane: Lane) -> None:
        """Put the membranes of a lane to rest and forget its unfinished window."""
        self.bank.reset([lane.slot])
        lane.held = []
        lane.windows.reset()

    def jump(self, lane: Lane) -> list[WindowResult]:
        """Time jumped: finish the window before the jump, then start anew."""
        finished = self.flush(lane)
        self.reset(lane)
        return finished


def _finite(raw: RawOutputs) -> bool:
    return all(bool(torch.isfinite(level).all()) for level in raw)
