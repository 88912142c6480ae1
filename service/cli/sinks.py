"""Sinks of one command: `--sink URL`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import typer

from spikewatch.service.errors import InvalidSettings
from spikewatch.service.schemas import Summary, Window
from spikewatch.service.sinks.address import SinkAddress, WebhookOptions, parse_sinks
from spikewatch.service.sinks.hub import SinkHub
from spikewatch.service.sinks.message import SinkMessage
from spikewatch.service.sinks.queue import QueuePolicy

if TYPE_CHECKING:  # needs torch
    from spikewatch.service.inference.offline import OfflineStep

QUEUED_WINDOWS = 1024


def parse_sink_options(urls: Sequence[str] | None, secret: str | None) -> list[SinkAddress]:
    """Return the addresses of sinks; an invalid one ends the command with exit status 2."""
    try:
        return parse_sinks(urls or (), WebhookOptions(secret))
    except InvalidSettings as error:
        raise typer.BadParameter(str(error)) from None


@contextmanager
def open_sinks(addresses: Sequence[SinkAddress], policy: QueuePolicy) -> Iterator[SinkHub]:
    """Yield running sinks; at the end, deliver what is queued and print the counts on standard error."""

    def report(text: str) -> None:
        typer.echo(f"spikewatch: {text}", err=True)

    hub = SinkHub(addresses, QUEUED_WINDOWS, policy, report)
    with hub:
        yield hub
    for state in (runner.state for runner in hub.runners):
        report(
            f"sink {state.name}: {state.delivered:,} results delivered, {state.dropped:,} dropped, "
            f"{state.refused:,} refused"
        )


class SinkWriter:
    """A writer of results that passes them on to sinks, in place of a file."""

    def __init__(self, hub: SinkHub, session: str) -> None:
        self._hub, self._session = hub, session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the sinks to `open_sinks`."""

    def write(self, step: "OfflineStep") -> None:
        """Queue the results of a slice; wait while a sink that is reached has a full queue."""
        for window in step.windows:
            self.publish(window)

    def publish(self, window: Window) -> None:
        """Queue a result."""
        self._hub.publish(SinkMessage(self._session, lambda: window))

    def finish(self, summary: Summary) -> None:
        """Sinks receive no summary."""
