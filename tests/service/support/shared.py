"""Services that the tests of a module share."""

import asyncio
from contextlib import ExitStack
from typing import Any

from spikewatch.model.detector import Detector
from tests.service.support.live import ANSWER_S, Live, live_service


class SharedServices:
    """One running service for each set of settings, started by the first test that asks for it.

    Tests find no session and no upload of an earlier test. They compare metrics with their values before.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._running: dict[str, Live] = {}
        self._stop = ExitStack()

    def __call__(self, **settings: Any) -> Live:
        key = repr(sorted(settings.items()))
        if key not in self._running:
            self._running[key] = self._stop.enter_context(live_service(self._detector, **settings))
        return self._running[key]

    def clean(self) -> None:
        """End the connections, uploads and sessions that a test has left."""
        for live in self._running.values():
            live.close_sockets()
            asyncio.run_coroutine_threadsafe(_end_all(live), live.loop).result(ANSWER_S)

    def stop(self) -> None:
        self._stop.close()


async def _end_all(live: Live) -> None:
    await live.registry.stop()
    live.manager.end_all()
