"""A real service on a free port, and streams to send to it."""

import asyncio
import json
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import numpy as np
import websockets
from websockets.sync.client import ClientConnection, connect

from spikewatch.model.detector import Detector
from spikewatch.service.app import create_app
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.concurrency import Slots
from spikewatch.service.scheduling.loaded_model import LoadedModel
from spikewatch.service.server import make_server
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.settings import Settings
from spikewatch.service.uploads.jobs import UploadRegistry

WIDTH, HEIGHT = 90, 60
SENSOR = {"width": WIDTH, "height": HEIGHT}
ANSWER_S = 240.0
"""Upper bound of every answer, also on a busy machine."""


class Live:
    """Base address, a client, and the application inside."""

    def __init__(self, port: int, app: Any, stop: Any, server: Any) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.server = server
        self.ws_url = f"ws://127.0.0.1:{port}"
        self.app = app
        self.stop = stop
        self.http = httpx.Client(base_url=self.url, timeout=ANSWER_S)
        self._sockets = ExitStack()

    def open(self, **wanted: Any) -> str:
        answer = self.http.post("/v1/sessions", json=SENSOR | wanted)
        assert answer.status_code == 201, answer.text
        session_id: str = answer.json()["session_id"]
        return session_id

    def connect(self, session_id: str) -> ClientConnection:
        address = f"{self.ws_url}/v1/sessions/{session_id}/stream"
        socket = self._sockets.enter_context(connect(address, compression=None, max_size=None))
        ready = json.loads(socket.recv())
        assert ready["type"] == "ready"
        return socket

    def close_sockets(self) -> None:
        self._sockets.close()

    def close(self) -> None:
        self.close_sockets()
        self.http.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the service runs on."""
        loop = self.manager._loop
        assert loop is not None
        return loop

    @property
    def manager(self) -> SessionManager:
        manager: SessionManager = self.app.state.manager
        return manager

    @property
    def registry(self) -> UploadRegistry:
        registry: UploadRegistry = self.app.state.registry
        return registry

    @property
    def authenticator(self) -> Authenticator:
        authenticator: Authenticator = self.app.state.authenticator
        return authenticator

    @property
    def transfers(self) -> Slots:
        slots: Slots = self.app.state.transfers
        return slots

    @property
    def model(self) -> LoadedModel:
        """The default model, as it runs."""
        return self.manager.models.default

    def metric(self, line: str) -> float:
        """Sum of the series of this name with these labels among theirs, as `name{label="value"}`."""
        found = self._series(line)
        assert found, f"no series {line}"
        return sum(found)

    def rise(self, line: str) -> Callable[[], float]:
        """Return a function that tells how much a metric has risen since this call."""
        before = sum(self._series(line))
        return lambda: self.metric(line) - before

    def _series(self, line: str) -> list[float]:
        name, _, labels = line.partition("{")
        wanted = set(re.findall(r'\w+="[^"]*"', labels))
        return [
            float(text.split()[-1])
            for text in self.http.get("/metrics").text.splitlines()
            if re.match(rf"{name}[{{ ]", text) and wanted <= set(re.findall(r'\w+="[^"]*"', text))
        ]


@contextmanager
def live_service(
    detector: Detector,
    store: Any = None,
    placement: Any = None,
    port: int = 0,
    clock: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> Iterator[Live]:
    """Run the application under uvicorn in a thread of its own, until the block ends.

    Batches are small unless asked for otherwise, since a start warms up every size of them.
    """
    configured = Settings(port=port, **({"max_batch": 2} | settings))
    app = create_app(configured, detector, store, placement, clock)
    server = make_server(app, configured)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        thread.join(0.02)

    def stop() -> None:
        server.should_exit = True
        thread.join(ANSWER_S)
        assert not thread.is_alive()

    live = Live(server.servers[0].sockets[0].getsockname()[1], app, stop, server)
    try:
        yield live
    finally:
        live.close()
        stop()


def dat_stream(slices: int, seed: int = 0, per_slice: int = 300, slice_us: int = 62_500) -> bytes:
    """Headerless DAT records: random events, an equal number in each slice."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, slice_us, (slices, per_slice)), 1) + np.arange(slices)[:, None] * slice_us
    n = slices * per_slice
    records = np.empty((n, 2), "<u4")
    records[:, 0] = t.ravel()
    x, y, p = rng.integers(0, WIDTH, n), rng.integers(0, HEIGHT, n), rng.integers(0, 2, n)
    records[:, 1] = x | y << 14 | p << 28
    return records.tobytes()


FAIL = {"on_time_jump": "fail"}


def backwards(slices: int, slice_us: int = 62_500) -> bytes:
    """DAT records of so many slices (20 or more), and two that go back by a little each, together too far."""
    end_us = slices * slice_us
    late = b"".join(struct.pack("<II", end_us - back_us, 0) for back_us in (600_000, 1_200_000))
    return dat_stream(slices, slice_us=slice_us) + late


def dat_file(slices: int, **kwargs: Any) -> bytes:
    """The same with a header that names the sensor."""
    header = f"% Data file containing CD events\n% Version 2\n% Width {WIDTH}\n% Height {HEIGHT}\n"
    return header.encode() + bytes([0, 8]) + dat_stream(slices, **kwargs)


def comparable(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Windows without what differs from run to run."""
    return [{k: v for k, v in w.items() if k not in ("latency_ms", "type")} for w in windows]


def upload(live: Live, data: bytes, **query: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Windows and summary of POST /v1/detections."""
    answer = live.http.post("/v1/detections", content=data, params=query)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    return lines[:-1], lines[-1]["summary"]


def talk(socket: ClientConnection) -> list[dict[str, Any]]:
    """All messages until the service closes the connection."""
    messages = []
    try:
        while True:
            messages.append(json.loads(socket.recv(timeout=ANSWER_S)))
    except websockets.ConnectionClosed:
        return messages
