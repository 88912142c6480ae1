"""`spikewatch stream`: play a recording to a service as a live camera would."""

import asyncio
from typing import Any

import typer

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.service.cli.interrupt import Interrupted, on_interrupt
from spikewatch.service.cli.options.checks import check_sensor_size
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.stream import StreamOptions
from spikewatch.service.cli.sinks import SinkWriter, open_sinks, parse_sink_options
from spikewatch.service.cli.stream_client.output import stream_output
from spikewatch.service.cli.stream_client.player import PacedRecording
from spikewatch.service.client.messages import Message, MessageSink
from spikewatch.service.client.retry import RetryBudget, RetryLater, StreamStopped
from spikewatch.service.client.session import RemoteSession, make_http
from spikewatch.service.client.stream import ResumableStream
from spikewatch.service.filters import parse_filters
from spikewatch.service.schemas import Window
from spikewatch.service.zones.schema import load_zones

DEFAULT_URL = "http://127.0.0.1:8000"


@takes_options(StreamOptions)
def stream(options: StreamOptions) -> None:
    """Play a recording over the WebSocket at its own pace and print each window that comes back.

    Events of any format are sent as headerless DAT records. A terminal shows a table instead of lines.
    Resumes after a broken connection, and after a restart of a service that keeps snapshots; each window is
    printed once. The exit status is 0 only if everything was sent and all results were received.
    Ctrl-C ends the session as `close` does; the exit status is 130.
    """
    check_sensor_size(options.width, options.height)
    with open_recording(options.recording, options.width, options.height) as recording:
        sinks = parse_sink_options(options.sink, options.webhook_secret)
        with open_sinks(sinks, "drop_oldest") as hub:
            asyncio.run(_play(recording, options, SinkWriter(hub, recording.path.stem)))


async def _play(recording: Recording, options: StreamOptions, sinks: SinkWriter) -> None:
    stopping = asyncio.Event()
    async with make_http(options.key) as http:
        session = RemoteSession(http, options.url or DEFAULT_URL)
        try:
            await session.open(_session_request(recording, options))
        except RetryLater as error:
            raise ConnectionError(f"{session.url}: {error}") from error
        with stream_output(options.as_json, recording.progress) as show:
            stream = ResumableStream(
                session,
                PacedRecording(recording, options.speed, stopping),
                lambda message: _show_and_publish(message, show, sinks),
                RetryBudget(options.reconnect_s),
                on_retry=lambda why: typer.echo(
                    f"spikewatch: {why}; trying again for {options.reconnect_s:g} s", err=True
                ),
                stopping=stopping,
            )
            loop = asyncio.get_running_loop()

            def stop() -> None:
                loop.call_soon_threadsafe(stopping.set)

            with on_interrupt(stop):
                try:
                    await stream.run()
                except StreamStopped as error:
                    raise Interrupted(str(error)) from error
    if stopping.is_set():
        raise Interrupted("interrupted; the session was ended")  # no value


def _show_and_publish(message: Message, show: MessageSink, sinks: SinkWriter) -> None:
    show(message)
    if message["type"] == "window":
        sinks.publish(Window.model_validate({k: v for k, v in message.items() if k != "type"}))


def _session_request(recording: Recording, options: StreamOptions) -> dict[str, Any]:
    """Return the body of the request that opens the session; None leaves a field to the service."""
    width, height = recording.sensor_size()
    request = {
        "format": "dat",
        "width": width,
        "height": height,
        "policy": options.policy,
        "confidence": options.confidence,
        "hop": options.hop,
        "weights": options.weights,
    }
    zones = () if options.zones is None else load_zones(options.zones)
    if zones:
        request["zones"] = [zone.model_dump(mode="json", exclude_unset=True) for zone in zones]
    filters = parse_filters(options.filters)
    if filters is not None:
        request["filters"] = filters.model_dump(mode="json", exclude_unset=True)
    return request | ({"track": True} if options.track or zones else {})
