"""DAT and RAW files as recordings: their bytes, piece by piece, through the format's decoder."""

from collections.abc import Iterator
from pathlib import Path

from spikewatch.ingest.events import DecodeStats, Events, copy_events
from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.ingest.recording import Recording

_READ_BYTES = 1 << 16
"""Small, so that progress comes in small steps; larger reads are no faster (they leave the cache)."""


class RawRecording(Recording):
    """A DAT, EVT2, EVT2.1 or EVT3 file.

    `seek` skips by decoding: the only way that is right for any of these files, whose times wrap, jitter and,
    in RAW, are spread over several words. It runs at the decoder's speed (`spikewatch bench ingest`).
    """

    def __init__(self, path: Path, format: str, width: int | None, height: int | None) -> None:
        self._given = width, height
        self._file = path.open("rb")
        try:
            decoder = make_decoder(format, width, height)
            for _ in decoder.blocks(self._file.read(MAX_HEADER_BYTES)):
                pass
            self._size = self._file.seek(0, 2)
            if self._size <= MAX_HEADER_BYTES:
                decoder.finish()
        except BaseException:
            self._file.close()
            raise
        super().__init__(path, format, decoder.width, decoder.height)
        self._from_us: int | None = None
        self._read = 0

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`."""
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}; it must be at least 1")
        decoder = make_decoder(self.format, *self._given)
        stats = self.stats = DecodeStats(dropped=decoder.stats.dropped)
        position = 0
        while True:
            self._file.seek(position)
            data = self._file.read(_READ_BYTES)
            if not data:
                break
            position += len(data)
            self._read = position
            for block in decoder.blocks(data):
                kept = block if self._from_us is None else block[block["t"] >= self._from_us]
                for start in range(0, len(kept), max_events):
                    chunk = copy_events(kept[start : start + max_events])
                    stats.events += len(chunk)
                    yield chunk
        decoder.finish()

    def seek(self, t_us: int) -> None:
        """See `Recording.seek`."""
        self._from_us = t_us

    def progress(self) -> float:
        """See `Recording.progress`."""
        return min(1.0, self._read / self._size) if self._size else 0.0

    def close(self) -> None:
        """See `Recording.close`."""
        self._file.close()
