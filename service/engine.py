"""One detector, one bank of membranes, and batches of slices from different lanes.

Used by the worker thread of the service and by the command line alike, so that both compute the same.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model.detector import Detector
from model.energy import Energy
from model.network import RawOutputs
from model.state import StateBank
from service.window import InputSlice, WindowBuilder, WindowOptions, WindowResult

log = logging.getLogger("spikewatch.engine")


class Lane:
    """The computing side of one session: its slot in the bank and the window it is filling."""

    def __init__(
        self, slot: int, detector: Detector, sensor: tuple[int, int], options: WindowOptions
    ) -> None:
        self.slot = slot
        self.sensor = sensor
        self.windows = WindowBuilder(detector, sensor, options)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one batch gave.

    Attributes:
        windows: results of each lane, in the order of the batch.
        healthy: False for a lane whose logits are not finite or whose window failed.
        energy: synaptic operations of the whole batch.
        spikes: layer -> integers fired by the whole batch.
        duration_s: time of gather, step and scatter.
    """

    windows: list[list[WindowResult]]
    healthy: list[bool]
    energy: Energy
    spikes: dict[str, int]
    duration_s: float


class Engine:
    """Runs slices. Not thread-safe: one thread owns it."""

    def __init__(self, detector: Detector, slots: int) -> None:
        self.detector = detector
        self.bank = StateBank(detector.state_shapes, slots, detector.device)

    def run(self, batch: Sequence[tuple[Lane, InputSlice]]) -> BatchResult:
        """Run one slice of each lane; a lane may appear once.

        Raises:
            StateError: a lane appears twice or has no slot.
        """
        windows: list[list[WindowResult]] = [[] for _ in batch]
        slots = [lane.slot for lane, _ in batch]
        start = time.monotonic()
        out = self.detector.step(torch.stack([part.frame for _, part in batch]), self.bank.gather(slots))
        self.bank.scatter(slots, out.state)
        duration = time.monotonic() - start
        energy, spikes, healthy = Energy(), dict.fromkeys(out.spikes, 0), []
        for i, (lane, part) in enumerate(batch):
            raw, counts = out.sample(i)
            healthy.append(_finite(raw))
            if not healthy[-1]:
                continue
            try:
                spent, result = lane.windows.add(part, raw, counts)
            except Exception:
                # the membranes of all have moved on: only this lane may fail, and nobody may be run again
                log.exception("a window failed")
                healthy[-1] = False
                continue
            energy += spent
            for name, count in counts.items():
                spikes[name] += count
            if result is not None:
                windows[i].append(result)
        return BatchResult(windows, healthy, energy, spikes, duration)

    def flush(self, lane: Lane) -> list[WindowResult]:
        """The result of a window that is not full, if it has any slice. The membranes stay."""
        result = lane.windows.flush()
        return [] if result is None else [result]

    def reset(self, lane: Lane) -> None:
        """Put the membranes of a lane to rest and forget its unfinished window."""
        self.bank.reset([lane.slot])
        lane.windows.reset()

    def jump(self, lane: Lane) -> list[WindowResult]:
        """Time jumped: finish the window before the jump, then start anew."""
        finished = self.flush(lane)
        self.reset(lane)
        return finished


def _finite(raw: RawOutputs) -> bool:
    return all(bool(torch.isfinite(level).all()) for level in raw)
