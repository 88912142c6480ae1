"""Sessions over HTTP, against a real server."""

import threading

import pytest
from safetensors.torch import load, save

from tests.service.support.clock import ManualClock
from tests.service.support.http_client import problem
from tests.service.support.live import (
    FAIL,
    SENSOR,
    Live,
    backwards,
    comparable,
    dat_file,
    dat_stream,
    talk,
    upload,
)
from tests.service.support.shared import SharedServices
from tests.service.support.streams import post

LOW = {"confidence": 0.001}


def feed(live: Live, session_id: str, data: bytes, piece: int) -> list[dict]:
    windows = []
    for start in range(0, len(data), piece):
        answer = post(live, session_id, data[start : start + piece])
        assert answer.status_code == 200, answer.text
        windows += answer.json()["windows"]
    return windows


@pytest.mark.parametrize("piece", [997, 20_000, 1 << 20])
def test_posts_of_any_size_equal_an_upload(live: Live, piece: int) -> None:
    data = dat_file(10)
    expected, summary = upload(live, data, **LOW)
    session_id = live.open(**LOW)
    windows = feed(live, session_id, data, piece)
    rest = live.http.delete(f"/v1/sessions/{session_id}").json()
    assert comparable(windows + rest["windows"]) == comparable(expected)
    assert rest["totals"]["events"] == summary["events"] == 3000
    assert [w["seq"] for w in expected] == [0, 1, 2]
    assert any(w["detections"] for w in expected)


def test_session_info_has_its_parameters(live: Live) -> None:
    session_id = live.open(policy="drop_oldest", slices=2, hop=1)
    info = live.http.get(f"/v1/sessions/{session_id}").json()
    assert info["stream_url"] == f"/v1/sessions/{session_id}/stream"
    assert (info["policy"], info["slices"], info["hop"], info["slice_us"]) == ("drop_oldest", 2, 1, 62_500)
    assert (info["state"], info["training"]) == ("created", "untrained")
    assert session_id in {s["session_id"] for s in live.http.get("/v1/sessions").json()["sessions"]}
    feed(live, session_id, dat_stream(3), 1 << 20)
    info = live.http.get(f"/v1/sessions/{session_id}").json()
    assert info["totals"]["windows"] == 2
    assert info["state"] == "streaming"
    assert info["accepted_bytes"] == 3 * 300 * 8
    assert 0 < info["layer_rates"]["down1"] < 1
    by_layer = info["layer_energy_mj"]
    assert by_layer.keys() == {"encoder", *info["layer_rates"]}
    assert by_layer["encoder"]["snn"] == by_layer["encoder"]["ann"] > 0
    for kind in ("snn", "ann"):
        total = info["totals"]["energy_mj"][kind]
        assert sum(energy[kind] for energy in by_layer.values()) == pytest.approx(total)
    live.http.delete(f"/v1/sessions/{session_id}")
    assert session_id not in {s["session_id"] for s in live.http.get("/v1/sessions").json()["sessions"]}


def test_hop_of_one_gives_a_result_each_slice(live: Live) -> None:
    session_id = live.open(slices=4, hop=1)
    windows = feed(live, session_id, dat_stream(6), 1 << 20)
    assert [(w["t_start_us"], w["t_end_us"], w["events"]) for w in windows] == [
        (max(0, i - 3) * 62_500, (i + 1) * 62_500, 300) for i in range(5)
    ]
    live.http.delete(f"/v1/sessions/{session_id}")


def test_concurrent_sessions_equal_each_alone(live: Live) -> None:
    streams = [dat_stream(9, seed) for seed in range(6)]
    alone = []
    for data in streams:
        session_id = live.open(**LOW)
        alone.append(comparable(feed(live, session_id, data, 1 << 20)))
        live.http.delete(f"/v1/sessions/{session_id}")
    results: dict[int, list[dict]] = {}

    def run(i: int) -> None:
        session_id = live.open(**LOW)
        results[i] = comparable(feed(live, session_id, streams[i], 3001 + 800 * i))
        live.http.delete(f"/v1/sessions/{session_id}")

    before = live.metric('spikewatch_batch_size_bucket{le="1.0"}')
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[i] for i in range(len(streams))] == alone
    batches = live.metric("spikewatch_batch_size_count")
    assert live.metric('spikewatch_batch_size_bucket{le="1.0"}') - before < batches, "nothing was batched"


def test_slot_is_reset_for_its_next_session(services: SharedServices) -> None:
    live = services(max_sessions=1)
    first = comparable(upload(live, dat_file(8), **LOW)[0])
    upload(live, dat_file(3, seed=9))
    assert comparable(upload(live, dat_file(8), **LOW)[0]) == first


