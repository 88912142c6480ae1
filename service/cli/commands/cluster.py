"""`spikewatch cluster`: several workers whose sessions outlive them."""

import os
import signal
import threading
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from spikewatch.service.cli.options.cluster import DEFAULT_FOLDER, Folder, UpOptions
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cluster.ray_token import use_token
from spikewatch.service.errors import InvalidSettings
from spikewatch.service.settings import Settings, check_names

app = typer.Typer(
    name="cluster", help="Several workers whose sessions outlive them (extra cluster).", no_args_is_help=True
)

DRAIN_TIMEOUT_S = 600.0


@app.command()
@takes_options(UpOptions)
def up(options: UpOptions) -> None:
    """Run a cluster on this machine until Ctrl-C. Settings are those of `serve`, from SPIKEWATCH_<NAME>.

    Worker N listens on port + N. Any of them opens sessions, for all. At the end, sessions are saved; the
    next start on the same folder continues them.
    """
    settings = _worker_settings(options)
    local = _local(options.folder)
    stopping = threading.Event()
    with local.run_cluster(options.folder, options.workers, settings, options.lease_s):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        for index in range(options.workers):
            typer.echo(f"worker-{index}: http://{options.host}:{options.port + index}/", err=True)
        stopping.wait()
        typer.echo("saving sessions and stopping", err=True)


@app.command()
def status(folder: Folder = DEFAULT_FOLDER) -> None:
    """Show the workers of the cluster and their sessions."""
    local = _local(folder)
    with local.connect(folder):
        found = local.read_status()
    table = Table("worker", "address", "process", "sessions", "state", "last heartbeat")
    for worker in found["workers"]:
        state = "draining" if worker["draining"] else "open"
        sessions = f"{worker['sessions']} of {worker['slots']}"
        beat = f"{worker['silent_s']:.1f} s ago"
        table.add_row(worker["name"], worker["url"], str(worker["pid"]), sessions, state, beat)
    Console().print(table)
    counts = found["counts"]
    typer.echo(
        f"{found['sessions']} sessions; since the directory started: {counts.get('workers_lost', 0)} workers "
        f"lost, {counts.get('sessions_adopted', 0)} sessions adopted, {counts.get('sessions_lost', 0)} lost"
    )


@app.command()
def drain(
    worker: Annotated[str, typer.Argument(help="Name of the worker, as `status` shows it.")],
    folder: Folder = DEFAULT_FOLDER,
    undo: Annotated[bool, typer.Option("--undo", help="Let the worker accept sessions again.")] = False,
) -> None:
    """Move all sessions of a worker to others, so that it can be stopped. It accepts no new ones.

    The exit status is 1 if a session could not be moved.
    """
    local = _local(folder)
    with local.connect(folder):
        if undo:
            local.undo_drain(worker)
            return
        moved, failed = local.drain(worker, DRAIN_TIMEOUT_S)
    typer.echo(f"{worker}: {moved} sessions moved, {failed} not")
    if failed:
        raise typer.Exit(1)


def _local(folder: Path) -> ModuleType:
    """Return the module that needs Ray. Raises InvalidSettings without Ray."""
    if find_spec("ray") is None:
        raise InvalidSettings(f"no Ray for a cluster in {folder}: pip install 'spikewatch[cluster]'")
    use_token(folder)
    from spikewatch.service.cluster import local

    return local


def _worker_settings(options: UpOptions) -> dict[str, Any]:
    given = {k: v for k, v in asdict(options).items() if v is not None}
    settings = {k: v for k, v in given.items() if k not in ("folder", "workers", "lease_s")}
    # set here because Ray would set OMP_NUM_THREADS to 1 for actors without CPUs of their own
    settings["threads"] = options.threads or max(1, len(os.sched_getaffinity(0)) // options.workers)
    try:
        check_names(os.environ)
        Settings(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return settings
