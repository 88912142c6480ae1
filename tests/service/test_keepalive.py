"""Pings of the service, while it holds a client back."""

import json
import threading
import time
from functools import partial

import pytest
import uvicorn
from websockets.sync.client import ClientConnection

from model.detector import Detector
from tests.service.live import dat_stream, live_service, talk

PING_S = 0.2


def test_a_client_held_back_is_not_taken_for_dead(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pong waits behind its bytes, which the service does not read."""
    hasty = partial(uvicorn.Config, ws_ping_interval=PING_S, ws_ping_timeout=PING_S)
    monkeypatch.setattr(uvicorn, "Config", hasty)
    held = threading.Event()
    with live_service(detector, inbox_slices=2) as live:
        live.app.state.host.worker.call(lambda _: held.wait(20))
        socket = live.connect(live.open(policy="block", hop=1))
        sender = threading.Thread(target=send, args=(socket,))
        sender.start()
        time.sleep(10 * PING_S)
        held.set()
        messages = talk(socket)
        sender.join()
    assert sum(m["events"] for m in messages if m["type"] == "window") == 20 * 2000
    assert messages[-1]["reason"] == "client", json.dumps(messages[-1])


def send(socket: ClientConnection) -> None:
    data = dat_stream(20, per_slice=2000)
    for start in range(0, len(data), 16_384):
        socket.send(data[start : start + 16_384])
    socket.send("close")
