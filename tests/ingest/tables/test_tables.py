"""Files written by numpy, h5py and an encoder of Event Stream are read back equal."""

import gzip
import io
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, NoEventsError, TruncatedError
from spikewatch.ingest.events import EVENT_DTYPE
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.table_options import TableOptions, table_options
from tests.ingest.support.cases import same

RANDOM = np.random.default_rng(7)
COUNT = 70_000  # more than a block


def make_events():
    events = np.empty(COUNT, EVENT_DTYPE)
    events["t"] = np.sort(RANDOM.integers(1, 10**9, COUNT))
    events["x"], events["y"] = RANDOM.integers(0, 346, COUNT), RANDOM.integers(0, 260, COUNT)
    events["p"] = RANDOM.integers(0, 2, COUNT)
    return events


EVENTS = make_events()
ROWS = np.stack([EVENTS[name].astype(np.int64) for name in "txyp"], 1)


def text(rows, separator=",", header="", **columns):
    file = io.StringIO()
    np.savetxt(file, rows, fmt="%d", delimiter=separator, header=header, comments="", **columns)
    return file.getvalue().encode()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def named(*names):
    array = np.empty(COUNT, [(name, "<i8") for name in names])
    for name, column in zip(names, ROWS.T, strict=True):
        array[name] = column
    return array


def read(tmp_path, data, columns=None, unit=None, **options):
    path = tmp_path / "recording"
    path.write_bytes(data)
    with open_recording(path, 346, 260, table=table_options(columns, unit), **options) as recording:
        chunks = list(recording.chunks(1 << 14))
        assert max(map(len, chunks)) <= 1 << 14
        assert same(np.concatenate(list(recording.chunks())), np.concatenate(chunks))
        assert recording.progress() == 1
        return np.concatenate(chunks)


MINUS = ROWS * [1, 1, 1, 2] - [0, 0, 0, 1]
BOOLEANS = b"".join(b"%d %d %d %s\n" % (t, x, y, b"True" if p else b"False") for t, x, y, p in ROWS.tolist())
CASES = {
    "npy": (npy(ROWS), None),
    "npy of floats": (npy(ROWS.astype(float)), None),
    "npy, order": (npy(ROWS[:, [1, 2, 0, 3]].copy()), "x,y,t,p"),
    "npy, -1": (npy(MINUS), None),
    "npy of events": (npy(EVENTS), None),
    "npy, other names": (npy(named("when", "col", "line", "sign")), "when,col,line,sign"),
    "npy, known names": (npy(named("timestamp", "x", "y", "polarity")), None),
    "npz": (npz(events=ROWS), None),
    "npz, compressed columns": (npz(np.savez_compressed, **{n: EVENTS[n] for n in "txyp"}), None),
    "npz, booleans": (npz(**{n: EVENTS[n] for n in "txy"}, p=EVENTS["p"] > 0), None),
    "npz, names": (npz(a=EVENTS["t"], b=EVENTS["x"], c=EVENTS["y"], d=EVENTS["p"], e=np.eye(2)), "a,b,c,d"),
    "csv": (text(ROWS), None),
    "csv, header": (text(ROWS[:, [1, 2, 3, 0]], header="x,y,polarity,timestamp"), None),
    "csv, names": (text(ROWS, header="when,col,line,sign"), "when,col,line,sign"),
    "csv, mark and comment": (b"\xef\xbb\xbf# a camera\r\n" + text(ROWS).replace(b"\n", b"\r\n"), None),
    "spaces": (text(ROWS, " "), None),
    "spaces, order": (text(ROWS[:, [1, 2, 0, 3]], " "), "x,y,t,p"),
    "-1": (text(MINUS), None),
    "booleans": (BOOLEANS, None),
    "gzip": (gzip.compress(text(ROWS), 1), None),
    "no last newline": (text(ROWS).rstrip(), None),
}


@pytest.mark.parametrize("case", CASES)
def test_what_numpy_wrote_is_read_back_equal(tmp_path, case):
    assert same(read(tmp_path, *CASES[case]), EVENTS)


