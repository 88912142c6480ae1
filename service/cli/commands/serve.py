"""`spikewatch serve`: the service, until it is told to stop."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from spikewatch.service.cli.options import Runtime, StateDtype, Weights
from spikewatch.service.log_config import configure_logging
from spikewatch.service.process_memory import freeze_gc, limit_malloc_arenas
from spikewatch.service.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    weights: Weights = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="More weights that clients may ask for, loaded when they do: name of shipped weights, "
            "`untrained`, NAME=FILE or a folder of safetensors files; may be given several times."
        ),
    ] = None,
    runtime: Runtime = None,
    state_dtype: StateDtype = None,
    threads: Annotated[
        int | None, typer.Option(help="Compute threads; 0: one fewer than there are cores.")
    ] = None,
    max_sessions: Annotated[int | None, typer.Option(help="Sessions at once.")] = None,
    idle_timeout_s: Annotated[float | None, typer.Option(help="Close sessions silent for this long.")] = None,
    snapshot_dir: Annotated[
        Path | None, typer.Option(help="Save sessions here, to be resumed after a restart.")
    ] = None,
    log_json: Annotated[bool | None, typer.Option("--log-json/--log-text", help="Form of the log.")] = None,
) -> None:
    """Serve the REST and WebSocket API, metrics and the live viewer.

    Every setting can be given as SPIKEWATCH_<NAME> in the environment; options win.
    """
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "weights": weights,
        "models": models,
        "runtime": runtime,
        "state_dtype": state_dtype,
        "threads": threads,
        "max_sessions": max_sessions,
        "idle_timeout_s": idle_timeout_s,
        "snapshot_dir": snapshot_dir,
        "log_json": log_json,
    }
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    limit_malloc_arenas()
    from spikewatch.service.app import create_app
    from spikewatch.service.server import make_server

    configure_logging(settings.log_level, settings.log_json)
    app = create_app(settings)
    freeze_gc()
    typer.echo(f"viewer and API at http://{settings.host}:{settings.port}/", err=True)
    make_server(app, settings).run()
