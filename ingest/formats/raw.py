"""Reader of DAT and RAW recordings: feeds the file to the format's decoder, chunk by chunk."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spikewatch.ingest.events import DecodeStats, Events, copy_events
from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.ingest.pipe import BlockReader
from spikewatch.ingest.recording import Recording

_CHUNK_BYTES = 1 << 16
"""Small, so that progress is fine-grained; larger reads are no faster, because they leave the cache."""


class RawRecording(Recording):
    """Reader of a DAT, EVT2, EVT2.1 or EVT3 file.

    `seek` decodes and discards, at the decoder's speed (`spikewatch bench ingest`). Skipping bytes would be
    wrong, because timestamps wrap, jitter and, in RAW, depend on earlier words.

    Args:
        pipe: read instead of `path`; it can be read once, and its length is unknown.
        head: bytes that were read from `pipe`, MAX_HEADER_BYTES or more unless it has ended.
    """

    def __init__(
        self,
        path: Path,
        format: str,
        width: int | None,
        height: int | None,
        pipe: BinaryIO | None = None,
        head: bytes = b"",
    ) -> None:
        self._explicit_size = width, height
        file = pipe or path.open("rb")
        try:
            decoder = make_decoder(format, width, height)
            start = head if pipe else file.read(MAX_HEADER_BYTES)
            for _ in decoder.blocks(start):
                pass
            length = None if pipe else file.seek(0, 2)
            if len(start) < MAX_HEADER_BYTES or length == MAX_HEADER_BYTES:
                decoder.finish()
        except BaseException:
            file.close()
            raise
        self._reader = BlockReader(path, file, length, _CHUNK_BYTES, head=head)
        super().__init__(path, format, decoder.width, decoder.height)
        self._seek_us: int | None = None

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`."""
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}; expected at least 1")
        decoder = make_decoder(self.format, *self._explicit_size)
        stats = self.stats = DecodeStats(dropped=decoder.stats.dropped)
        for data in self._reader.blocks():
            for block in decoder.blocks(data):
                kept = block if self._seek_us is None else block[block["t"] >= self._seek_us]
                for start in range(0, len(kept), max_events):
                    chunk = copy_events(kept[start : start + max_events])
                    stats.events += len(chunk)
                    yield chunk
        decoder.finish()

    def seek(self, t_us: int) -> None:
        """See `Recording.seek`."""
        self._seek_us = t_us

    def progress(self) -> float:
        """See `Recording.progress`."""
        return self._reader.progress()

    def close(self) -> None:
        """See `Recording.close`."""
        self._reader.close()
