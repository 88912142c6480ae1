"""A model in memory: its detector, its worker thread, and the slots of its bank."""

import logging
import time

from ingest.decoder import FORMATS
from ingest.stream import SliceStream
from model.detector import Detector
from service.berth import Berth
from service.catalog import Entry
from service.engine import Engine
from service.fair_lock import FairLock
from service.memory import trim
from service.model_metrics import ModelFamilies
from service.scheduler import Scheduler
from service.session import Session
from service.settings import Settings
from service.worker import Fail, Worker

log = logging.getLogger("spikewatch.models")


class RunningModel:
    """Made and warmed up in a helper thread; from `start` on it lives on the event loop.

    Attributes:
        entry: what is known of the weights.
        used_s: monotonic time at which a session last came or went.
        worker: the thread that owns detector and bank.
    """

    def __init__(
        self,
        entry: Entry,
        detector: Detector,
        settings: Settings,
        families: ModelFamilies,
        turn: FairLock,
        fail: Fail,
    ) -> None:
        self.entry = entry
        self.detector = detector
        self.used_s = time.monotonic()
        self.scheduler = Scheduler(settings.max_batch, settings.company_share)
        self._metrics = families.of(entry.name, detector)
        engine = Engine(detector, settings.max_sessions)
        self.worker = Worker(engine, self.scheduler, self._metrics, fail, turn)
        self.nbytes = detector.weights_bytes + engine.bank.nbytes
        self._free = list(range(settings.max_sessions))
        self._slots = settings.max_sessions
        self._largest_batch = min(settings.max_batch, settings.max_sessions)
        self._turn = turn

    @property
    def sessions(self) -> int:
        """How many are open."""
        return self._slots - len(self._free)

    @property
    def alive(self) -> bool:
        """True while the worker takes work."""
        return self.worker.is_alive()

    def warm_up(self) -> None:
        """First steps of a batch size and first calls of a kernel are slow; nobody should wait for them."""
        for format in FORMATS:
            stream = SliceStream(format, 1, 1, 1000, self.detector.spec.representation)
            list(stream.feed(bytes(16)))
            list(stream.finish())
        bank = self.worker.engine.bank
        for batch in range(self._largest_batch, 0, -1):
            slots = range(batch)
            with self._turn:
                self.detector.step_in_bank(self.detector.blank_frames(batch), bank, slots)
            bank.reset(slots)
            log.debug("warmed up", extra={"batch": batch})

    def start(self) -> None:
        """Take work."""
        self._metrics.begin(self.detector, self.worker.engine.bank.nbytes)
        self._metrics.watch(lambda: self.sessions, lambda: self.scheduler.queued_slices)
        self.worker.start()

    def stop(self) -> None:
        """End the worker after the batch under way and give the memory back; waits, so in a helper thread."""
        if self.alive:
            self.worker.stop()
        self._metrics.forget()
        self.worker.engine.bank.release()
        self.detector.release()
        trim()

    def berth(self) -> Berth:
        """A free slot. There is one: a model has as many as there may be sessions."""
        self.used_s = time.monotonic()
        return Berth(self.entry, self.detector, self._free.pop(), self._metrics, self.scheduler.notify)

    def leave(self, session: Session) -> None:
        """A session has been closed: clean its slot before anyone else gets it."""
        self.scheduler.remove(session)
        self.worker.call(lambda engine: engine.bank.reset([session.slot]))
        self._free.append(session.slot)
        self.used_s = time.monotonic()
