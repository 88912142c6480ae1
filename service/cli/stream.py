"""`spikewatch stream`: plays a recording to a service as a live camera would."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import httpx
import numpy as np
import typer
import websockets

from ingest.errors import IngestError
from ingest.events import Events
from ingest.recording import Recording, open_recording
from service.cli.options import Confidence, Height, Hop, RecordingPath, Width, check_size
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
    width: Width = None,
    height: Height = None,
    hop: Hop = None,
    confidence: Confidence = 0.25,
    key: Annotated[
        str | None, typer.Option(envvar="SPIKEWATCH_KEY", help="API key, where the service asks for one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each message as a line of JSON.")] = False,
) -> None:
    """Play a recording over the WebSocket at its own pace and print each window as it comes back.

    Events of any format are sent as headerless DAT records.
    """
    check_size(width, height)
    with open_recording(recording, width, height) as opened:
        sensor = opened.sensor_size()
        wanted = {"format": "dat", "width": sensor[0], "height": sensor[1], "policy": policy}
        wanted |= {"confidence": confidence, "hop": hop}
        headers = {} if key is None else {"X-API-Key": key}
        try:
            answer = httpx.post(f"{url.rstrip('/')}/v1/sessions", json=wanted, headers=headers, timeout=30)
            if answer.status_code != 201:
                raise BadRequest(f"{url} answers {answer.status_code}: {answer.text[:300]}")
            address = url.rstrip("/").replace("http", "ws", 1) + answer.json()["stream_url"]
            asyncio.run(_play(opened, address, headers, speed, as_json))
        except (httpx.HTTPError, OSError, websockets.WebSocketException) as error:
            raise BadRequest(f"{url}: {error}") from error


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
    recording: Recording, address: str, headers: dict[str, str], speed: float, as_json: bool
) -> None:
    options: dict[str, Any] = {
        "compression": None,
        "max_size": None,
        "additional_headers": headers,
        "ping_interval": None,
    }
    async with websockets.connect(address, **options) as socket:
        sender = asyncio.create_task(_send(recording, socket, speed))
        try:
            async for text in socket:
                _show(json.loads(text), as_json)
            if sender.done():
                sender.result()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)


async def _send(recording: Recording, socket: websockets.ClientConnection, speed: float) -> None:
    try:
        await _send_in_time(recording, socket, speed)
    except IngestError:
        await socket.close()
        raise


async def _send_in_time(recording: Recording, socket: websockets.ClientConnection, speed: float) -> None:
    start_s, t_first_us = time.monotonic(), None
    for t_us, records in pieces(recording):
        t_first_us = t_us if t_first_us is None else t_first_us
        if speed > 0:
            due_s = start_s + (t_us - t_first_us) / 1e6 / speed
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await socket.send(records)
    await socket.send("close")


def _show(message: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(message))
        return
    match message["type"]:
        case "ready":
            typer.echo(f"session {message['session_id']}, {message['model']} ({message['training']})")
        case "window":
            found = ", ".join(f"{box['label']} {box['confidence']:.2f}" for box in message["detections"])
            energy = message["energy_mj"]
            typer.echo(
                f"{message['t_end_us'] / 1e6:9.3f} s  {message['events']:8,} events  "
                f"rate {message['firing_rate']:5.1%}  {energy['snn']:6.2f} mJ (ANN {energy['ann']:.2f})  "
                f"{message['latency_ms']:6.1f} ms  {found or '-'}"
            )
        case "error":
            raise BadRequest(f"the service says: {message['detail']}")
        case "closed":
            totals = message["totals"]
            if message["reason"] != "client":
                raise BadRequest(f"the service ended the session ({message['reason']}): {message['detail']}")
            typer.echo(
                f"closed ({message['reason']}): {totals['windows']} windows, {totals['events']:,} events, "
                f"{totals['dropped_windows']} windows dropped"
            )