@pytest.mark.parametrize(("unit", "factor"), [("ns", 1000), ("us", 1)])
def test_integer_units(tmp_path, unit, factor):
    assert same(read(tmp_path, npy(ROWS * [factor, 1, 1, 1]), unit=unit), EVENTS)


def test_milliseconds_are_multiplied(tmp_path):
    found = read(tmp_path, npy(ROWS.astype("<i4")), unit="ms")
    assert (found["t"] == EVENTS["t"] * 1000).all()


def test_times_with_fractions_are_seconds_and_told(tmp_path):
    path = tmp_path / "events.txt"
    seconds = [f"{1.6e9 + t / 1e6:.6f} {x} {y} {p}" for t, x, y, p in ROWS[:2000].tolist()]
    path.write_text("\n".join(seconds) + "\n")
    with open_recording(path, 346, 260) as recording:
        events = np.concatenate(list(recording.chunks()))
        (warning,) = recording.warnings()
    assert "read as seconds" in warning
    assert (events["t"] - 1_600_000_000_000_000 == EVENTS["t"][:2000]).all()


@pytest.mark.parametrize("name", ["npy", "csv", "gzip", "npz"])
def test_from_a_pipe(tmp_path, name):
    script = "from spikewatch import open_recording as o; print(o('-', 346, 260).info().events)"
    data = CASES[name][0]
    run = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, timeout=60)
    assert (run.stdout, run.stderr) == (b"%d\n" % COUNT, b"")


def test_drops_are_counted(tmp_path):
    path = tmp_path / "drops.csv"
    path.write_bytes(b"t,x,y,p\n10,1,1,1\n20,999,1,0\n-5,1,1,1\n30,2,2,1\n40,3")
    with open_recording(path, 346, 260) as recording:
        info = recording.info()
    assert (info.events, info.dropped) == (
        2,
        {"truncated_record": 1, "outside_sensor": 1, "negative_time": 1},
    )


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_hdf5_by_names(tmp_path, unit):
    path = tmp_path / "named.h5"
    with h5py.File(path, "w") as file:
        for name, column in zip(("cam/when", "cam/col", "cam/line", "cam/sign"), ROWS.T, strict=True):
            scale = 1000 if unit == "ns" and name == "cam/when" else 1
            file[name] = column * scale
    table = table_options("cam/when,cam/col,cam/line,cam/sign", unit)
    with open_recording(path, 346, 260, table=table) as recording:
        assert same(np.concatenate(list(recording.chunks())), EVENTS)
        recording.seek(int(EVENTS["t"][60_000]))
        assert recording.info().events == (EVENTS["t"] >= EVENTS["t"][60_000]).sum()
    with pytest.raises(FormatError, match="no dataset 'cam/none'"):
        open_recording(path, table=TableOptions(("cam/none", "a", "b", "c")))


@pytest.mark.parametrize(
    ("data", "columns", "error", "message"),
    [
        (npy(ROWS[:, [1, 2, 0, 3]].copy()), None, FormatError, "the column read as y rises like a time"),
        (npy(ROWS.T.copy()), None, FormatError, r"has shape \(4, 70000\)"),
        (npy(np.asfortranarray(ROWS)), None, FormatError, "Fortran order"),
        (npy(ROWS)[:-100], None, TruncatedError, "ends before the 70,000 rows"),
        (npy(ROWS + np.array([0, 0.5, 0, 0])), None, FormatError, "no whole pixels"),
        (npy(ROWS[:0]), None, NoEventsError, "arrays are empty"),
        (npy(named("a", "b", "c", "d")), None, FormatError, "columns a, b, c, d are not t, x, y and p"),
        (npy(EVENTS), "t,x,y,q", FormatError, "no column 'q'; the file has: t, x, y, p"),
        (npz(a=EVENTS["t"], b=ROWS), None, FormatError, "--columns"),
        (
            npz(t=EVENTS["t"], x=EVENTS["x"][1:], y=EVENTS["y"], p=EVENTS["p"]),
            None,
            FormatError,
            "one length",
        ),
        (text(ROWS[:9]) + b"10,a,2,1\n", None, FormatError, "lines from 1 on"),
        (text(ROWS[:9]), "a,b,c,d", FormatError, "this table has no names"),
        (text(ROWS[:9]), "t,x,y", FormatError, "expected four names"),
        (gzip.compress(text(ROWS))[:-400], None, TruncatedError, "gzip data end early"),
    ],
    ids=range(14),
)
def test_what_is_no_table_of_events_is_rejected(tmp_path, data, columns, error, message):
    with pytest.raises(error, match=message) as raised:
        read(tmp_path, data, columns)
    assert "\n" not in str(raised.value)


