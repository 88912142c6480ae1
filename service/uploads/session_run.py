"""The session of an upload: fed to the end, and read to its last result."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from spikewatch.service.errors import SessionClosed
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.schemas import Summary
from spikewatch.service.sessions.session import Session
from spikewatch.service.tasks import run_beside

FeedCoroutine = Coroutine[Any, Any, None]


async def run_to_completion(
    session: Session, feed: FeedCoroutine, on_result: Callable[[WindowResult], Awaitable[None]]
) -> None:
    """Await `feed`, flush the session, and pass on every result, also those before an error.

    Raises:
        IngestError: the bytes are bad.
        ServiceError: feeding failed, or the session has ended, though the upload may wait for more bytes.
    """
    ended = SessionClosed("the upload has ended")
    feed_error: Exception | None = None

    async def feed_to_end() -> None:
        nonlocal feed_error
        try:
            async with session.flush_on_bad_input():
                await feed
                session.source.check_events()
                await session.flush()
        except Exception as error:
            feed_error = error
        if session.close_error is None:
            await session.wait_until_processed()
        session.outbox.close(ended)

    async def collect_results() -> None:
        try:
            while True:
                await on_result((await session.outbox.get()).result)
        except SessionClosed as error:
            if error is not ended:
                raise

    await run_beside(collect_results(), feed_to_end())
    if feed_error is not None:
        raise feed_error


def make_summary(session: Session, entry: ModelEntry) -> Summary:
    """Return the summary of the whole recording."""
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
