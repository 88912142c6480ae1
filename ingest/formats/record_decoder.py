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
Bytes = bytes | bytearray | memoryview

BLOCK_EVENTS = 1 << 14
"""Events of one block: 256 KiB, so that a block is still in the second-level cache when it is read back."""

_HEADER_PIECE_BYTES = 1 << 12
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
    word: ClassVar[np.dtype[Any]]
    address_limit: ClassVar[int]
    """One more than the largest coordinate that the format can write."""
    state: NDArray[Any]

    def __init__(self, width: int | None = None, height: int | None = None) -> None:
        self.width, self.height = resolve_size((None, None), (width, height), "the caller")
        self.stats = DecodeStats()
        self._parser = HeaderParser()
        self._partial = b""
        self._scratch = empty_events(BLOCK_EVENTS)
        self._drawing = False

    def feed(self, data: Bytes) -> Events:
        """Decode the next bytes of the stream; returns the caller's own array (N,), possibly empty.

        Raises:
            FormatError: the header is another format's, or malformed.
            GeometryError: the header contradicts the given size.
        """
        parts = [copy_events(block) for block in self.blocks(data)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else empty_events()

    def blocks(self, data: Bytes) -> Iterator[Events]:
        """Like `feed`, in blocks of at most BLOCK_EVENTS, whatever the size of data; none is empty.

        A block is lent: it is overwritten when the next one is drawn. Draw them all before the next call.
        """
        for words in self.words(data):
            yield from self._decoded(words)

    def words(self, data: Bytes) -> Iterator[NDArray[Any]]:
        """The whole records behind the header, undecoded, at most BLOCK_EVENTS at once; lent like blocks."""
        if self._drawing:
            raise RuntimeError("the blocks of the previous call were not all drawn, or it failed")
        self._drawing = True
        view = memoryview(data).cast("B")
        for part in self._after_header(view):
            yield from self._words(self._skip_preamble(part))
        self._drawing = False

    def finish(self) -> None:
        """The stream has ended. A partial record is discarded and counted as "truncated_record".

        Raises:
            TruncatedError: it ended within its header.
        """
        if not self._parser.done:
            rest = self._parser.finish()
            # Fewer than eight bytes, all printable: no format has a complete event in so few.
            for words in self._words(memoryview(rest)):
                for _ in self._decoded(words):
                    pass
        self.stats.drop("truncated_record", int(bool(self._partial)))
        self._partial = b""

    def save(self) -> dict[str, Any]:
        """All that a later decoder of this format needs to go on, as plain values. Between two calls only."""
        if self._drawing:
            raise RuntimeError("a decoder is saved between two calls")
        return {
            "width": self.width,
            "height": self.height,
            "events": self.stats.events,
            "dropped": dict(self.stats.dropped),
            "header": self._parser.save(),
            "partial": self._partial.hex(),
            "carried": {name: int(self.state[name][0]) for name in self.state.dtype.names or ()},
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `save` gave; called on a new decoder.

        Raises:
            IngestError, ValueError: no decoder of this format could have given that.
        """
        self._parser.load(saved["header"])
        if self._parser.header is not None:
            self._accept(self._parser.header)
        self.width, self.height = resolve_size(
            (None, None), (saved["width"], saved["height"]), "the saved state"
        )
        self.stats = DecodeStats(saved["events"], dict(saved["dropped"]))
        self._partial = bytes.fromhex(saved["partial"])
        carried, names = saved["carried"], self.state.dtype.names or ()
        if len(self._partial) >= self.word.itemsize or carried.keys() != set(names):
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
                self.stats.drop(reason, int(state[field][0]))
                state[field] = 0

    def _accept(self, header: Header) -> None:
        """Refuse a header that is not this format's."""
        if header.format not in (self.format, None):
            raise FormatError(
                f"the stream's header names format {header.format!r}, but it was opened as {self.format!r}"
            )

    def _skip_preamble(self, view: memoryview) -> memoryview:
        """`view` without the binary bytes that a format puts between header and records, if it does."""
        return view

    def _after_header(self, view: memoryview) -> Iterator[memoryview]:
        while view and not self._parser.done:
            rest = self._parser.push(view[:_HEADER_PIECE_BYTES])
            view = view[_HEADER_PIECE_BYTES:]
            header = self._parser.header
            if header is not None:
                self._accept(header)
                named, given = (header.width, header.height), (self.width, self.height)
                self.width, self.height = resolve_size(named, given, "the header")
            yield memoryview(rest)
        yield view

    def _words(self, view: memoryview) -> Iterator[NDArray[Any]]:
        """Whole records of at most BLOCK_EVENTS words at a time; what is left over waits for more."""
        size = self.word.itemsize
        if self._partial:
            split = min(len(view), size * BLOCK_EVENTS - len(self._partial))
            yield from self._whole(memoryview(self._partial + bytes(view[:split])))
            view = view[split:]
        for start in range(0, len(view), size * BLOCK_EVENTS):
            yield from self._whole(view[start : start + size * BLOCK_EVENTS])

    def _whole(self, view: memoryview) -> Iterator[NDArray[Any]]:
        count = len(view) // self.word.itemsize
        self._partial = bytes(view[count * self.word.itemsize :])
        if count:
            words = np.frombuffer(view, self.word, count)
            if not words.flags.aligned:
                words = words.copy()
            words.flags.writeable = False  # bytes and bytearray then share one compiled kernel
            yield words

    def _decoded(self, words: NDArray[Any]) -> Iterator[Events]:
        limit = self.address_limit
        width, height = self.width or limit, self.height or limit
        while len(words):
            consumed, count = self._decode(words, self._scratch, min(width, limit), min(height, limit))
            words = words[consumed:]
            self.stats.events += count
            if count:
                yield self._scratch[:count]


@numba.njit(inline="always")
def unwrapped_epoch(epoch: Int, last: Int, now: Int, half: int) -> Int:
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
