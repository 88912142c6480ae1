"""The models that are loaded: on demand, once for all who ask, within a budget of memory.

Policy `least_recently_used`: what has no sessions makes room, that first which has had none for longest, and
never the default. What has sessions stays, and who finds no room is told to come again.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError, ModelError
from spikewatch.service.errors import BadSettings, ModelFailed, ModelMemory
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.model_catalog import Catalog, Entry, identity_of, load_weights
from spikewatch.service.scheduling.batch_runner import Fail
from spikewatch.service.scheduling.loaded_model import RunningModel
from spikewatch.service.scheduling.worker import Worker
from spikewatch.service.settings import Settings

log = logging.getLogger("spikewatch.models")

MB = 1e6


class Models:
    """Lives on the event loop; loading and unloading do not.

    Attributes:
        catalog: all that may be asked for.
        default: what is used where none is named; loaded from the beginning to the end.

    Raises:
        BadSettings: see `Catalog`; or weights that could never be loaded within the budget.
    """

    def __init__(
        self, default: Detector, settings: Settings, metrics: Metrics, fail: Fail, threads: int = 1
    ) -> None:
        self.catalog = Catalog(default, settings)
        self._settings = settings
        self._metrics = metrics.models
        self._fail = fail
        self.worker = Worker(threads)
        self._loading: dict[str, asyncio.Task[RunningModel]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._wanted: Counter[str] = Counter()
        self._check_budget()
        metrics.model_memory.set(settings.model_memory_bytes)
        for entry in self.catalog.entries:
            self._metrics.known(entry.name)
        self.default = self._make(self.catalog.default, default)
        self._running = {self.default.entry.name: self.default}

    async def start(self) -> None:
        """Make the default ready."""
        self.worker.start()
        await self.default.warm_up()
        self.default.start()
        self._metrics.loads.labels(self.default.entry.name, "loaded").inc()

    async def stop(self) -> None:
        """End the worker, once what is being loaded is there."""
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await asyncio.to_thread(self.worker.stop)

    @property
    def running(self) -> list[RunningModel]:
        """Those that are loaded."""
        return list(self._running.values())

    @property
    def used_bytes(self) -> int:
        """Weights and membranes of those that are loaded."""
        return sum(model.nbytes for model in self.running)

    def get(self, name: str) -> RunningModel | None:
        """A model by the name of its entry, if it is loaded; what has sessions is."""
        return self._running.get(name)

    @asynccontextmanager
    async def use(self, entry: Entry) -> AsyncIterator[RunningModel]:
        """A model, loaded if need be; it stays while the block runs, and as long as it has sessions.

        Raises:
            ModelMemory: it does not fit beside models that have sessions.
            ModelFailed: it cannot be loaded, or has failed since.
        """
        self._wanted[entry.name] += 1
        try:
            model = self._running.get(entry.name)
            if model is None:
                model = await asyncio.shield(self._load_once(entry))
            if not model.alive:
                raise ModelFailed(f"weights {entry.name} have failed; the log has more")
            yield model
        finally:
            self._wanted[entry.name] -= 1

    def failed(self) -> list[RunningModel]:
        """Those whose work the worker cannot take any more."""
        return [model for model in self.running if not model.alive]

    async def discard(self, model: RunningModel) -> None:
        """Unload a model that has failed, so that it may be loaded anew; the default stays as it is."""
        if model is not self.default:
            await self._unload(model)

    def _load_once(self, entry: Entry) -> "asyncio.Task[RunningModel]":
        """The load under way, or a new one; it goes on if those who wait for it go away."""
        if entry.name not in self._loading:
            self._loading[entry.name] = task = asyncio.create_task(self._load(entry))
            task.add_done_callback(lambda _: self._loaded(entry, task))
        return self._loading[entry.name]

    def _loaded(self, entry: Entry, task: "asyncio.Task[RunningModel]") -> None:
        del self._loading[entry.name]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            outcome = "no_room" if isinstance(error, ModelMemory) else "failed"
            self._metrics.loads.labels(entry.name, outcome).inc()
            log.warning("a model was not loaded", extra={"model": entry.name, "error": str(error)})

    async def _load(self, entry: Entry) -> RunningModel:
        async with self._one_at_a_time:
            await self._make_room(entry)
            start_s = time.monotonic()
            model = await self._make_ready(entry)
            model.start()
            self._running[entry.name] = model
        self._metrics.loads.labels(entry.name, "loaded").inc()
        took_s = round(time.monotonic() - start_s, 3)
        log.info("a model was loaded", extra={"model": entry.name, "bytes": model.nbytes, "took_s": took_s})
        return model

    async def _make_ready(self, entry: Entry) -> RunningModel:
        """Load and warm up; what clients are told of a failure names no file."""
        try:
            model = await asyncio.to_thread(self._read, entry)
            await model.warm_up()
        except (ModelError, OSError) as error:
            log.exception("weights cannot be loaded", extra={"model": entry.name})
            reason = str(error).replace(str(entry.weights), "the file")
            raise ModelFailed(f"weights {entry.name} cannot be loaded: {reason}") from None
        except Exception:
            log.exception("weights cannot be loaded", extra={"model": entry.name})
            raise ModelFailed(f"weights {entry.name} cannot be loaded; the log has more") from None
        return model

    def _read(self, entry: Entry) -> RunningModel:
        detector = load_weights(entry.weights, self._settings)
        if (identity_of(detector), detector.spec) != (entry.identity, entry.spec):
            raise CheckpointError("the file has changed since the service was started")
        return self._make(entry, detector)

    def _make(self, entry: Entry, detector: Detector) -> RunningModel:
        return RunningModel(entry, detector, self._settings, self._metrics, self.worker, self._fail)

    def check_room(self, entry: Entry) -> None:
        """Look for room for a model, without loading it.

        Raises:
            ModelMemory: it is not loaded, and does not fit beside models in use.
        """
        if entry.name not in self._running:
            self._in_the_way(entry)

    async def _make_room(self, entry: Entry) -> None:
        """Unload what is not used until the model fits; nothing, if that would not help."""
        while idle := self._in_the_way(entry):
            await self._unload(idle[0])

    def _in_the_way(self, entry: Entry) -> list[RunningModel]:
        """What is not used, the least recently used first; nothing, if the model fits beside it.

        Raises:
            ModelMemory: it would not fit without it either.
        """
        need, budget = entry.memory_bytes(self._settings.max_sessions), self._settings.model_memory_bytes
        if self.used_bytes + need <= budget:
            return []
        idle = sorted(filter(self._is_idle, self.running), key=lambda model: model.used_s)
        room = budget - self.used_bytes + sum(model.nbytes for model in idle)
        if need > room:
            raise ModelMemory(
                f"weights {entry.name} need {need / MB:.0f} MB; models in use leave "
                f"{max(0, room) / MB:.0f} of {budget / MB:.0f} MB; try again later"
            )
        return idle

    def _is_idle(self, model: RunningModel) -> bool:
        return model is not self.default and not model.sessions and not self._wanted[model.entry.name]

    async def _unload(self, model: RunningModel) -> None:
        if self._running.get(model.entry.name) is not model:
            return
        del self._running[model.entry.name]
        await model.stop()
        self._metrics.unloads.labels(model.entry.name).inc()
        log.info("a model was unloaded", extra={"model": model.entry.name, "bytes": model.nbytes})

    def _check_budget(self) -> None:
        slots, budget = self._settings.max_sessions, self._settings.model_memory_bytes
        default, *others = (entry.memory_bytes(slots) for entry in self.catalog.entries)
        for entry, need in zip(self.catalog.entries[1:], others, strict=True):
            if default + need > budget:
                raise BadSettings(
                    f"models: {entry.name} never fits: for {slots} sessions it needs {need / MB:.0f} MB, the "
                    f"default {default / MB:.0f}, and model_memory_bytes is {budget / MB:.0f} MB"
                )
