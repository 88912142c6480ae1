"""The thread of one sink: connects, sends what is queued, and retries with growing delays."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from spikewatch.service.sinks.backoff import Backoff
from spikewatch.service.sinks.message import Send, Sink, SinkMessage, SinkUnavailable
from spikewatch.service.sinks.queue import SinkQueue
from spikewatch.service.sinks.state import SinkState

log = logging.getLogger("spikewatch.sinks")

BATCH_MESSAGES = 32
"""Messages sent together."""


class SinkRunner:
    """Delivers the messages of a queue at least once, in the order of each session.

    A batch whose delivery failed is sent again after the next connection. Meanwhile the queue drops its
    oldest messages, so an outage costs the publisher no time.
    """

    def __init__(self, sink: Sink, queue: SinkQueue, state: SinkState) -> None:
        self.queue, self.state = queue, state
        self._sink = sink
        self._batch: list[SinkMessage] = []
        self._thread = threading.Thread(target=self._run, name=f"sink-{state.name}", daemon=True)
        self._ready = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._ready.wait()

    def request_close(self) -> None:
        """Make the thread end once the queued messages are delivered, or the sink is down."""
        self._call_soon(self._closing.set)
        self._call_soon(self._message_queued.set)

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread; after `timeout_s`, drop and count the remaining messages."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._call_soon(self._task.cancel)
            self._thread.join()

    def _call_soon(self, action: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the thread has ended, so its loop is closed
            self._loop.call_soon_threadsafe(action)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log.exception("sink failed", extra={"sink": self.state.name})
            self.state.mark_down(f"{type(error).__name__}: {error}; it is not tried again")
        self.queue.wake()
        self.queue.on_message(lambda: None)
        self.state.count(dropped=len(self._batch))
        self.queue.drop_all()

    async def _main(self) -> None:
        self._loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._task = task
        self._closing, self._message_queued = asyncio.Event(), asyncio.Event()
        self.queue.on_message(lambda: self._call_soon(self._message_queued.set))
        self._ready.set()
        backoff = Backoff()
        while True:
            try:
                async with self._sink.connect() as send:
                    backoff.reset()
                    await self._send_queued(send)
                return
            except SinkUnavailable as error:
                self.state.mark_down(str(error))
                self.queue.wake()
            if self._closing.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), backoff.next_s())

    async def _send_queued(self, send: Send) -> None:
        """Send until the sink closes."""
        while True:
            self._message_queued.clear()
            self._batch = self._batch or self.queue.take(BATCH_MESSAGES)
            if self._batch:
                await send(self._batch)
                self._batch = []
            elif self._closing.is_set():
                return
            else:
                await self._message_queued.wait()
