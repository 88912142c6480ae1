"""Options of `spikewatch stream`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from spikewatch.service.cli.options.shared import (
    Confidence,
    FilterList,
    Height,
    Hop,
    RecordingPath,
    Sinks,
    TrackBoxes,
    WebhookSecret,
    Width,
    ZonesFile,
)


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Values of the command line; None if the recording or the service decides."""

    recording: RecordingPath
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="Base address of the service, http://127.0.0.1:8000 by default. "
            "Repeat for other workers of a cluster."
        ),
    ] = None
    speed: Annotated[
        float, typer.Option(min=0.0, help="1: real time; 0: as fast as the service accepts events.")
    ] = 1.0
    policy: Annotated[
        Literal["drop_oldest", "block"], typer.Option(help="What the service does when it is overloaded.")
    ] = "drop_oldest"
    weights: Annotated[
        str | None, typer.Option(help="Weights, by their name in the service (GET /v1/models).")
    ] = None
    width: Width = None
    height: Height = None
    hop: Hop = None
    confidence: Confidence = 0.25
    key: Annotated[
        str | None, typer.Option(envvar="SPIKEWATCH_KEY", help="API key, if the service requires one.")
    ] = None
    track: TrackBoxes = False
    zones: ZonesFile = None
    filters: FilterList = None
    sink: Sinks = None
    webhook_secret: WebhookSecret = None
    reconnect_s: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds in which to retry after a broken connection; 0: do not retry."),
    ] = 30.0
    as_json: Annotated[bool, typer.Option("--json", help="Print each message as a line of JSON.")] = False
