"""Registry of the event decoders, by format name."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.events import DecodeStats, Events
from spikewatch.ingest.formats.dat import DatDecoder
from spikewatch.ingest.formats.evt2 import Evt2Decoder
from spikewatch.ingest.formats.evt3 import Evt3Decoder
from spikewatch.ingest.formats.evt21 import Evt21Decoder
from spikewatch.ingest.formats.record_decoder import BytesLike, RecordDecoder

FORMATS = ("dat", "evt2", "evt21", "evt3")


class EventDecoder(Protocol):
    """A stateful decoder; see `RecordDecoder` for the contract of its members."""

    width: int | None
    height: int | None
    stats: DecodeStats

    def feed(self, data: BytesLike) -> Events:
        """Decode the next bytes, split anywhere; return a new array (N,)."""

    def blocks(self, data: BytesLike) -> Iterator[Events]:
        """Like `feed`, in reused arrays of bounded size."""

    def finish(self) -> None:
        """End the stream; a partial record is dropped and counted."""

    def save(self) -> dict[str, Any]:
        """Return the state with which a later decoder of this format can resume, as plain values."""

    def load(self, saved: Mapping[str, Any]) -> None:
        """Restore the state returned by `save`."""


def make_decoder(format: str, width: int | None = None, height: int | None = None) -> EventDecoder:
    """Return a decoder at the beginning of a stream.

    `format` is one of FORMATS; width and height (pixels) can be None if the stream's header contains them.

    Raises:
        FormatError: the format is not one of FORMATS.
        GeometryError: a side is out of bounds.
    """
    decoders: tuple[type[RecordDecoder], ...] = (DatDecoder, Evt2Decoder, Evt21Decoder, Evt3Decoder)
    for decoder in decoders:
        if decoder.format == format:
            return decoder(width, height)
    raise FormatError(f"unknown event format {format!r}; expected one of {', '.join(FORMATS)}")
