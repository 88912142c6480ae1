"""Options of `spikewatch serve`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spikewatch.service.cli.options.shared import Runtime, StateDtype, Weights


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Settings that the command line overrides; fields are named as in `Settings`."""

    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None
    weights: Weights = None
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="More weights that clients can request, loaded on demand: name of bundled weights, "
            "`untrained`, NAME=FILE or a folder of safetensors files. Repeatable."
        ),
    ] = None
    runtime: Runtime = None
    state_dtype: StateDtype = None
    threads: Annotated[int | None, typer.Option(help="Compute threads; 0: one fewer than cores.")] = None
    max_sessions: Annotated[int | None, typer.Option(help="Maximum of concurrent sessions.")] = None
    idle_timeout_s: Annotated[
        float | None, typer.Option(help="Close sessions that are idle for this many seconds.")
    ] = None
    snapshot_dir: Annotated[
        Path | None, typer.Option(help="Folder for snapshots, from which sessions resume after a restart.")
    ] = None
    sinks: Annotated[
        list[str] | None,
        typer.Option(
            "--sink",
            help="Receiver of all results: mqtt://HOST/PREFIX, https://HOST/PATH (needs "
            "SPIKEWATCH_WEBHOOK_SECRET) or file:///PATH.ndjson. Repeatable.",
        ),
    ] = None
    root_path: Annotated[
        str | None, typer.Option(help="Path prefix that a proxy in front removes, such as /camera.")
    ] = None
    log_json: Annotated[bool | None, typer.Option("--log-json/--log-text", help="Format of the log.")] = None
