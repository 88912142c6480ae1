"""The command line: `spikewatch COMMAND`.

Exit status: 0 on success, 1 for bad input, 2 for wrong usage, 130 after Ctrl-C.
"""

import sys
from typing import Annotated

import typer

from spikewatch import __version__
from spikewatch.ingest.errors import IngestError
from spikewatch.model.errors import ModelError
from spikewatch.service.cli.commands.bench import app as bench
from spikewatch.service.cli.commands.cluster import app as cluster
from spikewatch.service.cli.commands.detect import detect
from spikewatch.service.cli.commands.energy import energy
from spikewatch.service.cli.commands.evaluate import evaluate
from spikewatch.service.cli.commands.export import export
from spikewatch.service.cli.commands.import_ import import_
from spikewatch.service.cli.commands.info import info
from spikewatch.service.cli.commands.init import init
from spikewatch.service.cli.commands.key import key
from spikewatch.service.cli.commands.serve import serve
from spikewatch.service.cli.commands.simulate import simulate
from spikewatch.service.cli.commands.stream import stream
from spikewatch.service.cli.commands.train import train
from spikewatch.service.cli.interrupt import Interrupted
from spikewatch.service.errors import ServiceError

app = typer.Typer(
    name="spikewatch",
    help="Streaming object detection for event cameras with a stateful spiking network.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (detect, energy, evaluate, export, info, init, key, serve, simulate, stream, train):
    app.command()(command)
app.command("import")(import_)
app.add_typer(bench)
app.add_typer(cluster)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"spikewatch {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command, by default that of the process; bad input ends it with a message of one line."""
    try:
        app(arguments)
    except (IngestError, ModelError, ServiceError, OSError) as error:
        print(f"spikewatch: {_error_message(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except Interrupted as interrupted:
        print(f"spikewatch: {interrupted}", file=sys.stderr)
        raise SystemExit(130) from None
    except KeyboardInterrupt:
        print("spikewatch: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def _error_message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
