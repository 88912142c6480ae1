"""A recording at its own pace, as the bytes of a session."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from spikewatch.ingest.recording import Recording
from spikewatch.service.cli.stream_client.chunks import dat_chunks


class PacedRecording:
    """Feed of a recording as DAT records, `speed` times as fast as it was recorded; 0 sends at once.

    Its clock starts with the first record. A feed that is read again after an outage sends the records that
    are overdue at once, so it is on time again afterwards.

    Attributes:
        stopping: set to end the feed early.
    """

    def __init__(self, recording: Recording, speed: float, stopping: asyncio.Event) -> None:
        self.stopping = stopping
        self._recording, self._speed = recording, speed
        self._origin: tuple[float, int] | None = None
        """When the first record was due, and its time in the recording."""

    async def read_from(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the records from byte `offset` on. Raises IngestError if the recording is bad."""
        for t_us, records in dat_chunks(self._recording, offset):
            if not records:
                await asyncio.sleep(0)
                continue
            start_s, t_first_us = self._origin = self._origin or (time.monotonic(), t_us)
            if self._speed > 0:
                await self._sleep_or_stop(
                    start_s + (t_us - t_first_us) / 1e6 / self._speed - time.monotonic()
                )
            if self.stopping.is_set():
                return
            yield records

    async def _sleep_or_stop(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), max(0.0, seconds))
