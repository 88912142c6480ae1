"""A recording as the bytes that `spikewatch stream` sends, from any of them on."""

from collections.abc import Iterator

import numpy as np

from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.recording import Recording

CHUNK_US = 20_000
"""Events of this span are sent in one message."""


def dat_chunks(recording: Recording, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Spans of at most PIECE_US: the time of their last event, and their records from byte `offset` on.

    The bytes before it are read anew and come out empty, so that nobody waits for long.
    """
    at = 0
    for events in recording.chunks():
        cuts = np.flatnonzero(np.diff(events["t"] // CHUNK_US)) + 1
        for part in np.split(events, cuts):
            records = encode_dat(part)
            yield int(part["t"][-1]), records[max(0, offset - at) :]
            at += len(records)
