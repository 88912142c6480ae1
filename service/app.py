"""The application, built from settings. Importing this module has no side effects."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

import torch
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware

from spikewatch.model.detector import Detector
from spikewatch.service.api import (
    detections,
    health,
    models,
    sessions,
    snapshots,
    stream,
    tickets,
    viewer,
    watch,
)
from spikewatch.service.api.openapi import describe
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.middleware import AuthMiddleware
from spikewatch.service.concurrency import Slots
from spikewatch.service.errors import InvalidSettings
from spikewatch.service.http import problems
from spikewatch.service.model_catalog import load_weights
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.session_manager.placement import SessionPlacement
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots.store import SnapshotStore, make_store
from spikewatch.service.uploads.jobs import UploadRegistry

DESCRIPTION = """Streaming object detection for event cameras on a spiking network that remembers.

Live streams: `WS /v1/sessions/{id}/stream` (binary in, JSON out) after `POST /v1/sessions`.
Errors are `application/problem+json` with a stable `code`."""

CORS_OPTIONS: dict[str, Any] = {
    "allow_methods": ("GET", "POST", "PUT", "DELETE"),
    "allow_headers": ("Authorization", "X-API-Key", "Content-Type"),
    "expose_headers": ("Location", "Retry-After", "Spikewatch-Accepted-Bytes", "Spikewatch-Position-Us"),
}


def _default_threads() -> int:
    """Return one thread fewer than cores: a compute thread that shares its core delays all others."""
    return max(1, min(torch.get_num_threads(), len(os.sched_getaffinity(0)) - 1))


def check_device(name: str) -> None:
    """Raise InvalidSettings unless torch can compute on a device."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0][:160]
        raise InvalidSettings(
            f"device {name!r} cannot be used: {reason}; use cpu, or cuda on a machine with an NVIDIA GPU"
        ) from None


def create_app(
    settings: Settings,
    detector: Detector | None = None,
    store: SnapshotStore | None = None,
    placement: SessionPlacement | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Build the service. The default model is `detector`, or loaded as the settings say.

    Without `store` and `placement`, the service runs alone, and saves sessions as the settings say.
    `clock` decides when sessions and uploads are idle, when snapshots are due and how long results are kept.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: the weights are for still pictures, or the runtime does not support them.
        OSError: the snapshot directory cannot be used.
        InvalidSettings: API keys or weights cannot be read, the device cannot be used, or the snapshot store
            is too small for all sessions, or belongs to another service.
    """
    access = Authenticator(settings)
    check_device(settings.device)
    threads = settings.threads or _default_threads()
    torch.set_num_threads(1)  # for all threads but the worker, see `claim_all_cores`
    detector = detector or load_weights(settings.weights, settings)
    detector.spec.check_input(events=True, name="a live stream")
    store = store or make_store(settings, detector.state_bytes)
    host = SessionManager(detector, settings, CollectorRegistry(), store, threads, placement, clock)

    jobs = UploadRegistry(host, access)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await host.start()
        yield
        await jobs.stop()
        await host.stop()

    app = FastAPI(
        title="Spikewatch",
        version=settings.version,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.openapi = cache(partial(describe, app, settings, access))  # type: ignore[method-assign]
    app.state.manager, app.state.registry = host, jobs
    app.state.authenticator, app.state.transfers = access, Slots()
    app.add_middleware(AuthMiddleware, authenticator=access, metrics=host.metrics)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS_OPTIONS)
    problems.register_exception_handlers(app, host.metrics)
    for module in (detections, sessions, snapshots, tickets, stream, watch, models, health, viewer):
        app.include_router(module.router)
    app.mount("/viewer", viewer.viewer_files)
    app.mount("/docs", viewer.docs_files)
    if settings.pages is not None:
        app.mount("/pages", viewer.ViewerFiles(directory=settings.pages, html=True))
    return app
