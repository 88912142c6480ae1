"""A recording as the bytes that `spikewatch stream` sends, from any of them on."""

from collections.abc import Iterator

import numpy as np

from spikewatch.ingest.events import Events
from spikewatch.ingest.recording import Recording

PIECE_US = 20_000
"""Events of this span are sent in one message."""


def dat_records(events: Events) -> bytes:
    """Events (N,) as 8-byte DAT records: u32 time in µs; u32 with x in bits 0-13, y in 14-27, p in 28."""
    records = np.empty((len(events), 2), "<u4")
    records[:, 0] = events["t"] & 0xFFFFFFFF
    records[:, 1] = events["x"].astype("u4") | events["y"].astype("u4") << 14 | events["p"].astype("u4") << 28
    return records.tobytes()


def pieces(recording: Recording, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Spans of at most PIECE_US: the time of their last event, and their records from byte `offset` on.

    The bytes before it are read anew and come out empty, so that nobody waits for long.
    """
    at = 0
    for events in recording.chunks():
        cuts = np.flatnonzero(np.diff(events["t"] // PIECE_US)) + 1
        for part in np.split(events, cuts):
            records = dat_records(part)
            yield int(part["t"][-1]), records[max(0, offset - at) :]
            at += len(records)
