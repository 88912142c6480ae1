"""What the decoders of fixed-size records share: header, partial records, blocks of bounded size."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.events import DecodeStats, Events, copy_events, empty_events
from spikewatch.ingest.formats.header import Header, HeaderParser
from spikewatch.ingest.formats.sensor_size import resolve_size

Int = int | np.int64
UInt = np.uint64 | np.uint16 | np.uint8
BytesLike = bytes | bytearray | memoryview

BLOCK_EVENTS = 1 << 14
"""Events of one block: 256 KiB, so that a block is still in the second-level cache when it is read back."""

_HEADER_CHUNK_BYTES = 1 << 12
_DROP_REASONS = {
    "untimed": "before_first_time",
    "unplaced": "before_first_address",
    "outside": "outside_sensor",
    "reserved": "reserved_word",
}


class RecordDecoder(ABC):
    """Bytes of one format in, events out; a subclass says how words become events.

    The stream may begin with its file's text header, or without one. State is carried from feed to feed, so
    the bytes may be split anywhere. After an error the stream is lost; begin a new decoder.

    Attributes:
        width, height: pixels, given or from the header; None while unknown. Events outside are dropped.
        stats: events delivered; what was dropped, by reason.
        state: (1,) what the kernel carries from record to record; a subclass's own type.
    """

    format: ClassVar[str]
    word_dtype: ClassVar[np.dtype[Any]]
    address_limit: ClassVar[int]
    """One more than the largest coordinate that the format can write."""
    state: NDArray[Any]

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        self.width, self.height = resolve_size((None, None), (width, height), "the caller")
        self.stats = DecodeStats()
        self._header_parser = HeaderParser()
        self._partial_record = b""
        self._block_buffer = empty_events(BLOCK_EVENTS)
        self._iterating = False

    def feed(self, data: BytesLike) -> Events:
        """Decode the next bytes of the stream; returns the caller's own array (N,), possibly empty.

        Raises:
            FormatError: the header is another format's, or malformed.
            GeometryError: the header contradicts the given size.
        """
        parts = [copy_events(block) for block in self.blocks(data)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else empty_events()

    def blocks(self, data: BytesLike) -> Iterator[Events]:
        """Like `feed`, in blocks of at most BLOCK_EVENTS, whatever the size of data; none is empty.

        A block is lent: it is overwritten when the next one is drawn. Draw them all before the next call.
        """
        for words in self.records(data):
            yield from self._decode_blocks(words)

    def records(self, data: BytesLike) -> Iterator[NDArray[Any]]:
        """The whole records behind the header, undecoded, at most BLOCK_EVENTS at once; lent like blocks."""
        if self._iterating:
            raise RuntimeError("the blocks of the previous call were not all drawn, or it failed")
        self._iterating = True
        view = memoryview(data).cast("B")
        for part in self._strip_header(view):
            yield from self._split_records(self._skip_preamble(part))
        self._iterating = False

    def finish(self) -> None:
        """The stream has ended. A partial record is discarded and counted as "truncated_record".

        Raises:
            TruncatedError: it ended within its header.
        """
        if not self._header_parser.is_done:
            rest = self._header_parser.finish()
            # Fewer than eight bytes, all printable: no format has a complete event in so few.
            for words in self._split_records(memoryview(rest)):
                for _ in self._decode_blocks(words):
                    pass
        self.stats.count_dropped("truncated_record", int(bool(self._partial_record)))
        self._partial_record = b""

    def save(self) -> dict[str, Any]:
        """All that a later decoder of this format needs to go on, as plain values. Between two calls only."""
        if self._iterating:
            raise RuntimeError("a decoder is saved between two calls")
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
        """Go on from what `save` gave; called on a new decoder.

        Raises:
            IngestError, ValueError: no decoder of this format could have given that.
        """
        self._header_parser.load(saved["header"])
        if self._header_parser.header is not None:
            self._check_header(self._header_parser.header)
        self.width, self.height = resolve_size(
            (None, None), (saved["width"], saved["height"]), "the saved state"
        )
        self.stats = DecodeStats(saved["events"], dict(saved["dropped"]))
        self._partial_record = bytes.fromhex(saved["partial"])
        carried, names = saved["carried"], self.state.dtype.names or ()
        if len(self._partial_record) >= self.word_dtype.itemsize or carried.keys() != set(names):
            raise ValueError(f"not the state of a decoder of {self.format}")
        for name in names:
            self.state[name] = carried[name]

    @abstractmethod
    def _decode(self, words: NDArray[Any], out: Events, width: int, height: int) -> tuple[int, int]:
        """Fill `out` with events of `words` within width x height; returns (words consumed, events)."""

    def _count_drops(self, state: NDArray[Any]) -> None:
        """Move a kernel's counters from its state (1,) to `stats`."""
        for field, reason in _DROP_REASONS.items():
            if field in (state.dtype.names or ()):
                self.stats.count_dropped(reason, int(state[field][0]))
                state[field] = 0

    def _check_header(self, header: Header) -> None:
        """Refuse a header that is not this format's."""
        if header.format not in (self.format, None):
            raise FormatError(
                f"the stream's header names format {header.format!r}, but it was opened as {self.format!r}"
            )

    def _skip_preamble(self, view: memoryview) -> memoryview:
        """`view` without the binary bytes that a format puts between header and records, if it does."""
        return view

    def _strip_header(self, view: memoryview) -> Iterator[memoryview]:
        while view and not self._header_parser.is_done:
            rest = self._header_parser.feed(view[:_HEADER_CHUNK_BYTES])
            view = view[_HEADER_CHUNK_BYTES:]
            header = self._header_parser.header
            if header is not None:
                self._check_header(header)
                named, given = (header.width, header.height), (self.width, self.height)
                self.width, self.height = resolve_size(named, given, "the header")
            yield memoryview(rest)
        yield view

    def _split_records(self, view: memoryview) -> Iterator[NDArray[Any]]:
        """Whole records of at most BLOCK_EVENTS words at a time; what is left over waits for more."""
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
            words = np.frombuffer(view, self.word_dtype, count)
            if not words.flags.aligned:
                words = words.copy()
            words.flags.writeable = False  # bytes and bytearray then share one compiled kernel
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


@numba.njit(inline="always")
def unwrap_epoch(epoch: Int, last: Int, now: Int, half: int) -> Int:
    """How often a counter of range 2 * half has wrapped when it reads `now` after `last`.

    Only a step of more than half the range is a wrap, so that small steps back are none; a step forward of
    more than half undoes a wrap, so that a late reading from before it gets its own time.
    """
    step: Any = now - last
    if abs(step) > half:
        if step < 0:
            return epoch + 1
        if epoch > 0:
            return epoch - 1
    return epoch
