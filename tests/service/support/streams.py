"""Events sent to one session, and connections that read its results."""

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.service.support.live import Live, dat_stream
from tests.service.support.waiting import until

LOW = {"confidence": 0.001, "hop": 1}


def post(live: Live, session_id: str, data: bytes, **place: int) -> httpx.Response:
    return live.http.post(f"/v1/sessions/{session_id}/events", content=data, params=place)


def stream(live: Live, session_id: str, **place: object) -> ClientConnection:
    query = "&".join(f"{k}={v}" for k, v in place.items())
    address = f"{live.ws_url}/v1/sessions/{session_id}/stream?{query}"
    return connect(address, compression=None, max_size=None)


def watching(live: Live, session_id: str) -> ClientConnection:
    return connect(f"{live.ws_url}/v1/sessions/{session_id}/watch", max_size=None)


def left(live: Live, slices: int, **wanted: int) -> str:
    """A session whose client left before it read anything, while the worker is stuck: all slices wait."""
    session = live.manager.get(live.open(**wanted))
    with stream(live, session.id) as feeder:
        feeder.recv()
        feeder.send(dat_stream(slices))
        until(lambda: len(session.inbox) == slices - 1)
    until(lambda: not session.feed_lease.held)
    return str(session.id)
