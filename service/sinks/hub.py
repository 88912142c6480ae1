"""All sinks of one process."""

import time
from collections.abc import Sequence
from typing import Self

from spikewatch.model.errors import MissingExtraError
from spikewatch.service.sinks.address import FileAddress, MqttAddress, SinkAddress
from spikewatch.service.sinks.files import FileSink
from spikewatch.service.sinks.message import Sink, SinkMessage
from spikewatch.service.sinks.queue import QueuePolicy, SinkQueue
from spikewatch.service.sinks.runner import SinkRunner
from spikewatch.service.sinks.state import Report, SinkState
from spikewatch.service.sinks.webhook import WebhookSink

CLOSE_TIMEOUT_S = 5.0
"""Time for which the sinks deliver what is queued when the process ends."""


class SinkHub:
    """Publishes each message to every sink. Each has a thread and a queue, so none delays another.

    Raises:
        MissingExtraError: a library for a sink is not installed.
    """

    def __init__(
        self, addresses: Sequence[SinkAddress], queue_size: int, policy: QueuePolicy, report: Report
    ) -> None:
        self.runners = [_make_runner(address, queue_size, policy, report) for address in addresses]

    def __len__(self) -> int:
        """Return the number of sinks."""
        return len(self.runners)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Deliver what is queued, and stop."""
        self.close()

    def start(self) -> None:
        """Start the threads of all sinks."""
        for runner in self.runners:
            runner.start()

    def publish(self, message: SinkMessage) -> None:
        """Queue a message for every sink. Any thread may call this."""
        for runner in self.runners:
            runner.queue.put(message)

    def close(self) -> None:
        """Deliver what is queued, all sinks together for at most `CLOSE_TIMEOUT_S`, and stop."""
        for runner in self.runners:
            runner.request_close()
        deadline_s = time.monotonic() + CLOSE_TIMEOUT_S
        for runner in self.runners:
            runner.join(max(0.0, deadline_s - time.monotonic()))


def _make_runner(address: SinkAddress, queue_size: int, policy: QueuePolicy, report: Report) -> SinkRunner:
    state = SinkState(address.name, report)
    return SinkRunner(_make_sink(address, policy, state), SinkQueue(queue_size, policy, state), state)


def _make_sink(address: SinkAddress, policy: QueuePolicy, state: SinkState) -> Sink:
    if isinstance(address, FileAddress):
        return FileSink(address, state)
    if not isinstance(address, MqttAddress):
        return WebhookSink(address, policy, state)
    try:
        from spikewatch.service.sinks.mqtt import MqttSink
    except ImportError as error:
        raise MissingExtraError(
            f"aiomqtt cannot be imported ({error}); install it: pip install 'spikewatch[mqtt]'"
        ) from error
    return MqttSink(address, state)