def test_state_is_restored_exactly(live: Live) -> None:
    data = dat_stream(12)
    cut = 6 * 300 * 8
    session_id = live.open(**LOW)
    whole = comparable(feed(live, session_id, data, 5000))
    live.http.delete(f"/v1/sessions/{session_id}")

    first, second = live.open(**LOW), live.open(**LOW)
    beyond = cut + 8 * 10 + 3  # ten events and a bit of the next slice
    before = comparable(feed(live, first, data[:beyond], 5000))
    saved = live.http.get(f"/v1/sessions/{first}/state")
    assert int(saved.headers["Spikewatch-Position-Us"]) == 6 * 62_500
    assert int(saved.headers["Spikewatch-Accepted-Bytes"]) == beyond
    restored = live.http.put(f"/v1/sessions/{second}/state", content=saved.content)
    assert restored.json() == {"position_us": 6 * 62_500, "accepted_bytes": beyond, "next_seq": 1}
    after = comparable(feed(live, second, data[beyond:], 5000))
    assert before + after == whole
    one, other = (live.http.delete(f"/v1/sessions/{s}").json() for s in (second, first))
    assert one["totals"]["events"] == 12 * 300
    assert other["totals"]["events"] == 6 * 300 + 10


def test_restored_session_counts_the_gap_since_its_snapshot(live: Live) -> None:
    """Two empty slices after the snapshot are run too."""
    busy, late = dat_stream(4), dat_stream(7)[6 * 300 * 8 :]
    whole, first, second = (live.open(hop=1, **LOW) for _ in range(3))
    expected = comparable(feed(live, whole, busy + late, 1 << 20))
    before = comparable(feed(live, first, busy, 1 << 20))
    live.http.post(f"/v1/sessions/{first}/events", content=late[:8])
    saved = live.http.get(f"/v1/sessions/{first}/state").content
    live.http.delete(f"/v1/sessions/{first}")
    live.http.put(f"/v1/sessions/{second}/state", content=saved).raise_for_status()
    assert len(before) == 3
    assert feed(live, second, late[8:], 1 << 20) == []
    one, other = (live.http.delete(f"/v1/sessions/{s}").json() for s in (whole, second))
    assert comparable(one["windows"]) == comparable(other["windows"])
    assert [w["seq"] for w in expected + one["windows"]] == list(range(7))
    for totals in (one["totals"], other["totals"]):
        assert (totals["windows"], totals["events"]) == (7, 5 * 300)


@pytest.mark.parametrize("spoil", ["bytes", "layer", "geometry", "identity"])
def test_foreign_snapshot_is_rejected_with_the_mismatch(live: Live, spoil: str) -> None:
    session_id, other = live.open(), live.open(slice_us=50_000) if spoil == "identity" else live.open()
    feed(live, session_id, dat_stream(4), 1 << 20)
    data = live.http.get(f"/v1/sessions/{session_id}/state").content
    tensors = load(data)
    if spoil == "bytes":
        data, words = data[:1000], "not a usable snapshot"
    elif spoil == "layer":
        del tensors["state.down1"]
        data, words = save(tensors, _metadata(data)), "down1"
    elif spoil == "geometry":
        tensors["state.down1"] = tensors["state.down1"][:, :1].clone()
        data, words = save(tensors, _metadata(data)), "down1"
    else:
        words = "slice_us is 62500, this session's 50000"
    answer = live.http.put(f"/v1/sessions/{other}/state", content=data)
    assert (answer.status_code, answer.json()["code"]) == (409, "snapshot_mismatch")
    assert words in answer.json()["detail"]
    for one in (session_id, other):
        live.http.delete(f"/v1/sessions/{one}")


def _metadata(data: bytes) -> dict[str, str]:
    import json
    import struct

    header = json.loads(data[8 : 8 + struct.unpack_from("<Q", data)[0]])
    metadata: dict[str, str] = header["__metadata__"]
    return metadata


def test_unknown_session_is_404_and_ended_session_410(live: Live) -> None:
    assert problem(live.http.get("/v1/sessions/none")) == (404, "session_unknown")
    session_id = live.open()
    live.http.delete(f"/v1/sessions/{session_id}")
    answer = post(live, session_id, b"")
    assert problem(answer) == (410, "session_closed")
    assert "client" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("wanted", "detail"),
    [
        ({"width": 10}, "width and height come together"),
        ({"format": "avi"}, "format: Input should be 'dat', 'evt2', 'evt21' or 'evt3'"),
        ({"slice_us": 5}, "slice_us: Input should be greater than or equal to 1000"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
        ({"width": 5000, "height": 10}, "width: Input should be less than or equal to 4096"),
    ],
)
def test_invalid_request_is_explained(live: Live, wanted: dict, detail: str) -> None:
    answer = live.http.post("/v1/sessions", json=wanted)
    assert problem(answer) == (422, "invalid_request")
    assert detail in answer.json()["detail"]


