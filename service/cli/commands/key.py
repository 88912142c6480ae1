"""`spikewatch key`: makes an API key."""

from typing import Annotated

import typer

from spikewatch.service.auth.keys import make_key


def key(
    name: Annotated[str, typer.Argument(help="Whose key it is, for the log: letters, digits, . - _")],
) -> None:
    """Make a key for a client of the service. It is shown once and stored nowhere.

    Standard output gets the line for the service's file; it holds a hash, from which the key cannot be found:

        spikewatch key camera-1 >> keys.txt
        SPIKEWATCH_API_KEYS_FILE=keys.txt spikewatch serve
    """
    made, line = make_key(name)
    typer.echo(f"the key, shown this once: {made}", err=True)
    typer.echo("the line for the file of SPIKEWATCH_API_KEYS_FILE:", err=True)
    typer.echo(line)
