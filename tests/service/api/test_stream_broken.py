"""A connection that breaks while something else happens: its session stays open."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket

from spikewatch.service.api.stream import stream
from spikewatch.service.auth.principal import Principal
from spikewatch.service.sessions.session import Session
from tests.service.support.live import Live, dat_stream

Send = Callable[[str], None]


def converse(live: Live, session: Session, data: bytes, send: Send) -> None:
    """Run a client that sends data and then nothing; `send` is called with the type of each message."""
    coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    coming.put_nowait({"type": "websocket.connect"})
    coming.put_nowait({"type": "websocket.receive", "bytes": data})

    async def tell(message: Any) -> None:
        if message["type"] == "websocket.send":
            send(json.loads(message["text"])["type"])

    scope = {"type": "websocket", "app": live.app, "path": "/", "query_string": b"", "headers": []}
    scope |= {"state": {"client": Principal("anyone", None)}}
    talk = asyncio.wait_for(stream(WebSocket(scope, coming.get, tell), session.id), 30)
    asyncio.run_coroutine_threadsafe(talk, session._loop).result(120)


def test_displacement_during_failed_send_keeps_session_open(live: Live) -> None:
    session = live.manager.get(live.open(hop=1))

    def send(kind: str) -> None:
        if kind != "ready":
            session.feed_lease.displaced.set()
            raise ConnectionResetError

    converse(live, session, dat_stream(3), send)
    assert session.close_error is None
    assert live.http.delete(f"/v1/sessions/{session.id}").json()["totals"]["windows"] == 3


def test_failed_notification_then_failed_result_keeps_session(live: Live) -> None:
    session = live.manager.get(live.open(hop=1))
    session._loop.call_soon_threadsafe(lambda: session.notifications.push("idle_warning", closes_in_s=1.0))

    def send(kind: str) -> None:
        if kind != "ready":
            raise ConnectionResetError

    converse(live, session, dat_stream(3), send)
    assert session.close_error is None
    assert live.http.delete(f"/v1/sessions/{session.id}").json()["totals"]["windows"] == 3
