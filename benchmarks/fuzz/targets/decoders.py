"""Targets of the event decoders: any split of the bytes gives the same events, and none is lost uncounted.

The first byte of an input chooses: bit 0 a given sensor size, bit 1 a decoder saved and restored at every
split, the other bits where the bytes are split.
"""

import json
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np

from benchmarks.fuzz.targets import Target
from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.decoders import make_decoder

SIZE = (320, 240)
MAX_SPLITS = 6
EVENT_DROPS = ("before_first_time", "before_first_address", "outside_sensor")
"""Reasons that count events; the others count words."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Result of decoding a stream: events as bytes, or the code of the error."""

    events: bytes
    delivered: int
    dropped: dict[str, int]
    error: str | None


def _decode(format: str, sized: bool, pieces: list[bytes], resume: bool) -> _Outcome:
    decoder = make_decoder(format, *(SIZE if sized else (None, None)))
    parts: list[bytes] = []
    try:
        for piece in pieces:
            parts.append(_packed(decoder.feed(piece)))
            if resume:
                saved = json.loads(json.dumps(decoder.save()))
                decoder = make_decoder(format, *(SIZE if sized else (None, None)))
                decoder.load(saved)
        decoder.finish()
    except IngestError as error:
        return _Outcome(b"", 0, {}, error.code)
    return _Outcome(b"".join(parts), decoder.stats.events, dict(decoder.stats.dropped), None)


def _packed(events: Events) -> bytes:
    """Return the events without the padding between them, which is never written."""
    return np.stack([events[name].astype(np.int64) for name in "txyp"], 1).tobytes()


def count_events(format: str, stream: bytes) -> int:
    """Return the number of events in a stream without a header, counted apart from the decoders."""
    if format == "dat":
        return len(stream) // 8
    word = {"evt2": "<u4", "evt21": "<u8", "evt3": "<u2"}[format]
    words = np.frombuffer(stream, word, len(stream) // np.dtype(word).itemsize)
    kind = words >> (8 * words.itemsize - 4)
    if format == "evt2":
        return int((kind <= 1).sum())
    if format == "evt21":
        return int(np.bitwise_count(words[kind <= 1] & 0xFFFFFFFF).sum())
    vectors = (
        np.bitwise_count(words[kind == 4] & 0xFFF).sum() + np.bitwise_count(words[kind == 5] & 0xFF).sum()
    )
    return int((kind == 2).sum() + vectors)


def _run(format: str, data: bytes) -> None:
    if not data:
        return
    control, stream = data[0], data[1:]
    sized, resume = bool(control & 1), bool(control & 2)
    whole = _decode(format, sized, [stream], resume=False)
    random = Random(control)
    cuts = sorted(random.randint(0, len(stream)) for _ in range(random.randint(1, MAX_SPLITS)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    split = _decode(format, sized, pieces, resume)
    assert split == whole, (
        f"split at {cuts}: {split.delivered} events, {split.dropped}, {split.error}; "
        f"whole: {whole.delivered} events, {whole.dropped}, {whole.error}"
    )
    if whole.error is None and not stream.startswith(b"%"):
        lost = sum(whole.dropped.get(reason, 0) for reason in EVENT_DROPS)
        offered = count_events(format, stream)
        assert whole.delivered + lost == offered, (
            f"{offered} events in, {whole.delivered} out, {lost} dropped"
        )


def dat() -> Target:
    """Return the target of DAT."""
    return partial(_run, "dat")


def evt2() -> Target:
    """Return the target of EVT2."""
    return partial(_run, "evt2")


def evt21() -> Target:
    """Return the target of EVT2.1."""
    return partial(_run, "evt21")


def evt3() -> Target:
    """Return the target of EVT3."""
    return partial(_run, "evt3")
