"""A model in memory: its detector, its scheduler, and the slots of its bank; the worker runs it."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from spikewatch.ingest.formats.decoders import FORMATS
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.model.detector import Detector
from spikewatch.service.inference.engine import Engine
from spikewatch.service.metrics.model import ModelFamilies
from spikewatch.service.model_catalog import Entry
from spikewatch.service.process_memory import give_back
from spikewatch.service.scheduling.batch_runner import Fail, Runner
from spikewatch.service.scheduling.scheduler import Scheduler
from spikewatch.service.scheduling.worker import Worker
from spikewatch.service.sessions.session import Session
from spikewatch.service.sessions.slot import Berth
from spikewatch.service.settings import Settings

T = TypeVar("T")

log = logging.getLogger("spikewatch.models")


class RunningModel:
    """Made in a helper thread; from `start` on it lives on the event loop, its engine on the worker's thread.

    Attributes:
        entry: what is known of the weights.
        used_s: monotonic time at which a session last came or went.
        nbytes: memory of weights and bank.
    """

    def __init__(
        self,
        entry: Entry,
        detector: Detector,
        settings: Settings,
        families: ModelFamilies,
        worker: Worker,
        fail: Fail,
    ) -> None:
        self.entry = entry
        self.detector = detector
        self.used_s = time.monotonic()
        self.engine = Engine(detector, settings.max_sessions)
        self.nbytes = detector.weights_bytes + self.engine.bank.nbytes
        self.scheduler = Scheduler(worker.rotation.changed, settings.max_batch, settings.company_share)
        self._worker = worker
        self._metrics = families.of(entry.name, detector)
        self._runner = Runner(self.engine, self._metrics, fail)
        self._free = list(range(settings.max_sessions))
        self._largest_batch = min(settings.max_batch, settings.max_sessions)

    @property
    def sessions(self) -> int:
        """How many are open."""
        return self.engine.bank.slots - len(self._free)

    @property
    def alive(self) -> bool:
        """True while the worker takes its work."""
        return self._worker.serves(self.scheduler)

    def call(self, action: Callable[[Engine], T]) -> "Future[T]":
        """Do something on the worker thread, between two batches; any thread may ask."""
        return self._worker.call(lambda: action(self.engine))

    async def warm_up(self) -> None:
        """First steps of a batch size and first calls of a kernel are slow; nobody should wait for them.

        A batch size at a time, so that other models have turns in between.
        """
        await asyncio.to_thread(self._warm_up_decoders)
        for batch in range(self._largest_batch, 0, -1):
            await asyncio.wrap_future(self.call(partial(_blank_step, batch)))
            log.debug("warmed up", extra={"batch": batch})

    def _warm_up_decoders(self) -> None:
        for format in FORMATS:
            stream = SliceStream(format, 1, 1, 1000, self.entry.spec.representation)
            list(stream.feed(bytes(16)))
            list(stream.finish())

    def start(self) -> None:
        """Take work."""
        self._metrics.begin(self.detector, self.engine.bank.nbytes)
        self._metrics.watch(lambda: self.sessions, lambda: self.scheduler.queued_slices)
        self._worker.add(self.scheduler, self._runner)

    async def stop(self) -> None:
        """Take no more work, of which there is none, and give the memory back."""
        await asyncio.wrap_future(self._worker.remove(self.scheduler, self.release))
        self._metrics.forget()  # only now: a batch that was under way has set gauges anew
        await asyncio.to_thread(give_back)

    def release(self) -> None:
        """Give the memory of weights and bank back, whoever may still refer to them."""
        self.engine.bank.release()
        self.detector.release()

    def berth(self) -> Berth:
        """A free slot. There is one: a model has as many as there may be sessions."""
        self.used_s = time.monotonic()
        return Berth(self.entry, self.detector, self._free.pop(), self._metrics, self.scheduler.notify)

    def leave(self, session: Session) -> None:
        """A session has been closed: clean its slot before anyone else gets it."""
        self.scheduler.remove(session)
        self.call(lambda engine: engine.bank.reset([session.slot]))
        self._free.append(session.slot)
        self.used_s = time.monotonic()


def _blank_step(batch: int, engine: Engine) -> None:
    slots = range(batch)
    engine.detector.step_in_bank(engine.detector.blank_frames(batch), engine.bank, slots)
    engine.bank.reset(slots)
