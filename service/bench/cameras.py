"""Cameras that play a recording in real time, over WebSocket or REST, and note what comes back."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import websockets

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.open import open_recording

TimedChunk = tuple[int, bytes]
"""When it is due, in microseconds from the start, and DAT records up to then."""


@dataclass(slots=True)
class CameraReport:
    """Results that one camera received.

    Attributes:
        latency_ms: of each window, from its last byte to its result, as the service measured it.
        dropped: windows that the service says it dropped.
        error: why it stopped early, if it did.
    """

    latency_ms: list[float] = field(default_factory=list)
    dropped: int = 0
    error: str = ""

    def record_window(self, window: dict[str, Any]) -> None:
        """Note a result."""
        self.latency_ms.append(window["latency_ms"])
        self.dropped = window["dropped_windows"]


def loop_recording(path: Path, seconds: float, chunk_us: int) -> tuple[list[TimedChunk], tuple[int, int]]:
    """A recording over and over for `seconds`, in pieces of `chunk_us`; and its sensor size."""
    with open_recording(path) as recording:
        events = np.concatenate(list(recording.chunks()))
        sensor = recording.sensor_size()
    start_us = int(events["t"][0]) // chunk_us * chunk_us
    period_us = (int(events["t"][-1]) - start_us) // chunk_us * chunk_us
    events = events[events["t"] < start_us + period_us]
    pieces: list[TimedChunk] = []
    for turn in range(-(-int(seconds * 1e6) // period_us)):
        pieces += _split_chunks(events, start_us, turn * period_us, period_us, chunk_us)
    return [piece for piece in pieces if piece[0] <= seconds * 1e6], sensor


def _split_chunks(
    events: Events, start_us: int, shift_us: int, period_us: int, chunk_us: int
) -> list[TimedChunk]:
    moved = events.copy()
    moved["t"] += shift_us - start_us
    edges = np.arange(shift_us + chunk_us, shift_us + period_us + 1, chunk_us)
    parts = np.split(moved, np.searchsorted(moved["t"], edges))
    return [(int(edge), encode_dat(part)) for edge, part in zip(edges, parts, strict=False)]


async def _wait_until_due(start_s: float, due_us: int) -> None:
    await asyncio.sleep(max(0.0, start_s + due_us / 1e6 - time.monotonic()))


async def play_websocket(
    url: str, session: dict[str, Any], chunks: list[TimedChunk], start_s: float
) -> CameraReport:
    """Send each piece when it is due, whatever has come back by then."""
    heard = CameraReport()

    async def listen(socket: websockets.ClientConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "window":
                heard.record_window(message)
            elif message["type"] == "error":
                heard.error = message["detail"]

    address = url.replace("http", "ws", 1) + session["stream_url"]
    try:
        async with websockets.connect(address, compression=None, max_size=None) as socket:
            listener = asyncio.create_task(listen(socket))
            for due_us, data in chunks:
                await _wait_until_due(start_s, due_us)
                await socket.send(data)
            await socket.send("close")
            await listener
    except (OSError, websockets.WebSocketException) as error:
        heard.error = heard.error or str(error)
    return heard


async def play_rest(
    url: str, session: dict[str, Any], chunks: list[TimedChunk], start_s: float
) -> CameraReport:
    """Post each piece when it is due and the answer to the one before is there."""
    heard = CameraReport()
    path = f"/v1/sessions/{session['session_id']}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            for due_us, data in chunks:
                await _wait_until_due(start_s, due_us)
                answer = await client.post(f"{path}/events", content=data)
                answer.raise_for_status()
                for window in answer.json()["windows"]:
                    heard.record_window(window)
            await client.delete(path)
    except httpx.HTTPError as error:
        heard.error = str(error) or type(error).__name__
    return heard


PLAYERS = {"websocket": play_websocket, "rest": play_rest}
"""By transport."""
