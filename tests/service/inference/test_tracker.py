"""Tracks: boxes that cross, that vanish and come back, and a stream that starts anew."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detections import Detections
from spikewatch.model.detector import Detector
from spikewatch.service.inference.tracker import MAX_TRACKS, Track, Tracks, diou, update_tracks
from tests.service.support.console import Done
from tests.service.support.live import Live, comparable, dat_file, dat_stream, talk, upload

CAR, PEDESTRIAN = 0, 1
LOW = {"confidence": 0.001, "track": True}
Box = tuple[float, float, float, float]


def found(t_us: int, boxes: Sequence[Box], classes: Sequence[int] | None = None) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.full(n, 0.9, np.float32),
        np.array([CAR] * n if classes is None else classes, np.int64),
        t_us,
    )


def follow_all(results: Sequence[Detections]) -> list[tuple[int, ...]]:
    tracks, ids = Tracks(), []
    for result in results:
        tracks, given = update_tracks(tracks, result)
        ids.append(given)
    return ids


@pytest.mark.parametrize("step_us", [50_000, 200_000])
def test_crossing_boxes_keep_their_ids(step_us: int) -> None:
    """100 px/s each way, the order within a result alternating; they lie upon each other halfway."""
    results, expected = [], []
    for k in range(2_000_000 // step_us + 1):
        x = 100e-6 * k * step_us
        boxes, ids = [(x, 50.0, 30.0, 20.0), (200 - x, 54.0, 30.0, 20.0)], (1, 2)
        results.append(found(k * step_us, boxes if k % 2 == 0 else boxes[::-1]))
        expected.append(ids if k % 2 == 0 else ids[::-1])
    assert follow_all(results) == expected


def test_occluded_box_keeps_its_id() -> None:
    """While the two overlap much, only one of them is found, as after non-maximum suppression."""
    results, last = [], ()
    for k in range(41):
        boxes = [(5.0 * k, 50.0, 30.0, 20.0), (200 - 5.0 * k, 54.0, 30.0, 20.0)]
        results.append(found(k * 50_000, boxes[:1] if 18 <= k <= 22 else boxes))
    *_, last = follow_all(results)
    assert last == (1, 2)


def test_lost_track_is_matched_at_its_predicted_position() -> None:
    seen = [found(k * 50_000, [(4.0 * k, 50, 20, 20)]) for k in range(10)]
    gone = [found(k * 50_000, []) for k in range(10, 25)]
    back = [found(25 * 50_000, [(4.0 * 25, 50, 20, 20)])]
    assert follow_all(seen + gone + back)[-1] == (1,), "0.8 s later, four widths farther on"


def test_track_lost_for_too_long_gets_new_id() -> None:
    seen = [found(k * 50_000, [(50, 50, 20, 20)]) for k in range(4)]
    gone = [found(k * 50_000, []) for k in range(4, 30)]
    assert follow_all([*seen, *gone, found(1_500_000, [(50, 50, 20, 20)])])[-1] == (2,)


def test_results_far_apart_in_time_are_matched() -> None:
    """Windows of the paper's 2.5 s: a track must be missing from two results before it is forgotten."""
    assert follow_all([found(k * 2_500_000, [(50 + k, 50, 20, 20)]) for k in range(4)]) == [(1,)] * 4


def test_track_matches_same_class_nearby_only() -> None:
    ids = follow_all(
        [
            found(0, [(50, 50, 20, 20)]),
            found(50_000, [(50, 50, 20, 20)], [PEDESTRIAN]),
            found(100_000, [(200, 50, 20, 20)]),
        ]
    )
    assert ids == [(1,), (2,), (3,)]


def test_reset_continues_track_ids() -> None:
    tracks, _ = update_tracks(Tracks(), found(0, [(50, 50, 20, 20)]))
    tracks = tracks.reset()
    assert tracks == Tracks(next_id=2)
    assert update_tracks(tracks, found(50_000, [(50, 50, 20, 20)]))[1] == (2,)


def test_diou_of_known_boxes() -> None:
    square = np.array([[0.0, 0, 1, 1]])
    others = np.array([[0.0, 0, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]])
    assert diou(square, others)[0] == pytest.approx([1, -1 / 5, -0.5 / 2])


def test_track_has_plain_values() -> None:
    tracks, _ = update_tracks(Tracks(), found(0, [(50, 50, 20, 20)]))
    assert tracks.known == (Track(1, CAR, (60.0, 60.0), (20.0, 20.0), None, 0),)


