"""How `spikewatch stream` shows the service's messages: lines of JSON, a live table, or lines of text."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from spikewatch.service.cli.progress import live_table
from spikewatch.service.cli.run_stats import RunStats
from spikewatch.service.client.messages import Message, MessageSink


@contextmanager
def stream_output(as_json: bool, get_progress: Callable[[], float]) -> Iterator[MessageSink]:
    """Gives the function that shows a message."""
    tally = RunStats()
    if as_json:
        yield lambda message: typer.echo(json.dumps(message))
    elif sys.stdout.isatty() and sys.stderr.isatty():
        lines: list[str] = []
        with live_table("streaming", tally, get_progress):
            yield lambda message: lines.extend(_message_lines(tally, message, with_windows=False))
        _echo(lines)
    else:
        yield lambda message: _echo(_message_lines(tally, message))


def _echo(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


def _message_lines(stats: RunStats, message: Message, with_windows: bool = True) -> list[str]:
    """Count a message, and return the lines to print for it."""
    match message["type"]:
        case "ready":
            return [f"session {message['session_id']}, {message['model']} ({message['training']})"]
        case "window":
            stats.add(message)
            return [window_line(message)] if with_windows else []
        case "closed":
            return [final_line(message, stats)]
    return []


def window_line(message: Message) -> str:
    """A window in one line."""
    energy = message["energy_mj"]
    return (
        f"{message['t_end_us'] / 1e6:9.3f} s  {message['events']:8,} events  "
        f"rate {message['firing_rate']:5.1%}  {energy['snn']:6.2f} mJ (ANN {energy['ann']:.2f})  "
        f"{message['latency_ms']:6.1f} ms  {_boxes_text(message['detections'])}"
    )


def final_line(message: Message, stats: RunStats) -> str:
    """Return the totals of the session in one line."""
    totals, (snn_mw, ann_mw) = message["totals"], stats.power_mw
    counts = ", ".join(f"{count:,} {label}" for label, count in sorted(stats.box_counts.items()))
    return (
        f"closed ({message['reason']}): {totals['windows']} windows, {totals['events']:,} events, "
        f"{totals['dropped_windows']} windows dropped; boxes: {counts or 'none'}; "
        f"{snn_mw:,.0f} mW spiking, {ann_mw:,.0f} mW as an ANN"
    )


def _boxes_text(detections: list[dict[str, Any]]) -> str:
    """Few boxes one by one, many as counts."""
    if len(detections) > 3:
        return ", ".join(
            f"{n} {label}" for label, n in sorted(Counter(b["label"] for b in detections).items())
        )
    return ", ".join(f"{_box_name(box)} {box['confidence']:.2f}" for box in detections) or "-"


def _box_name(box: dict[str, Any]) -> str:
    return f"{box['label']} #{box['track_id']}" if box.get("track_id") else str(box["label"])
