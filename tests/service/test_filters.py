"""Filters of streams, sessions and commands: the same results in any split, saved or served."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.filters.event_filter import EventFilter
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.service.errors import InvalidSnapshot
from spikewatch.service.filters import Filters, parse_filters
from spikewatch.service.pipeline.detector import EventDetector, load
from tests.service.support.console import Done
from tests.service.support.live import Live, comparable, dat_file, dat_stream, talk
from tests.service.support.results import as_windows
from tests.service.support.snapshots import resume, service
from tests.service.support.streams import post, stream

FILTERS = {"refractory_us": 2000, "background_us": 1500, "hot_hz": 40, "region": [0, 0, 80, 60]}
OPTIONS: dict[str, Any] = {"confidence": 0.001, "slices": 4, "hop": 1, "slice_us": 10_000}
SENSOR = {"width": 90, "height": 60}


@pytest.fixture(scope="module")
def small(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> EventDetector:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return load(path)


def events() -> Events:
    """3 s with a hot pixel, then a jump in time."""
    rng = np.random.default_rng(3)
    found = np.zeros(9000, EVENT_DTYPE)
    found["t"] = np.sort(rng.integers(0, 3_000_000, 9000))
    found["t"][8000:] += 20_000_000
    found["x"], found["y"] = rng.integers(72, 84, 9000), rng.integers(20, 30, 9000)
    found["x"][::20], found["y"][::20] = 74, 25
    return found


def test_stream_equals_one_of_events_filtered_before(small: EventDetector) -> None:
    event_filter = EventFilter(Filters.model_validate(FILTERS).settings(), 90, 60)
    moment = events()[:8000]
    kept = np.concatenate([mask for _, mask in event_filter.parts(moment)])
    assert set(event_filter.removed) == {"region", "hot_pixels", "refractory", "background"}
    plain = {r.t_us: (r.events, as_windows([r])) for r in small.detect(moment[kept], **SENSOR, **OPTIONS)}
    run = small.detect(moment, **SENSOR, **OPTIONS, filters=FILTERS)
    found = {r.t_us: (r.events, as_windows([r])) for r in run}
    assert {t: found[t] for t in plain} == plain
    assert run.summary().filtered_events == event_filter.removed
    assert run.summary().events == kept.sum()


def test_any_split_and_snapshots_equal_offline(small: EventDetector) -> None:
    offline = small.detect(events(), **SENSOR, **OPTIONS, filters=FILTERS)
    expected = as_windows(offline)
    stream, results = small.stream(**SENSOR, **OPTIONS, filters=FILTERS), list[Any]()
    for part in np.array_split(events(), 9):
        stream = small.restore(stream.snapshot())
        results += stream.push(part)
    assert as_windows(results + stream.finish()) == expected
    assert stream.filtered_events == offline.summary().filtered_events


def test_snapshot_without_its_filters_is_rejected(small: EventDetector) -> None:
    from safetensors.torch import load as load_tensors
    from safetensors.torch import save

    stream = small.stream(**SENSOR, **OPTIONS, filters=FILTERS)
    stream.push(events()[:2000])
    state = stream.snapshot()
    text = json.loads(state[8 : 8 + int.from_bytes(state[:8], "little")])["__metadata__"]["stream"]
    tensors = load_tensors(state)
    assert {"filter.passed_us", "filter.counts", "filter.hot"} <= tensors.keys()
    without = json.loads(text)
    del without["event_filter"]
    for metadata, kept in ((without, tensors.keys()), (json.loads(text), tensors.keys() - {"filter.hot"})):
        with pytest.raises(InvalidSnapshot, match=r"filter|hot"):
            small.restore(save({k: tensors[k] for k in kept}, metadata={"stream": json.dumps(metadata)}))


def test_session_filters_over_post_and_websocket_and_counts(live: Live) -> None:
    data = dat_stream(12)
    total = len(data) // 8
    before = live.metric('spikewatch_filtered_events_total{filter="background"}')
    answers = []
    for feed in ("post", "websocket"):
        session_id = live.open(filters={"background_us": 1}, hop=1)
        assert live.http.get(f"/v1/sessions/{session_id}").json()["filters"]["background_us"] == 1
        if feed == "post":
            windows = post(live, session_id, data).json()["windows"]
            totals = live.http.delete(f"/v1/sessions/{session_id}").json()["totals"]
        else:
            with stream(live, session_id) as socket:
                socket.send(data)
                socket.send("close")
                *messages, closed = talk(socket)
            windows, totals = [m for m in messages if m["type"] == "window"], closed["totals"]
        answers.append(totals)
        assert windows
    assert answers[0]["filtered_events"] == answers[1]["filtered_events"]
    removed = answers[0]["filtered_events"]["background"]
    assert answers[0]["events"] + removed == total
    assert removed > total / 2
    after = live.metric('spikewatch_filtered_events_total{filter="background"}')
    assert after - before == 2 * removed


def test_resumed_session_equals_uninterrupted_one(detector: Detector, tmp_path: Path) -> None:
    data, options = dat_file(10), {"filters": FILTERS | {"region": None}, "hop": 1, "confidence": 0.001}
    with service(detector, tmp_path) as live:
        session_id = live.open(**options)
        expected = post(live, session_id, data).json()["windows"]
        totals = live.http.get(f"/v1/sessions/{session_id}").json()["totals"]
        session_id, windows = live.open(**options), list[Any]()
    for a, b in pairwise([0, len(data) // 7, len(data) // 3 + 1, len(data)]):
        with service(detector, tmp_path) as live:
            if a:
                assert resume(live, session_id)["accepted_bytes"] == a
            else:
                session_id = live.open(**options)
            windows += post(live, session_id, data[a:b]).json()["windows"]
            resumed = live.http.get(f"/v1/sessions/{session_id}").json()["totals"]
    assert comparable(windows) == comparable(expected)
    assert resumed["filtered_events"] == totals["filtered_events"] != {}


@pytest.mark.parametrize(
    "filters",
    [
        {"hot_window_us": 2_000_000},
        {"refractory_us": 0},
        {"background": 5},
        {"region": [0, 0, 0, 5]},
        {"hot_pixels": [[-1, 0]]},
    ],
)
def test_session_with_faulty_filters_is_rejected(live: Live, filters: dict[str, Any]) -> None:
    assert live.http.post("/v1/sessions", json={"filters": filters}).status_code == 422


def test_region_off_the_sensor_ends_the_feed_with_bad_geometry(live: Live) -> None:
    session_id = live.open(filters={"region": [0, 0, 4096, 4]})
    answer = post(live, session_id, dat_stream(2))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_geometry")


def test_filters_of_the_command_line_are_read_or_rejected(tmp_path: Path) -> None:
    file = tmp_path / "hot.json"
    file.write_text("[[3, 4]]")
    parsed = parse_filters(["refractory_us=500", "hot_hz=20.5", f"hot_pixels={file}", "region=1,2,30,40"])
    assert parsed == Filters(refractory_us=500, hot_hz=20.5, hot_pixels=((3, 4),), region=(1, 2, 30, 40))
    assert parse_filters(None) is None
    file.write_text("{")
    for text in (
        *("refractory", "dead_time=4", "refractory_us=x", "background_us=0", "region=1,2"),
        *(f"hot_pixels={file}", "hot_pixels=none.json"),
    ):
        with pytest.raises(ConfigError, match="--filter"):
            parse_filters([text])
    with pytest.raises(ConfigError, match="twice"):
        parse_filters(["hot_hz=5", "hot_hz=6"])


def test_detect_tells_what_the_filters_removed(
    run: Callable[..., Done], detector: Detector, tmp_path: Path
) -> None:
    weights, clip = tmp_path / "w.safetensors", tmp_path / "clip.dat"
    save_checkpoint(weights, detector.network, detector.spec)
    clip.write_bytes(dat_file(12))
    for value, warnings in (("background_us=20", 0), ("region=0,0,1,1", 1)):
        done = run("detect", clip, "--weights", weights, "--filter", value, "--json")
        assert done.status == 0, done
        summary = json.loads(done.out)
        assert list(summary["filtered_events"]) == [value.split("_")[0].split("=")[0]]
        assert len(summary["warnings"]) == warnings
    assert "the filters removed all events" in summary["warnings"][0]
