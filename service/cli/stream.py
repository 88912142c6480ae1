"""`spikewatch stream`: plays a recording to a service as a live camera would."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Annotated, Literal

import httpx
import numpy as np
import typer
import websockets

from ingest.errors import IngestError
from ingest.events import Events
from ingest.recording import Recording, open_recording
from service.cli.interrupt import Interrupted, on_interrupt
from service.cli.options import Confidence, Height, Hop, RecordingPath, TrackBoxes, Width, check_size
from service.cli.stream_output import Show, stream_output
from service.errors import BadRequest

PIECE_US = 20_000
"""Events of this span are sent in one message."""


def stream(
    recording: RecordingPath,
    url: Annotated[str, typer.Option(help="Base address of the service.")] = "http://127.0.0.1:8000",
    speed: Annotated[
        float, typer.Option(min=0.0, help="1: real time; 0: as fast as the service takes it.")
    ] = 1.0,
    policy: Annotated[
        Literal["drop_oldest", "block"], typer.Option(help="What the service does when it cannot keep up.")
    ] = "drop_oldest",
    weights: Annotated[
        str | None, typer.Option(help="Weights of the service, by their name there (GET /v1/models).")
    ] = None,
    width: Width = None,
    height: Height = None,
    hop: Hop = None,
    confidence: Confidence = 0.25,
    key: Annotated[
        str | None, typer.Option(envvar="SPIKEWATCH_KEY", help="API key, where the service asks for one.")
    ] = None,
    track: TrackBoxes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each message as a line of JSON.")] = False,
) -> None:
    """Play a recording over the WebSocket at its own pace and print each window as it comes back.

    Events of any format are sent as headerless DAT records. On a terminal, a table grows instead of lines.
    Ctrl-C ends the session as `close` does; the exit status is 130.
    """
    check_size(width, height)
    with open_recording(recording, width, height) as opened:
        sensor = opened.sensor_size()
        wanted = {"format": "dat", "width": sensor[0], "height": sensor[1], "policy": policy}
        wanted |= {"confidence": confidence, "hop": hop, "weights": weights} | (
            {"track": True} if track else {}
        )
        headers = {} if key is None else {"X-API-Key": key}
        try:
            answer = httpx.post(f"{url.rstrip('/')}/v1/sessions", json=wanted, headers=headers, timeout=30)
            if answer.status_code != 201:
                raise BadRequest(f"{url} answers {answer.status_code}: {answer.text[:300]}")
            address = url.rstrip("/").replace("http", "ws", 1) + answer.json()["stream_url"]
            with stream_output(as_json, opened.progress) as show:
                interrupted = asyncio.run(_play(opened, address, headers, speed, show))
        except (httpx.HTTPError, OSError, websockets.WebSocketException) as error:
            raise BadRequest(f"{url}: {error}") from error
    if interrupted:
        raise Interrupted("interrupted; the session was ended")


def dat_records(events: Events) -> bytes:
    """Events (N,) as 8-byte DAT records: u32 time in µs; u32 with x in bits 0-13, y in 14-27, p in 28."""
    records = np.empty((len(events), 2), "<u4")
    records[:, 0] = events["t"] & 0xFFFFFFFF
    records[:, 1] = events["x"].astype("u4") | events["y"].astype("u4") << 14 | events["p"].astype("u4") << 28
    return records.tobytes()


def pieces(recording: Recording) -> Iterator[tuple[int, bytes]]:
    """Spans of at most PIECE_US: the time of their last event, and their records."""
    for events in recording.chunks():
        cuts = np.flatnonzero(np.diff(events["t"] // PIECE_US)) + 1
        for part in np.split(events, cuts):
            yield int(part["t"][-1]), dat_records(part)


async def _play(
    recording: Recording, address: str, headers: dict[str, str], speed: float, show: Show
) -> bool:
    """Send and show until the session has ended; True if it was ended by hand."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(stopping.set)

    with on_interrupt(stop):
        async with websockets.connect(
            address, compression=None, max_size=None, ping_interval=None, additional_headers=headers
        ) as socket:
            sender = asyncio.create_task(_send(recording, socket, speed, stopping))
            try:
                async for text in socket:
                    show(json.loads(text))
                if sender.done():
                    sender.result()
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
    return stopping.is_set()


async def _send(
    recording: Recording, socket: websockets.ClientConnection, speed: float, stopping: asyncio.Event
) -> None:
    try:
        await _send_in_time(recording, socket, speed, stopping)
    except IngestError:
        await socket.close()
        raise


async def _send_in_time(
    recording: Recording, socket: websockets.ClientConnection, speed: float, stopping: asyncio.Event
) -> None:
    start_s, t_first_us = time.monotonic(), None
    for t_us, records in pieces(recording):
        t_first_us = t_us if t_first_us is None else t_first_us
        if speed > 0:
            await _pause(start_s + (t_us - t_first_us) / 1e6 / speed - time.monotonic(), stopping)
        if stopping.is_set():
            break
        await socket.send(records)
    await socket.send("close")


async def _pause(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, but not beyond the end."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), max(0.0, seconds))
