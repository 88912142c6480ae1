"""Reader of DAT and RAW recordings: feeds the file to the format's decoder, chunk by chunk."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.events import DecodeStats, Events, copy_events
from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
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
        self._pipe, self._head = pipe, head
        self._pipe_was_read = False
        self._file = pipe or path.open("rb")
        try:
            decoder = make_decoder(format, width, height)
            start = head if pipe else self._file.read(MAX_HEADER_BYTES)
            for _ in decoder.blocks(start):
                pass
            self._file_bytes = 0 if pipe else self._file.seek(0, 2)
            if len(start) < MAX_HEADER_BYTES or self._file_bytes == MAX_HEADER_BYTES:
                decoder.finish()
        except BaseException:
            self._file.close()
            raise
        super().__init__(path, format, decoder.width, decoder.height)
        self._seek_us: int | None = None
        self._bytes_read = 0

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`."""
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}; expected at least 1")
        decoder = make_decoder(self.format, *self._explicit_size)
        stats = self.stats = DecodeStats(dropped=decoder.stats.dropped)
        for data in self._read_file() if self._pipe is None else self._read_pipe(self._pipe):
            for block in decoder.blocks(data):
                kept = block if self._seek_us is None else block[block["t"] >= self._seek_us]
                for start in range(0, len(kept), max_events):
                    chunk = copy_events(kept[start : start + max_events])
                    stats.events += len(chunk)
                    yield chunk
        decoder.finish()

    def _read_file(self) -> Iterator[bytes]:
        position = 0
        while True:
            self._file.seek(position)  # another iterator may have moved it
            data = self._file.read(_CHUNK_BYTES)
            if not data:
                return
            position += len(data)
            self._bytes_read = position
            yield data

    def _read_pipe(self, pipe: BinaryIO) -> Iterator[bytes]:
        if self._pipe_was_read:
            raise FormatError(f"{self.path} is a pipe, which can be read only once; pass a file")
        self._pipe_was_read = True
        yield self._head
        while data := pipe.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]
            yield data

    def seek(self, t_us: int) -> None:
        """See `Recording.seek`."""
        self._seek_us = t_us

    def progress(self) -> float:
        """See `Recording.progress`."""
        return min(1.0, self._bytes_read / self._file_bytes) if self._file_bytes else 0.0

    def close(self) -> None:
        """See `Recording.close`."""
        self._file.close()