def ids_of(windows: list[dict]) -> list[list[int]]:
    return [[box["track_id"] for box in window["detections"]] for window in windows]


@pytest.mark.parametrize("piece", [1013, 1 << 20])
def test_streamed_tracks_equal_uploaded_ones(live: Live, piece: int) -> None:
    data = dat_file(10)
    expected, _ = upload(live, data, hop=1, **LOW)
    assert sum(map(len, ids_of(expected))) > 0
    session_id = live.open(hop=1, **LOW)
    assert live.http.get(f"/v1/sessions/{session_id}").json()["track"] is True
    socket = live.connect(session_id)
    for start in range(0, len(data), piece):
        socket.send(data[start : start + piece])
    socket.send("close")
    assert comparable([m for m in talk(socket) if m["type"] == "window"]) == comparable(expected)


def test_offline_tracks_equal_uploaded_ones(
    live: Live, detector: Detector, tmp_path: Path, run: Callable[..., Done]
) -> None:
    weights, recording = tmp_path / "small.safetensors", tmp_path / "street_td.dat"
    save_checkpoint(weights, detector.network, detector.spec)
    recording.write_bytes(dat_file(10))
    outs = [tmp_path / f"boxes{ending}" for ending in (".ndjson", ".npy", ".mp4")]
    options = ["--weights", weights, "--confidence", 0.001, "--hop", 1, "--track"]
    done = run("detect", recording, *options, *(x for out in outs for x in ("--out", out)))
    assert done.status == 0, done.err
    windows = [json.loads(line) for line in outs[0].read_text().splitlines()[:-1]]
    expected, _ = upload(live, recording.read_bytes(), hop=1, **LOW)
    assert comparable(windows) == comparable(expected)
    assert np.load(outs[1])["track_id"].tolist() == [i for ids in ids_of(windows) for i in ids]


def test_boxes_without_tracking_have_no_track_id(live: Live) -> None:
    windows, _ = upload(live, dat_file(4), confidence=0.001)
    assert windows[0]["detections"]
    assert all("track_id" not in box for box in windows[0]["detections"])


@pytest.mark.parametrize("how", ["reset", "jump"])
def test_tracks_end_at_reset_and_time_jump(live: Live, how: str) -> None:
    socket = live.connect(live.open(**LOW))
    socket.send(dat_stream(4))
    windows = []
    if how == "reset":
        socket.send("reset")
        windows.append(json.loads(socket.recv()))
        assert json.loads(socket.recv())["type"] == "reset"
        socket.send(dat_stream(4))
    else:
        later = np.frombuffer(dat_stream(4), "<u4").reshape(-1, 2).copy()
        later[:, 0] += 320 * 62_500
        socket.send(later.tobytes())
    socket.send("close")
    windows += [m for m in talk(socket) if m["type"] == "window"]
    first, second = ids_of(windows)
    assert first
    assert len(first) == len(second)
    assert not set(first) & set(second)


def test_restored_session_continues_its_tracks(live: Live) -> None:
    data, half = dat_stream(8), 4 * 300 * 8
    expected, _ = upload(live, dat_file(8), hop=1, **LOW)
    first = live.open(hop=1, **LOW)
    windows = live.http.post(f"/v1/sessions/{first}/events", content=data[: half + 80]).json()["windows"]
    state = live.http.get(f"/v1/sessions/{first}/state")
    assert int(state.headers["Spikewatch-Position-Us"]) == 4 * 62_500
    live.http.delete(f"/v1/sessions/{first}")
    second = live.open(hop=1, **LOW)
    assert live.http.put(f"/v1/sessions/{second}/state", content=state.content).status_code == 200
    windows += live.http.post(f"/v1/sessions/{second}/events", content=data[half + 80 :]).json()["windows"]
    windows += live.http.delete(f"/v1/sessions/{second}").json()["windows"]
    assert comparable(windows) == comparable(expected)


def test_number_of_tracks_is_bounded_and_the_latest_stay() -> None:
    tracks = Tracks()
    for result in range(8):  # 100 boxes each, all far from those before, within one second
        xywh = np.array([[result * 100 + i, 20 * i, 4, 4] for i in range(100)], np.float32)
        boxes = Detections(xywh, np.ones(100, np.float32), np.zeros(100, np.int64), result * 1000)
        tracks, ids = update_tracks(tracks, boxes)
    assert len(tracks.known) == MAX_TRACKS
    assert tracks.dropped == 100
    assert {track.id for track in tracks.known} == set(range(301, 801)) >= set(ids)
