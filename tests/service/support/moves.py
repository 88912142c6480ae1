"""Sessions at other workers, and moves between services that tests run."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from spikewatch.service.errors import SessionMoved
from spikewatch.service.schemas import SessionInfo, SessionRequest
from spikewatch.service.session_manager.moving import move_session
from spikewatch.service.session_manager.placement import LocalPlacement
from tests.service.support.live import ANSWER_S, Live


class Redirecting:
    """Opens sessions here; all that are not open here are at `location`."""

    def __init__(self, url: str, location: str) -> None:
        self.url: str | None = url
        self.location = location

    async def open(self, session_id: str, requested: SessionRequest) -> SessionInfo | None:
        return None

    async def locate(self, session_id: str) -> None:
        raise SessionMoved(f"{self.location} has session {session_id}", location=self.location)

    def release(self, session_id: str, reason: str) -> None:
        pass


@contextmanager
def redirecting(live: Live, location: str) -> Iterator[None]:
    live.manager.placement = Redirecting(live.url, location)
    try:
        yield
    finally:
        live.manager.placement = LocalPlacement()


def move(source: Live, target: Live, session_id: str) -> None:
    """Move a session, as its worker would; both services keep snapshots."""

    async def adopt(data: bytes) -> str:
        target.manager.snapshots.store.put(session_id, data)
        answer = await asyncio.to_thread(target.http.post, "/v1/sessions", json={"resume": session_id})
        assert answer.status_code == 201, answer.text
        return target.url

    run(source, move_session(source.manager, source.manager.get(session_id), adopt))


def run(live: Live, work: object) -> None:
    """Run a coroutine on the loop of a service."""
    loop = live.manager._loop
    assert loop is not None
    assert asyncio.iscoroutine(work)
    asyncio.run_coroutine_threadsafe(work, loop).result(ANSWER_S)
