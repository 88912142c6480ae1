"""The session of an upload: fed to the end, and followed until its last result is kept."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.requests import ClientDisconnect

from spikewatch.service.errors import SessionClosed
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.schemas import Summary
from spikewatch.service.sessions.session import Session

FeedCoroutine = Coroutine[Any, Any, None]


async def run_to_completion(
    session: Session, feed: FeedCoroutine, on_result: Callable[[WindowResult], Awaitable[None]]
) -> None:
    """Do the feeding, hand every result on, and raise what went wrong.

    Raises:
        IngestError: the bytes are bad; what came before them was handed on.
        ServiceError: feeding failed, or the session has ended, though the upload may wait for more bytes.
        ClientDisconnect: the client went away; not all results were handed on.
    """
    feeder = asyncio.create_task(_feed_to_end(session, feed))
    collector = asyncio.create_task(_collect_results(session, on_result))
    try:
        # the collector ends first if the session does
        await asyncio.wait({feeder, collector}, return_when=asyncio.FIRST_COMPLETED)
        error = feeder.exception() if feeder.done() else None
        if isinstance(error, ClientDisconnect):
            raise error
        if session.close_error is None and not collector.done():
            await session.wait_until_processed()
        ended = SessionClosed("the upload has ended")
        session.outbox.close(ended)
        await asyncio.wait({collector})
        for fault in (error, collector.exception()):
            if fault is not None and fault is not ended:
                raise fault
    finally:
        feeder.cancel()
        collector.cancel()
        await asyncio.gather(feeder, collector, return_exceptions=True)


async def _feed_to_end(session: Session, feed: FeedCoroutine) -> None:
    async with session.flush_on_bad_input():
        await feed
        await session.flush()


async def _collect_results(session: Session, on_result: Callable[[WindowResult], Awaitable[None]]) -> None:
    while True:
        await on_result(await session.outbox.get())


def make_summary(session: Session, entry: ModelEntry) -> Summary:
    """What its last line says of the whole recording."""
    width, height = session.source.sensor_size
    return Summary(
        **session.current_totals().model_dump(),
        format=session.options.format,
        width=width,
        height=height,
        t_start_us=session.totals.t_start_us,
        t_end_us=session.totals.t_end_us,
        model=entry.name,
        digest=entry.digest,
        training=entry.spec.training,
    )
