"""`spikewatch.detect`: every kind of source gives the numbers of the command line and the service."""

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikewatch
from spikewatch.ingest.errors import FormatError, GeometryError
from spikewatch.ingest.events import Events
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.errors import CheckpointError, ConfigError
from spikewatch.service.pipeline.detector import EventDetector
from tests.service.support.console import Done
from tests.service.support.live import comparable, dat_stream, live_service, upload
from tests.service.support.results import as_windows
from tests.service.support.uploads import as_hdf5

Run = Callable[..., Done]
LOW = 0.001
SHORT: Any = {"slice_us": 20_000, "slices": 2}
SIZE = {"width": 304, "height": 240}


def command_line(
    run: Run, weights: str, street: Path, out: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    done = run("detect", street, "--weights", weights, "--confidence", LOW, "--track", "--out", out)
    assert done.status == 0, done.err
    *windows, last = [json.loads(line) for line in out.read_text().splitlines()]
    return comparable(windows), last["summary"]


@pytest.mark.parametrize("name", ["small", pytest.param("spikewatch-t-sim", marks=pytest.mark.slow)])
def test_detect_equals_command_line_and_service(
    request: pytest.FixtureRequest, run: Run, tmp_path: Path, name: str
) -> None:
    path = str(request.getfixturevalue("weights")) if name == "small" else name
    recording: Path = request.getfixturevalue("clip" if name == "small" else "street")
    with spikewatch.detect(recording, weights=path, confidence=LOW, track=True) as found:
        results = list(found)
        summary = found.summary().model_dump()
    windows = as_windows(results)
    assert command_line(run, path, recording, tmp_path / "boxes.ndjson") == (windows, summary)
    with live_service(load_detector(path, runtime="auto")) as live:
        uploaded, sums = upload(live, recording.read_bytes(), confidence=LOW, track=True)
    assert comparable(uploaded) == windows
    assert sums == summary
    assert sum(result.events for result in results) == (16_000 if name == "small" else 205_474)
    tracked = np.concatenate([result.track_ids for result in results if result.track_ids is not None])
    assert len(tracked) == sum(len(result.detections) for result in results) > len(set(tracked.tolist())) > 1


@pytest.mark.parametrize("kind", ["bytes", "memoryview", "file", "headerless", "events", "columns"])
def test_every_source_gives_the_same_results(
    small: EventDetector, clip: Path, records: bytes, clip_events: Events, kind: str
) -> None:
    expected = as_windows(small.detect(clip))
    data = clip.read_bytes()
    match kind:
        case "bytes":
            found = small.detect(data)
        case "memoryview":
            found = small.detect(memoryview(data))
        case "file":
            found = small.detect(io.BytesIO(data))
        case "headerless":
            found = small.detect(records, format="dat", **SIZE)
        case "events":
            found = small.detect(clip_events, **SIZE)
        case _:
            t, x, y, p = (clip_events[name] for name in "txyp")
            found = small.detect((t, x, y, p), **SIZE)
    assert as_windows(found) == expected
    assert found.progress == 1.0


@contextmanager
def pipe(data: bytes) -> Iterator[io.FileIO]:
    """The reading end of a pipe into which `data` goes."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with io.FileIO(reading) as file:
        yield file
    writer.join()


def test_pipe_gives_the_same_results(small: EventDetector, clip: Path) -> None:
    with pipe(clip.read_bytes()) as file:
        found = small.detect(file)
        assert as_windows(found) == as_windows(small.detect(clip))
        assert found.progress is None


def test_results_come_before_a_pipe_has_ended(small: EventDetector, clip: Path) -> None:
    """A camera that writes slowly: a result must not wait for bytes beyond its window."""
    data = clip.read_bytes()
    expected = as_windows(small.detect(data, **SHORT))
    reading, writing = os.pipe()
    with io.FileIO(reading) as file, io.FileIO(writing, "wb") as slow:
        slow.write(data[:40_000])
        found = small.detect(file, **SHORT)
        assert as_windows([next(found)]) == expected[:1]
        slow.write(data[40_000:80_000])
        slow.close()
        assert as_windows(found)[:3] == expected[1:4]


def test_formats_that_need_a_file_are_copied_from_a_pipe(small: EventDetector, tmp_path: Path) -> None:
    data = as_hdf5(tmp_path, 12)
    expected = as_windows(small.detect(tmp_path / "r.h5"))
    assert len(expected) > 2
    with pipe(data) as file, small.detect(file) as found:
        assert as_windows(found) == expected
        assert found.summary().format == "hdf5-rvt"


def test_cancel_ends_after_the_current_slice(small: EventDetector, street: Path, clip: Path) -> None:
    with small.detect(street, **SHORT) as found:
        results = [next(found), next(found)]
        assert 0 < (found.progress or 0) < 0.5
        found.cancel()
        results += list(found)
    assert as_windows(results) == as_windows(small.detect(clip, **SHORT))[:2]
    assert found.summary().interrupted


def test_leaving_early_ends_the_iteration(small: EventDetector, street: Path) -> None:
    with small.detect(street) as found:
        next(found)
    assert list(found) == []


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        ("absent.raw", {}, FileNotFoundError, "absent.raw"),
        (b"", {}, FormatError, "empty"),
        (b"RIFF" * 100, {}, FormatError, "this is text"),
        (io.StringIO("% Version 2"), {}, FormatError, "binary mode"),
        (7, {}, FormatError, "source is int; expected a path"),
        (([1], [2]), {}, FormatError, "got 2 arrays"),
        (([1], [2], [3], [1]), {}, GeometryError, "an event array does not name its sensor size"),
        (b"", {"format": "dat", "width": 5}, ConfigError, "width and height come together; got 5 and None"),
        (b"", {"format": "avi"}, FormatError, "unknown|avi"),
        (b"", {"format": "dat", "hop": 0}, ConfigError, "hop is 0: input should be greater than"),
        (b"", {"format": "dat", "threshold": 0.5}, ConfigError, "threshold is 0.5: extra inputs"),
    ],
)
def test_bad_input_raises_one_clear_error(
    small: EventDetector, source: Any, options: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        list(small.detect(source, **options))


def test_event_off_the_sensor_is_an_error(small: EventDetector) -> None:
    with pytest.raises(GeometryError, match="x=90"):
        list(small.detect(([1], [90], [3], [1]), width=90, height=60))


def test_load_rejects_weights_that_take_no_events(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        spikewatch.load(tmp_path / "absent.safetensors")
    with pytest.raises(ConfigError, match="unknown"):
        spikewatch.load("untrained", runtime="fast")


def test_truncated_records_are_counted_in_the_summary(small: EventDetector) -> None:
    found = small.detect(dat_stream(8) + b"\x01", format="dat", width=90, height=60)
    assert sum(result.events for result in found) == 2400
    assert found.summary().dropped_events == {"truncated_record": 1}
