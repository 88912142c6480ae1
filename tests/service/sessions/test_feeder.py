"""A feed whose client leaves while slices are prepared."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.sessions.feeder import SliceFeeder


class ClosedSource:
    """Slices of an upload that is closed while a helper thread reads it."""

    def __init__(self) -> None:
        self.reading, self.closed = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[Slice | None]:
        self.reading.set()
        assert self.closed.wait(60)
        raise RuntimeError("upload is closed")
        yield


async def put(_: Any) -> None:
    raise AssertionError("no slice is expected")


async def leave(source: ClosedSource) -> SliceFeeder:
    """Feed until the source is read, cancel, and close the source."""
    feeder = SliceFeeder(lambda slice_: slice_, put)  # type: ignore[arg-type, return-value]
    feed = asyncio.create_task(feeder.feed(iter(source)))
    await asyncio.to_thread(source.reading.wait, 60)
    feed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feed
    source.closed.set()
    while feeder.preparing:
        await asyncio.sleep(0.001)
    return feeder


def test_error_of_a_feed_that_was_left_is_not_logged() -> None:
    complaints: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await leave(ClosedSource())
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert complaints == []


def test_next_call_raises_the_error_of_a_feed_that_was_left() -> None:
    async def run() -> None:
        feeder = await leave(ClosedSource())
        with pytest.raises(RuntimeError, match="upload is closed"):
            await feeder.drain()

    asyncio.run(run())
