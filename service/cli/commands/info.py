"""`spikewatch info`: facts about a recording."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.ingest.open import open_recording
from spikewatch.ingest.table_options import table_options
from spikewatch.service.cli.options.checks import check_sensor_size
from spikewatch.service.cli.options.shared import (
    Columns,
    FormatName,
    Height,
    RecordingPath,
    StreamName,
    TimeUnitName,
    Width,
)
from spikewatch.service.cli.progress import print_warnings


def info(
    recording: RecordingPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    width: Width = None,
    height: Height = None,
    stream: StreamName = None,
    format: FormatName = None,
    columns: Columns = None,
    time_unit: TimeUnitName = None,
) -> None:
    """Read a recording once and print its format, sensor size, events, times and dropped events."""
    check_sensor_size(width, height)
    table = table_options(columns, time_unit)
    with open_recording(recording, width, height, stream=stream, format=format, table=table) as source:
        facts = asdict(source.info())
    print_warnings(facts["warnings"])
    if as_json:
        typer.echo(json.dumps(facts))
        return
    rows = Table(title=recording.name, show_header=False)
    for name, value in facts.items():
        rows.add_row(name, _format_value(value))
    Console().print(rows)


def _format_value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {reason}" for reason, count in value.items()) or "nothing"
    if isinstance(value, list):
        return "; ".join(value) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    return "unknown" if value is None else str(value)
