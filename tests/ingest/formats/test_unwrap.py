"""Tests of time counters that wrap, stand still, or have a stray reading."""

import struct

import pytest

from tests.ingest.support.cases import decode
from tests.ingest.support.encoders import ENCODERS

PERIODS = {"dat": 2**32, "evt2": 2**34, "evt21": 2**34, "evt3": 2**24}
every_format = pytest.mark.parametrize("format", PERIODS)
long_range = pytest.mark.parametrize("format", ["dat", "evt2", "evt21"])
S = 1_000_000


def times(format, *wanted):
    """Return the times that a decoder gives to events at these times."""
    data = ENCODERS[format]([(t, 1, 2, 1) for t in wanted])
    whole = decode(format, [data])["t"].tolist()
    assert decode(format, (data[i : i + 1] for i in range(len(data))))["t"].tolist() == whole
    return whole


@every_format
@pytest.mark.parametrize("share", [0.07, 0.3, 0.49, 0.51, 0.6, 0.7, 0.93])
@pytest.mark.parametrize("phase", [0.01, 0.4, 0.99])
def test_outage_of_any_share_of_the_range_keeps_times(format, share, phase):
    """Half of all outages were once taken for a step back, or for a wrap undone."""
    period = PERIODS[format]
    start = int((1 + phase) * period)
    outage = int(share * period)
    wanted = [int(0.5 * period), int(0.9 * period), int(1.3 * period)]
    wanted = [t for t in wanted if t < start] + [start, start + 5000, start + outage, start + outage + 4096]
    assert times(format, *wanted) == wanted


def test_evt3_outage_of_ten_seconds_after_wrap():
    wanted = [16 * S + 2000 * i for i in range(1000)] + [28 * S + 2000 * i for i in range(500)]
    assert times("evt3", *wanted) == wanted


@every_format
def test_step_back_of_a_second_is_jitter(format):
    wanted = [30 * S // 10, 31 * S // 10, 22 * S // 10, 23 * S // 10, 24 * S // 10]
    assert times(format, *wanted) == wanted


@every_format
def test_step_back_beyond_a_second_is_a_wrap(format):
    assert times(format, 5 * S, 2 * S, 3 * S) == [5 * S, 2 * S + PERIODS[format], 3 * S + PERIODS[format]]


@every_format
def test_late_readings_around_a_wrap_keep_their_times(format):
    period = PERIODS[format]
    wanted = [period - 9000, period + 200, period - 5000, period + 9000, period - 4000, period + 12_000]
    wanted = [period // 2, *wanted, period + 3 * S]
    assert times(format, *wanted) == wanted


@long_range
@pytest.mark.parametrize("repeated", [1, 3])
def test_one_stray_time_in_the_future_leaves_others_alone(format, repeated):
    wanted = [10 * S, 10 * S + 100, *[3000 * S] * repeated, 10 * S + 200, 11 * S]
    assert times(format, *wanted) == wanted


@long_range
def test_one_stray_time_in_the_past_leaves_others_alone(format):
    decoded = times(format, 100 * S, 100 * S + 100, 3 * S, 100 * S + 200, 101 * S)
    assert decoded[:2] + decoded[3:] == [100 * S, 100 * S + 100, 100 * S + 200, 101 * S]


@every_format
def test_first_time_near_the_end_of_the_range_is_kept(format):
    period = PERIODS[format]
    wanted = [period - 3000, period + 5000, period + 2 * S]
    assert times(format, *wanted) == wanted


@long_range
def test_camera_that_restarts_continues_in_the_next_period(format):
    period = PERIODS[format]
    assert times(format, 100 * S, 101 * S, 0, 100, S)[2:] == [period, period + 100, period + S]


@pytest.mark.parametrize(("format", "letters"), [("evt2", "I"), ("evt3", "H")])
def test_big_endian_recording_equals_little_endian(format, letters):
    events = [(1000 + 100 * i, i % 304, i % 240, i % 2) for i in range(200)]
    little = ENCODERS[format](events)
    count = len(little) // struct.calcsize(f"<{letters}")
    big = struct.pack(f">{count}{letters}", *struct.unpack(f"<{count}{letters}", little))
    name = format.upper()
    for header in (f"% format {name};endianness=big\n% end\n", f"% evt {name[3]}.0\n% endianness BIG\n"):
        data = header.encode() + big
        for parts in ([data], [data[i : i + 1] for i in range(len(data))], [data[:-7], data[-7:]]):
            assert decode(format, parts, width=304, height=240).tolist() == events
