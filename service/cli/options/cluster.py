"""Options of `spikewatch cluster`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spikewatch.service.cli.options.shared import Runtime, Weights

Folder = Annotated[
    Path, typer.Option("--folder", help="Snapshots of the cluster, and how to reach it; on a shared disk.")
]
DEFAULT_FOLDER = Path("cluster")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Values of `spikewatch cluster up`; None: as `Settings` has them."""

    folder: Folder = DEFAULT_FOLDER
    workers: Annotated[int, typer.Option(min=1, max=64, help="Workers to start on this machine.")] = 2
    host: Annotated[str, typer.Option(help="Address that workers listen on and clients connect to.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(min=1, max=65000, help="Port of the first worker.")] = 8000
    weights: Weights = None
    runtime: Runtime = None
    threads: Annotated[
        int, typer.Option(min=0, help="Compute threads of each worker; 0: its share of the cores.")
    ] = 0
    snapshot_every_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds between snapshots: after a failure, so much is run again.")
    ] = 2.0
    lease_s: Annotated[
        float, typer.Option(min=0.5, max=60, help="Seconds without heartbeats until a worker counts as lost.")
    ] = 3.0
