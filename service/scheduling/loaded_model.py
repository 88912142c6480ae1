"""A model in memory: its detector, its scheduler, and the slots of its state bank."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import numpy as np

from spikewatch.ingest.formats.decoders import FORMATS
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.model.detector import Detector
from spikewatch.service.inference.engine import Engine
from spikewatch.service.metrics.model import ModelMetricFamilies
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.process_memory import trim_heap
from spikewatch.service.scheduling.batch_runner import BatchRunner, FailSession
from spikewatch.service.scheduling.scheduler import Scheduler
from spikewatch.service.scheduling.worker import Worker
from spikewatch.service.sessions.session import Session
from spikewatch.service.sessions.slot import SlotLease
from spikewatch.service.settings import Settings

T = TypeVar("T")

log = logging.getLogger("spikewatch.models")


class LoadedModel:
    """A model and its free slots.

    Created in a helper thread. From `start` on it lives on the event loop, its engine on the worker thread.

    Attributes:
        entry: name, specification and sizes of the weights.
        last_used_s: monotonic time at which a session was last opened or closed.
        nbytes: memory of weights and bank.
    """

    def __init__(
        self,
        entry: ModelEntry,
        detector: Detector,
        settings: Settings,
        families: ModelMetricFamilies,
        worker: Worker,
        fail_session: FailSession,
    ) -> None:
        self.entry = entry
        self.detector = detector
        self.last_used_s = time.monotonic()
        self.engine = Engine(detector, settings.max_sessions)
        self.nbytes = detector.weights_bytes + self.engine.bank.nbytes
        self.scheduler = Scheduler(
            worker.round_robin.condition, settings.max_batch, settings.batch_wait_share
        )
        self._worker = worker
        self._metrics = families.for_model(entry.name, detector)
        self._batch_runner = BatchRunner(self.engine, self._metrics, fail_session)
        self._free_slots = list(range(settings.max_sessions))
        self._largest_batch = min(settings.max_batch, settings.max_sessions)

    @property
    def session_count(self) -> int:
        """Number of open sessions."""
        return int(self.engine.bank.slots) - len(self._free_slots)

    @property
    def alive(self) -> bool:
        """True while the worker runs its batches."""
        return self._worker.is_serving(self.scheduler)

    def submit(self, action: Callable[[Engine], T]) -> "Future[T]":
        """Run `action` on the worker thread between two batches. Any thread may call this."""
        return self._worker.submit(lambda: action(self.engine))

    async def warm_up(self) -> None:
        """Run blank batches, so that no session waits for the slow first step of a batch size or kernel.

        Each batch size is a call of its own, so that other models run in between.
        """
        await asyncio.to_thread(self._warm_up_decoders)
        for batch in range(self._largest_batch, 0, -1):
            await asyncio.wrap_future(self.submit(partial(_run_blank_batch, batch)))
            log.debug("warmed up", extra={"batch": batch})

    def _warm_up_decoders(self) -> None:
        for format in FORMATS:
            stream = SliceStream(format, 1, 1, 1000, self.entry.spec.representation)
            list(stream.feed(bytes(16)))
            list(stream.finish())

    def start(self) -> None:
        """Start to run batches."""
        self._metrics.mark_loaded(self.detector, self.engine.bank.nbytes)
        self._metrics.set_gauge_functions(lambda: self.session_count, lambda: self.scheduler.queued_slices)
        self._worker.add(self.scheduler, self._batch_runner)

    async def stop(self) -> None:
        """Stop a model without sessions, and free its memory."""
        await asyncio.wrap_future(self._worker.remove(self.scheduler, self.release))
        self._metrics.mark_unloaded()  # after the last batch, which has set the gauges again
        await asyncio.to_thread(trim_heap)

    def release(self) -> None:
        """Free the tensors of weights and bank, though ended sessions and stored errors may refer to them."""
        self.engine.bank.release()
        self.detector.release()

    def acquire_slot(self) -> SlotLease:
        """Take a free slot. There is always one: each model has `max_sessions` slots."""
        self.last_used_s = time.monotonic()
        return SlotLease(
            self.entry, self.detector, self._free_slots.pop(), self._metrics, self.scheduler.notify
        )

    def release_slot(self, session: Session) -> None:
        """Return the slot of a closed session. The slot is reset before another session uses it."""
        self.scheduler.remove(session)
        self.submit(lambda engine: engine.bank.reset([session.slot]))
        self._free_slots.append(session.slot)
        self.last_used_s = time.monotonic()


def _run_blank_batch(batch: int, engine: Engine) -> None:
    slots = range(batch)
    spec = engine.detector.spec
    frames = np.zeros((batch, spec.config.in_channels, spec.input_height, spec.input_width), np.float32)
    engine.detector.step_arrays(frames, engine.bank, slots)
    engine.bank.reset(slots)