def test_objects_are_never_loaded(tmp_path):
    with pytest.raises(FormatError, match="Python objects"):
        read(tmp_path, npy(np.array([{}, 1], object)))


def test_a_named_format_wins_over_the_content(tmp_path):
    with pytest.raises(FormatError, match="no readable NumPy header"):
        read(tmp_path, text(ROWS[:9]), format="npy")
    with pytest.raises(FormatError, match="expected one of dat"):
        read(tmp_path, text(ROWS[:9]), format="xls")


def encode_es(events, height, *, atis=False, reset=False):
    """Encode by the format's description: a step of time, overflows before it, then the pixel from below."""
    parts = [b"Event Stream\2\0\0" + struct.pack("<BHH", 2 if atis else 1, 346, height)]
    last = 0
    for t, x, y, p in events:
        step, limit = t - last, 63 if atis else 127
        parts.append(
            (b"\xfd" if atis else b"\xff") * (step // limit) + (b"" if atis or not reset else b"\xfe")
        )
        first = step % limit << 2 | p << 1 if atis else step % limit << 1 | p
        parts.append(struct.pack("<BHH", first, x, height - 1 - y))
        last = t
    return b"".join(parts)


@pytest.mark.parametrize("atis", [False, True])
def test_event_stream(tmp_path, atis):
    rows = ROWS.copy()
    rows[:, 0] = np.cumsum(RANDOM.integers(0, 700, COUNT))
    expected = EVENTS.copy()
    expected["t"] = rows[:, 0]
    data = encode_es(rows.tolist(), 260, atis=atis)
    assert same(read(tmp_path, data), expected)
    path = tmp_path / "cut.es"
    path.write_bytes(data[:-2])
    with open_recording(path) as recording:
        assert (recording.width, recording.height) == (346, 260)
        assert recording.info().dropped == {"truncated_record": 1}


def test_event_stream_bytes_of_another_writer(tmp_path):
    """The bytes are what the package event_stream 1.6.3 wrote; it keeps y from below."""
    path = tmp_path / "other.es"
    path.write_bytes(
        b"Event Stream\x02\x00\x00\x01@\x01\xf0\x00\x0b\x01\x00\x07\x00\x02\x02\x00\x08\x00"
        b"\xff\x87\x03\x00\t\x00"
        b"\xff\xff\xff\xff\xff\xffL\x04\x00\n\x00\x01,\x01\xc8\x00"
    )
    with open_recording(path) as recording:
        (events,) = recording.chunks()
    assert events.tolist() == [
        (5, 1, 232, 1),
        (6, 2, 231, 0),
        (200, 3, 230, 1),
        (1000, 4, 229, 0),
        (1000, 300, 39, 1),
    ]


def test_exposures_and_resets_are_counted(tmp_path):
    path = tmp_path / "atis.es"
    atis = b"Event Stream\2\0\0\2@\1\xf0\0" + bytes([5 << 2 | 2, 1, 0, 2, 0, 1 << 2 | 1, 1, 0, 2, 0])
    path.write_bytes(atis)
    with open_recording(path) as recording:
        assert recording.info().dropped == {"exposure": 1}
    path.write_bytes(encode_es([(5, 1, 2, 1), (900, 3, 4, 0)], 260, reset=True))
    with open_recording(path) as recording:
        assert recording.info().dropped == {"reserved_word": 2}


@pytest.mark.parametrize(
    ("start", "message"), [(b"\1\0\0\1", "version 1.0.0"), (b"\2\0\0\4", "colour events")]
)
def test_other_event_streams_are_rejected(tmp_path, start, message):
    path = tmp_path / "other.es"
    path.write_bytes(b"Event Stream" + start + bytes(40))
    with pytest.raises(FormatError, match=message):
        open_recording(path)
