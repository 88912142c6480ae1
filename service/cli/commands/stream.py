"""`spikewatch stream`: plays a recording to a service as a live camera would."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.service.cli.interrupt import Interrupted, on_interrupt
from spikewatch.service.cli.options import (
    Confidence,
    Height,
    Hop,
    RecordingPath,
    TrackBoxes,
    Width,
    check_sensor_size,
)
from spikewatch.service.cli.stream_client.output import stream_output
from spikewatch.service.cli.stream_client.player import Player
from spikewatch.service.cli.stream_client.retry import RetryBudget
from spikewatch.service.cli.stream_client.session import RemoteSession, RetryLater
from spikewatch.service.errors import BadRequest


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
    reconnect_s: Annotated[
        float,
        typer.Option(min=0.0, help="How long to try again after a broken connection; 0: not at all."),
    ] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print each message as a line of JSON.")] = False,
) -> None:
    """Play a recording over the WebSocket at its own pace and print each window as it comes back.

    Events of any format are sent as headerless DAT records. On a terminal, a table grows instead of lines.
    Goes on by itself after a broken connection, and after a restart of a service that keeps snapshots; each
    window is printed once. The exit status is 0 only if all was sent and all results came.
    Ctrl-C ends the session as `close` does; the exit status is 130.
    """
    check_sensor_size(width, height)
    with open_recording(recording, width, height) as opened:
        sensor = opened.sensor_size()
        wanted = {"format": "dat", "width": sensor[0], "height": sensor[1], "policy": policy}
        wanted |= {"confidence": confidence, "hop": hop, "weights": weights} | (
            {"track": True} if track else {}
        )
        session = RemoteSession(url, {} if key is None else {"X-API-Key": key})
        asyncio.run(_play(opened, session, wanted, speed, RetryBudget(reconnect_s), as_json))


async def _play(
    recording: Recording,
    session: RemoteSession,
    session_request: Mapping[str, Any],
    speed: float,
    retry: RetryBudget,
    as_json: bool,
) -> None:
    async with session:
        try:
            await session.open(session_request)
        except RetryLater as error:
            raise BadRequest(f"{session.url}: {error}") from error
        with stream_output(as_json, recording.progress) as show:
            player, loop = Player(recording, session, speed, show, retry), asyncio.get_running_loop()

            def stop() -> None:
                loop.call_soon_threadsafe(player.stopping.set)

            with on_interrupt(stop):
                await player.run()
    if player.stopping.is_set():
        raise Interrupted("interrupted; the session was ended")