def test_oversized_request_is_rejected(live: Live) -> None:
    answer = live.http.post(
        "/v1/sessions", content=b" " * 100_000, headers={"Content-Type": "application/json"}
    )
    assert problem(answer) == (413, "too_large")


def test_unknown_model_is_rejected(live: Live) -> None:
    answer = live.http.post("/v1/sessions", json=SENSOR | {"weights": "gpt"})
    assert problem(answer) == (404, "model_unknown")


def test_bad_bytes_end_the_session_after_earlier_windows(live: Live) -> None:
    session_id = live.open(**FAIL)
    answer = post(live, session_id, backwards(20))
    assert problem(answer) == (422, "time_order")
    assert [window["events"] for window in answer.json()["windows"]] == [1200] * 4 + [900]
    assert problem(post(live, session_id, b"")) == (410, "session_closed")


def test_camera_that_restarts_is_a_counted_discontinuity(live: Live) -> None:
    data = backwards(20) + dat_stream(12, seed=1)
    expected, summary = upload(live, dat_file(0) + data)
    before = live.metric("spikewatch_discontinuities_total")
    for piece in (len(data), 999):
        session_id = live.open()
        windows = feed(live, session_id, data, piece)
        answer = live.http.delete(f"/v1/sessions/{session_id}").json()
        assert comparable(windows + answer["windows"]) == comparable(expected)
        totals = answer["totals"]
        assert (totals["discontinuities"], totals["warnings"]) == (summary["discontinuities"], []) == (1, [])
        assert totals["events"] == 32 * 300 + 2
    assert live.metric("spikewatch_discontinuities_total") - before == 2
    assert all((window["t_start_us"]) % 62_500 == 0 for window in expected)
    assert min(window["t_start_us"] for window in expected[5:]) == 0


def test_totals_count_jumps_before_a_reset(live: Live) -> None:
    socket = live.connect(live.open())
    for payload in (backwards(20), "reset", dat_stream(2), "close"):
        socket.send(payload)
    assert talk(socket)[-1]["totals"]["discontinuities"] == 1


def test_stream_that_is_mostly_off_the_sensor_is_warned_about(live: Live) -> None:
    session_id = live.open(width=10, height=10)
    feed(live, session_id, dat_stream(8), 4096)
    (warning,) = live.http.get(f"/v1/sessions/{session_id}").json()["totals"]["warnings"]
    assert "outside_sensor" in warning
    assert warning.endswith("check the sensor size")


def test_events_without_sensor_size_are_rejected(live: Live) -> None:
    answer = live.http.post("/v1/sessions", json={})
    answer = post(live, answer.json()["session_id"], dat_stream(1))
    assert problem(answer) == (422, "bad_geometry")


def test_session_beyond_the_last_slot_is_rejected(services: SharedServices) -> None:
    live = services(max_sessions=2)
    refused = live.rise('spikewatch_refused_total{code="sessions_full"}')
    first = live.open()
    live.open()
    answer = live.http.post("/v1/sessions", json=SENSOR)
    assert problem(answer) == (503, "sessions_full")
    assert int(answer.headers["Retry-After"]) > 0
    assert problem(live.http.post("/v1/detections", content=dat_file(1))) == (503, "sessions_full")
    live.http.delete(f"/v1/sessions/{first}")
    live.open()
    assert refused() == 2


def test_post_over_its_limits_is_rejected(services: SharedServices) -> None:
    live = services(max_body_bytes=50_000, max_windows_per_post=3)
    session_id = live.open()
    assert problem(post(live, session_id, bytes(50_001))) == (413, "too_large")
    assert post(live, session_id, dat_stream(4)).status_code == 200, "a refused body costs nothing"
    session_id = live.open(hop=1)
    answer = post(live, session_id, dat_stream(8))
    assert problem(answer) == (413, "too_large")
    assert "more than 3 windows" in answer.json()["detail"]
    assert problem(post(live, session_id, b"")) == (410, "session_closed")


def test_idle_session_is_closed_and_its_reason_kept(services: SharedServices) -> None:
    clock = ManualClock()
    live = services(clock=clock, idle_timeout_s=60)
    session_id, ended = live.open(), live.rise('spikewatch_sessions_ended_total{reason="idle_timeout"}')
    clock.advance_until(lambda: session_id not in live.manager.sessions)
    answer = live.http.get(f"/v1/sessions/{session_id}")
    assert problem(answer) == (410, "session_closed")
    assert "idle_timeout" in answer.json()["detail"]
    assert ended() == 1
