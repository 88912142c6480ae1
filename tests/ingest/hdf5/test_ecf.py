import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import FormatError, IngestError, TruncatedError
from spikewatch.ingest.hdf5.ecf import ECF_MAX_EVENTS, decode_ecf
from tests.ingest.support.ecf_encoder import PACKINGS, encode_ecf

Event = tuple[int, int, int, int]


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """Draw runs of events (t, x, y, p) that reach every run-length code and escape."""
    t = draw(st.integers(0, 1 << 40))
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 12))):
        t += draw(st.sampled_from([0, 1, 14, 15, 16, 255, 4096, 1 << 36]))
        x, y, p = draw(st.integers(0, 2047)), draw(st.integers(0, 2047)), draw(st.integers(0, 1))
        step = draw(st.sampled_from([0, 1, 2, 5, 6]))
        run = draw(st.sampled_from([1, 2, 5, 14, 15, 30, 31, 126, 127, 300]))
        events += [(t, min(x + i * step, 2047), y, p) for i in range(run)]
    return events


def columns(events: list[Event]) -> tuple[list[int], ...]:
    return tuple([event[i] for event in events] for i in range(4))


@pytest.mark.parametrize("packing", PACKINGS)
@settings(max_examples=40, deadline=None)
@given(events=event_lists())
def test_round_trip(packing: str, events: list[Event]) -> None:
    t, x, y, p = columns(events)
    decoded = decode_ecf(encode_ecf(t, x, y, p, packing))
    assert decoded["t"].tolist() == t
    assert decoded["x"].tolist() == x
    assert decoded["y"].tolist() == y
    assert decoded["p"].tolist() == p


@pytest.mark.parametrize("packing", PACKINGS)
def test_largest_ecf_chunk_of_one_run_decodes(packing: str) -> None:
    n = ECF_MAX_EVENTS
    decoded = decode_ecf(encode_ecf([7] * n, [3] * n, [2047] * n, [1] * n, packing))
    assert len(decoded) == n
    assert (decoded["t"] == 7).all()
    assert (decoded["y"] == 2047).all()
    assert (decoded["p"] == 1).all()


def test_ecf_bytes_written_by_hand_decode() -> None:
    chunk = struct.pack("<IQ", 3 << 2, 1000)
    chunk += bytes([0x02, 0xF5, 0xF1, 0x31])  # two events at 1000; then dt 0x15 and 3 more: 1000 + 21 + 3
    chunk += struct.pack("<HH", 9 << 5 | 2, 10 << 5 | 1)
    chunk += struct.pack("<HH", 100 << 5 | 0b00100, 40 << 5)  # 100 and 103; 40
    chunk += bytes([0x81, 0x02])
    assert decode_ecf(chunk).tolist() == [(1000, 100, 9, 1), (1000, 103, 9, 0), (1024, 40, 10, 0)]


def test_empty_ecf_chunk_has_no_events() -> None:
    assert len(decode_ecf(encode_ecf([], [], [], []))) == 0


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_truncated_ecf_chunk_is_rejected(packing: str) -> None:
    chunk = encode_ecf([5, 5, 90, 4000], [1, 2, 30, 40], [8, 8, 8, 9], [0, 1, 1, 1], packing)
    for size in range(len(chunk)):
        with pytest.raises(TruncatedError, match="ECF chunk of"):
            decode_ecf(chunk[:size])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x04" * 40, "exceed its event count"),  # four events at a time into a chunk of six
        (b"\xff" * 40, "exceeds 62 bits"),  # a time escape without end
        (b"\x06" + struct.pack("<H", 7 << 5 | 7), "exceed its event count"),  # a run of seven rows
        (b"\x06" + struct.pack("<HHH", 6, 5 << 5 | 31, 31), "exceed its event count"),  # twelve columns
        (b"\x06" + struct.pack("<HHHB", 6, 31, 0, 7), "exceed its event count"),  # seven polarities
    ],
)
def test_damaged_ecf_chunk_is_rejected_with_reason(body: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode_ecf(struct.pack("<IQ", 6 << 2, 0) + body)


@pytest.mark.parametrize("t0", [(1 << 62) - 1, 1 << 62, 1 << 63, (1 << 64) - 1])
def test_time_beyond_62_bits_is_rejected(t0: int) -> None:
    with pytest.raises(FormatError, match="exceeds 62 bits"):
        decode_ecf(struct.pack("<IQ", 6 << 2, t0) + b"\x16" + b"\0" * 40)


def test_huge_event_count_is_rejected_before_allocation() -> None:
    with pytest.raises(FormatError, match="1073741823 events"):
        decode_ecf(b"\xff" * 16)


@pytest.mark.parametrize("packing", PACKINGS)
def test_mutated_ecf_chunks_never_crash(packing: str) -> None:
    rng = random.Random(1)
    t = np.cumsum(np.random.default_rng(1).integers(0, 40, 500)).tolist()
    x, y = [rng.randrange(1280) for _ in t], sorted(rng.randrange(720) for _ in t)
    valid = encode_ecf(t, x, y, [i % 3 % 2 for i in t], packing)
    refused = 0
    for _ in range(500):
        chunk = bytearray(valid)
        for _ in range(rng.randint(1, 20)):
            chunk[rng.randrange(len(chunk))] = rng.randrange(256)
        try:
            events = decode_ecf(bytes(chunk[: rng.randint(0, 2 * len(chunk))]))
        except IngestError:
            refused += 1
        else:
            assert len(events) <= ECF_MAX_EVENTS
    assert refused > 0


def test_ecf_kernels_stay_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the kernels uncompiled: Python raises IndexError where compiled code would not."""
    import spikewatch.ingest.hdf5.ecf as ecf

    for name in [name for name in vars(ecf) if hasattr(getattr(ecf, name), "py_func")]:
        monkeypatch.setattr(ecf, name, getattr(ecf, name).py_func)
    rng = random.Random(2)
    for _ in range(200):
        packing = rng.randrange(3)
        head = struct.pack("<IQ", rng.randrange(20) << 2 | packing, rng.randrange(1 << 40))
        body = bytes(rng.choice([0, 1, 2, 5, 31, 32, 127, 240, 255]) for _ in range(rng.randrange(60)))
        try:
            ecf.decode_ecf(head + body)
        except IngestError:
            continue
