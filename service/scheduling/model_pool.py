"""The loaded models: loaded on demand, once for all waiting requests, within a memory budget.

Eviction policy `least_recently_used`: unload the model that has been without sessions for longest. The
default model and models with sessions are never unloaded. If nothing can be unloaded, the request fails with
503 and `Retry-After`.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError, ModelError
from spikewatch.service.errors import InsufficientModelMemory, InvalidSettings, ModelFailed
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.model_catalog import ModelCatalog, ModelEntry, compute_fingerprint, load_weights
from spikewatch.service.scheduling.batch_runner import FailSession
from spikewatch.service.scheduling.loaded_model import LoadedModel
from spikewatch.service.scheduling.worker import Worker
from spikewatch.service.settings import Settings

log = logging.getLogger("spikewatch.models")

MB = 1e6


class ModelPool:
    """Loads and unloads models. Lives on the event loop; weights are read in helper threads.

    Attributes:
        catalog: all weights that clients may request.
        default: the model for requests that name none; never unloaded.

    Raises:
        InvalidSettings: see `ModelCatalog`; or some weights never fit into the budget.
    """

    def __init__(
        self,
        default: Detector,
        settings: Settings,
        metrics: Metrics,
        fail_session: FailSession,
        threads: int = 1,
    ) -> None:
        self.catalog = ModelCatalog(default, settings)
        self._settings = settings
        self._metrics = metrics.models
        self._fail_session = fail_session
        self.worker = Worker(threads)
        self._load_tasks: dict[str, asyncio.Task[LoadedModel]] = {}
        self._load_lock = asyncio.Lock()
        self._reference_counts: Counter[str] = Counter()
        self._check_memory_budget()
        metrics.model_memory_limit.set(settings.model_memory_bytes)
        for entry in self.catalog.entries:
            self._metrics.register_model(entry.name)
        self.default = self._make_loaded_model(self.catalog.default, default)
        self._models = {self.default.entry.name: self.default}

    async def start(self) -> None:
        """Start the worker and the default model."""
        self.worker.start()
        await self.default.warm_up()
        self.default.start()
        self._metrics.loads.labels(self.default.entry.name, "loaded").inc()

    async def stop(self) -> None:
        """Stop the worker, once running loads have finished."""
        await asyncio.gather(*self._load_tasks.values(), return_exceptions=True)
        await asyncio.to_thread(self.worker.stop)

    @property
    def loaded(self) -> list[LoadedModel]:
        """All loaded models."""
        return list(self._models.values())

    @property
    def used_bytes(self) -> int:
        """Memory of weights and membranes of all loaded models."""
        return sum(model.nbytes for model in self.loaded)

    def get(self, name: str) -> LoadedModel | None:
        """Return a loaded model by the name of its entry, or None. Models with sessions are always loaded."""
        return self._models.get(name)

    @asynccontextmanager
    async def acquire(self, entry: ModelEntry) -> AsyncIterator[LoadedModel]:
        """Yield a model, loaded if needed. It is not unloaded in this block, nor while it has sessions.

        Raises:
            InsufficientModelMemory: the model does not fit beside models that have sessions.
            ModelFailed: the model cannot be loaded, or has failed since.
        """
        self._reference_counts[entry.name] += 1
        try:
            model = self._models.get(entry.name)
            if model is None:
                model = await asyncio.shield(self._get_or_start_load(entry))
            if not model.alive:
                raise ModelFailed(f"model {entry.name} has failed; details are in the server log")
            yield model
        finally:
            self._reference_counts[entry.name] -= 1

    def failed_models(self) -> list[LoadedModel]:
        """Return the models that the worker no longer runs."""
        return [model for model in self.loaded if not model.alive]

    async def unload_failed(self, model: LoadedModel) -> None:
        """Unload a failed model, so that it can be loaded again. The default model stays."""
        if model is not self.default:
            await self._unload(model)

    def _get_or_start_load(self, entry: ModelEntry) -> "asyncio.Task[LoadedModel]":
        """Return the running load task, or start one. Cancelling a waiter does not cancel the load."""
        if entry.name not in self._load_tasks:
            self._load_tasks[entry.name] = task = asyncio.create_task(self._load(entry))
            task.add_done_callback(lambda _: self._on_load_finished(entry, task))
        return self._load_tasks[entry.name]

    def _on_load_finished(self, entry: ModelEntry, task: "asyncio.Task[LoadedModel]") -> None:
        del self._load_tasks[entry.name]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            outcome = "no_room" if isinstance(error, InsufficientModelMemory) else "failed"
            self._metrics.loads.labels(entry.name, outcome).inc()
            log.warning("a model was not loaded", extra={"model": entry.name, "error": str(error)})

    async def _load(self, entry: ModelEntry) -> LoadedModel:
        async with self._load_lock:
            await self._evict_until_fits(entry)
            start_s = time.monotonic()
            model = await self._load_and_warm_up(entry)
            model.start()
            self._models[entry.name] = model
        self._metrics.loads.labels(entry.name, "loaded").inc()
        took_s = round(time.monotonic() - start_s, 3)
        log.info("a model was loaded", extra={"model": entry.name, "bytes": model.nbytes, "took_s": took_s})
        return model

    async def _load_and_warm_up(self, entry: ModelEntry) -> LoadedModel:
        """Load and warm up. Messages to clients name no file."""
        try:
            model = await asyncio.to_thread(self._read_weights, entry)
            await model.warm_up()
        except (ModelError, OSError) as error:
            log.exception("weights cannot be loaded", extra={"model": entry.name})
            reason = str(error).replace(str(entry.weights), "the file")
            raise ModelFailed(f"weights {entry.name} cannot be loaded: {reason}") from None
        except Exception:
            log.exception("weights cannot be loaded", extra={"model": entry.name})
            raise ModelFailed(
                f"weights {entry.name} cannot be loaded; details are in the server log"
            ) from None
        return model

    def _read_weights(self, entry: ModelEntry) -> LoadedModel:
        detector = load_weights(entry.weights, self._settings)
        if (compute_fingerprint(detector), detector.spec) != (entry.fingerprint, entry.spec):
            raise CheckpointError(
                f"{entry.weights} has changed since the service was started; restart the service to use it"
            )
        return self._make_loaded_model(entry, detector)

    def _make_loaded_model(self, entry: ModelEntry, detector: Detector) -> LoadedModel:
        return LoadedModel(entry, detector, self._settings, self._metrics, self.worker, self._fail_session)

    def check_capacity(self, entry: ModelEntry) -> None:
        """Check that a model is loaded or can be loaded, without loading it.

        Raises:
            InsufficientModelMemory: the model does not fit beside models in use.
        """
        if entry.name not in self._models:
            self._eviction_candidates(entry)

    async def _evict_until_fits(self, entry: ModelEntry) -> None:
        """Unload idle models until this model fits. Unloads none if that is not enough."""
        while idle := self._eviction_candidates(entry):
            await self._unload(idle[0])

    def _eviction_candidates(self, entry: ModelEntry) -> list[LoadedModel]:
        """Return idle models, least recently used first; none if the model fits without eviction.

        Raises:
            InsufficientModelMemory: the model does not fit even without the idle models.
        """
        required, budget = entry.memory_bytes(self._settings.max_sessions), self._settings.model_memory_bytes
        if self.used_bytes + required <= budget:
            return []
        idle = sorted(filter(self._is_evictable, self.loaded), key=lambda model: model.last_used_s)
        available = budget - self.used_bytes + sum(model.nbytes for model in idle)
        if required > available:
            raise InsufficientModelMemory(
                f"weights {entry.name} need {required / MB:.0f} MB; models in use leave "
                f"{max(0, available) / MB:.0f} of {budget / MB:.0f} MB; try again later"
            )
        return idle

    def _is_evictable(self, model: LoadedModel) -> bool:
        return (
            model is not self.default
            and not model.session_count
            and not self._reference_counts[model.entry.name]
        )

    async def _unload(self, model: LoadedModel) -> None:
        if self._models.get(model.entry.name) is not model:
            return
        del self._models[model.entry.name]
        await model.stop()
        self._metrics.unloads.labels(model.entry.name).inc()
        log.info("a model was unloaded", extra={"model": model.entry.name, "bytes": model.nbytes})

    def _check_memory_budget(self) -> None:
        slots, budget = self._settings.max_sessions, self._settings.model_memory_bytes
        default, *others = (entry.memory_bytes(slots) for entry in self.catalog.entries)
        for entry, need in zip(self.catalog.entries[1:], others, strict=True):
            if default + need > budget:
                raise InvalidSettings(
                    f"models: {entry.name} never fits: for {slots} sessions it needs {need / MB:.0f} MB, the "
                    f"default {default / MB:.0f}, and model_memory_bytes is {budget / MB:.0f} MB"
                )
