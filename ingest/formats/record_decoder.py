"""Base class of the decoders of fixed-size records: header, partial records, blocks of bounded size."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.events import DecodeStats, Events, copy_events, empty_events
from spikewatch.ingest.formats.header import Header, HeaderParser
from spikewatch.ingest.formats.sensor_size import resolve_size
from spikewatch.ingest.formats.unwrap import NO_TIME

UInt = np.uint64 | np.uint16 | np.uint8
BytesLike = bytes | bytearray | memoryview

BLOCK_EVENTS = 1 << 14
"""Events in one block: 256 KiB, so that a block is still in the L2 cache when the caller reads it."""

_HEADER_CHUNK_BYTES = 1 << 12
_DROP_REASONS = {
    "untimed": "before_first_time",
    "unplaced": "before_first_address",
    "outside": "outside_sensor",
    "reserved": "reserved_word",
}
_CARRIED_DEFAULTS = {"before": NO_TIME, "after": NO_TIME, "timed": 1}
"""Values of fields that states saved by earlier releases lack."""


class RecordDecoder(ABC):
    """Stateful decoder of one format, from bytes to events; a subclass decodes the records.

    The file's text header is optional. State is carried from feed to feed, so the bytes may be split
    anywhere. An error leaves the decoder unusable; create a new one.

    Attributes:
        width, height: pixels, given or from the header; None while unknown. Events beyond are dropped.
        stats: events delivered, and events and records dropped, by reason.
        state: (1,), state of the kernel between records; the subclass defines its dtype.
    """

    format: ClassVar[str]
    word_dtype: ClassVar[np.dtype[Any]]
    address_limit: ClassVar[int]
    """One more than the largest coordinate of the format."""
    byte_orders: ClassVar[tuple[str, ...]] = ("little", "big")
    """Values of `endianness` in a header that the decoder can read."""
    state: NDArray[Any]

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        self.width, self.height = resolve_size((None, None), (width, height), "the caller")
        self.stats = DecodeStats()
        self._header_parser = HeaderParser()
        self._partial_record = b""
        self._block_buffer = empty_events(BLOCK_EVENTS)
        self._iterating = False
        self._byte_order = "little"

    def feed(self, data: BytesLike) -> Events:
        """Decode the next bytes of the stream; return a new array (N,), possibly empty.

        Raises:
            FormatError: the header is another format's, or malformed.
            GeometryError: the header contradicts the given size.
        """
        blocks = [copy_events(block) for block in self.blocks(data)]
        if len(blocks) == 1:
            return blocks[0]
        return np.concatenate(blocks) if blocks else empty_events()

    def blocks(self, data: BytesLike) -> Iterator[Events]:
        """Like `feed`, but yield non-empty blocks of at most BLOCK_EVENTS, for data of any size.

        The next block overwrites the previous one. Consume the iterator before the next call.
        """
        for words in self.records(data):
            yield from self._decode_blocks(words)

    def records(self, data: BytesLike) -> Iterator[NDArray[Any]]:
        """Yield the complete records after the header, undecoded, at most BLOCK_EVENTS at a time.

        As with `blocks`, the next array may overwrite the previous one.
        """
        if self._iterating:
            raise RuntimeError("the previous call was not consumed, or it failed")  # no value
        self._iterating = True
        view = memoryview(data).cast("B")
        for chunk in self._strip_header(view):
            yield from self._split_records(self._skip_preamble(chunk))
        self._iterating = False

    def finish(self) -> None:
        """End the stream. A partial record is dropped and counted as "truncated_record".

        Raises:
            TruncatedError: the stream ended within its header.
        """
        if not self._header_parser.is_done:
            rest = self._header_parser.finish()
            # The pending bytes are fewer than eight and printable; no format has an event in so few bytes.
            for words in self._split_records(memoryview(rest)):
                for _ in self._decode_blocks(words):
                    pass
        self.stats.count_dropped("truncated_record", int(bool(self._partial_record)))
        self._partial_record = b""

    def save(self) -> dict[str, Any]:
        """Return the state with which a later decoder of this format can resume; between two calls only."""
        if self._iterating:
            raise RuntimeError("consume the blocks of the last call before saving")  # no value
        return {
            "width": self.width,
            "height": self.height,
            "events": self.stats.events,
            "dropped": dict(self.stats.dropped),
            "header": self._header_parser.save(),
            "partial": self._partial_record.hex(),
            "carried": {name: int(self.state[name][0]) for name in self.state.dtype.names or ()},
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Restore the state returned by `save`; call it on a new decoder.

        Raises:
            IngestError, ValueError: not a state of a decoder of this format.
        """
        self._header_parser.load(saved["header"])
        if self._header_parser.header is not None:
            self._check_header(self._header_parser.header)
        self.width, self.height = resolve_size(
            (None, None), (saved["width"], saved["height"]), "the saved state"
        )
        self.stats = DecodeStats(saved["events"], dict(saved["dropped"]))
        self._partial_record = bytes.fromhex(saved["partial"])
        names = self.state.dtype.names or ()
        carried = {name: _CARRIED_DEFAULTS[name] for name in names if name in _CARRIED_DEFAULTS}
        carried |= saved["carried"]
        if len(self._partial_record) >= self.word_dtype.itemsize or carried.keys() != set(names):
            raise ValueError(
                f"not a state of the {self.format} decoder: {len(self._partial_record)} bytes of a partial "
                f"record, fields {sorted(carried)}"
            )
        for name in names:
            self.state[name] = carried[name]

    @abstractmethod
    def _decode(self, words: NDArray[Any], out: Events, width: int, height: int) -> tuple[int, int]:
        """Decode `words` into `out`, dropping events beyond width x height; return (words used, events)."""

    def _count_drops(self, state: NDArray[Any]) -> None:
        """Move the kernel's drop counters from its state (1,) to `stats`."""
        for field, reason in _DROP_REASONS.items():
            if field in (state.dtype.names or ()):
                self.stats.count_dropped(reason, int(state[field][0]))
                state[field] = 0

    def _check_header(self, header: Header) -> None:
        """Raise FormatError if the header declares another format, or a byte order that is not supported."""
        if header.format not in (self.format, None):
            raise FormatError(
                f"the stream's header declares format {header.format!r}; it was opened as {self.format!r}"
            )
        if header.endianness not in self.byte_orders:
            raise FormatError(
                f"{self.format} with endianness={header.endianness} is not supported; "
                f"expected {' or '.join(self.byte_orders)}"
            )
        self._byte_order = header.endianness

    def _to_native(self, words: NDArray[Any]) -> NDArray[Any]:
        """Return complete records in the byte order and bit layout that `_decode` takes."""
        return words.byteswap() if self._byte_order == "big" else words

    def _skip_preamble(self, view: memoryview) -> memoryview:
        """Return `view` without the binary bytes between header and records, for formats that have them."""
        return view

    def _strip_header(self, view: memoryview) -> Iterator[memoryview]:
        while view and not self._header_parser.is_done:
            rest = self._header_parser.feed(view[:_HEADER_CHUNK_BYTES])
            view = view[_HEADER_CHUNK_BYTES:]
            header = self._header_parser.header
            if header is not None:
                self._check_header(header)
                explicit = self.width, self.height
                self.width, self.height = resolve_size((header.width, header.height), explicit, "the header")
            yield memoryview(rest)
        yield view

    def _split_records(self, view: memoryview) -> Iterator[NDArray[Any]]:
        """Yield complete records, at most BLOCK_EVENTS words at a time; keep the rest for the next call."""
        size = self.word_dtype.itemsize
        if self._partial_record:
            split = min(len(view), size * BLOCK_EVENTS - len(self._partial_record))
            yield from self._complete_records(memoryview(self._partial_record + bytes(view[:split])))
            view = view[split:]
        for start in range(0, len(view), size * BLOCK_EVENTS):
            yield from self._complete_records(view[start : start + size * BLOCK_EVENTS])

    def _complete_records(self, view: memoryview) -> Iterator[NDArray[Any]]:
        count = len(view) // self.word_dtype.itemsize
        self._partial_record = bytes(view[count * self.word_dtype.itemsize :])
        if count:
            words = self._to_native(np.frombuffer(view, self.word_dtype, count))
            if not words.flags.aligned:
                words = words.copy()
            words.flags.writeable = False  # so that bytes and bytearray share one compiled kernel
            yield words

    def _decode_blocks(self, words: NDArray[Any]) -> Iterator[Events]:
        limit = self.address_limit
        width, height = self.width or limit, self.height or limit
        while len(words):
            consumed, count = self._decode(words, self._block_buffer, min(width, limit), min(height, limit))
            words = words[consumed:]
            self.stats.events += count
            if count:
                yield self._block_buffer[:count]
