"""`spikewatch serve`: run the service until it is stopped."""

import os
from contextlib import ExitStack
from dataclasses import asdict

import typer
from pydantic import ValidationError

from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.serve import ServeOptions
from spikewatch.service.log_config import configure_logging
from spikewatch.service.process_memory import freeze_gc, limit_malloc_arenas
from spikewatch.service.settings import Settings, check_names


@takes_options(ServeOptions)
def serve(options: ServeOptions) -> None:
    """Serve the REST and WebSocket API, metrics and the live viewer.

    Every setting can also be given as SPIKEWATCH_<NAME> in the environment; options take precedence.
    """
    settings = _make_settings(options)
    limit_malloc_arenas()
    from spikewatch.service.app import create_app
    from spikewatch.service.listen import bind, display_address, raise_descriptor_limit
    from spikewatch.service.server import make_server

    configure_logging(settings.log_level, settings.log_json)
    # before the weights, because loading takes long and the port may be taken
    raise_descriptor_limit()
    with ExitStack() as opened:
        sockets = [opened.enter_context(listener) for listener in bind(settings.host, settings.port)]
        app = create_app(settings)
        freeze_gc()
        address = f"http://{display_address(settings.host, sockets)}{settings.root_path}/"
        server = make_server(app, settings, lambda: typer.echo(f"viewer and API at {address}", err=True))
        server.run(sockets)


def _make_settings(options: ServeOptions) -> Settings:
    overrides = {name: value for name, value in asdict(options).items() if value is not None}
    try:
        check_names(os.environ)
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
