"""Whole recordings to POST /v1/detections, against a real server."""

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.inference.sources import RecordingSource
from tests.service.support.clock import ManualClock
from tests.service.support.http_client import met_metric, problem
from tests.service.support.live import (
    FAIL,
    HEIGHT,
    WIDTH,
    Live,
    backwards,
    comparable,
    dat_file,
    dat_stream,
    upload,
)
from tests.service.support.shared import SharedServices
from tests.service.support.sockets import raw, send_through_small_buffers
from tests.service.support.uploads import as_hdf5
from tests.service.support.waiting import until

LOW = {"confidence": 0.001}


def test_summary_has_totals_and_training_status(live: Live) -> None:
    windows, summary = upload(live, dat_file(10))
    assert (summary["format"], summary["width"], summary["height"]) == ("dat", WIDTH, HEIGHT)
    assert (summary["windows"], summary["events"]) == (3, 3000)
    assert sum(w["events"] for w in windows) == 3000
    assert (summary["t_start_us"], summary["t_end_us"]) == (0, 625_000)
    assert summary["training"] == "untrained"
    assert {w["training"] for w in windows} == {"untrained"}
    assert summary["energy_mj"]["snn"] == pytest.approx(sum(w["energy_mj"]["snn"] for w in windows))
    assert 0 < summary["energy_mj"]["snn"] < summary["energy_mj"]["ann"]


def test_headerless_upload_requires_a_format(live: Live) -> None:
    answer = live.http.post("/v1/detections", content=dat_stream(4))
    assert problem(answer) == (422, "unsupported_format")
    query = {"format": "dat", "width": WIDTH, "height": HEIGHT}
    assert comparable(upload(live, dat_stream(4), **query)[0]) == comparable(upload(live, dat_file(4))[0])


def test_hdf5_upload_gives_the_results_of_dat(live: Live, tmp_path: Path) -> None:
    windows, summary = upload(live, as_hdf5(tmp_path, 8), **LOW)
    assert summary["format"].startswith("hdf5")
    assert comparable(windows) == comparable(upload(live, dat_file(8), **LOW)[0])


def test_upload_that_waits_for_its_file_is_not_idle(
    services: SharedServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has sent everything; reading takes longer than a client may be silent."""
    parts, clock = RecordingSource.parts, ManualClock()
    live = services(clock=clock, idle_timeout_s=60)

    def slow_parts(source: RecordingSource) -> Iterator[Slice | None]:
        (session,) = live.manager.sessions.values()
        for _ in range(3):
            clock.advance(50)
            until(lambda: session.activity.idle_s == 0)
        yield from parts(source)

    monkeypatch.setattr(RecordingSource, "parts", slow_parts)
    windows, summary = upload(live, as_hdf5(tmp_path, 8), **LOW)
    assert summary["windows"] == len(windows) == 2


def test_results_arrive_during_upload(live: Live) -> None:
    """The first windows arrive before the last bytes are sent."""
    data = dat_file(64, per_slice=800)
    half = len(data) // 2
    with socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1])), timeout=240) as raw:
        head = f"POST /v1/detections HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        raw.sendall(head.encode() + data[:half])
        received = b""
        while b'"seq":5' not in received:
            received += raw.recv(65536)
        assert received.startswith(b"HTTP/1.1 200")
        raw.sendall(data[half:])
        while b'"summary"' not in received:
            received += raw.recv(65536)


def test_upload_without_usable_events_is_rejected(live: Live) -> None:
    for data, query in (
        (dat_file(0), {}),
        (dat_stream(1)[:8] * 9, {"width": 1, "height": 1, "format": "dat"}),
    ):
        answer = live.http.post("/v1/detections", content=data, params=query)
        assert (answer.status_code, answer.json()["code"]) == (422, "no_events")


def test_error_after_first_line_is_last_line(live: Live) -> None:
    data = dat_file(0) + backwards(24)
    answer = live.http.post("/v1/detections", content=data, params=FAIL)
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["error"]["code"] == "time_order"
    assert [line["events"] for line in lines[:-1]] == [1200] * 5 + [900], "the window under way is cut short"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unsupported_format"),
        (b"hello, this is no recording", "unsupported_format"),
        (b"% Data file", "truncated"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "unsupported_format"),
        (b"PK\x03\x04" + bytes(50), "unsupported_format"),
        (b"t,x,y,p\n1,2,3,1\n", "unsupported_format"),
    ],
)
def test_invalid_upload_gets_a_problem(live: Live, data: bytes, code: str) -> None:
    answer = live.http.post("/v1/detections", content=data)
    status, found = problem(answer)
    assert status == 422
    assert found in (code, "truncated", "bad_recording"), answer.text
    assert "Traceback" not in answer.text


def test_invalid_query_is_rejected(live: Live) -> None:
    answer = live.http.post("/v1/detections", content=b"", params={"confidence": 2})
    assert problem(answer) == (422, "invalid_request")
    assert problem(live.http.post("/v1/detections", params={"color": 1})) == (422, "invalid_request")


def test_upload_beyond_size_limit_is_rejected(services: SharedServices) -> None:
    def endless() -> Iterator[bytes]:
        yield dat_file(1)
        for _ in range(100):
            yield b"\x00" * 4096

    live = services(max_upload_bytes=50_000)
    try:
        answer = live.http.post("/v1/detections", content=endless())
    except httpx.TransportError:
        pass
    else:
        assert "too_large" in answer.text
    assert live.http.get("/v1/sessions").json()["sessions"] == []


def test_disconnect_frees_session_slot(services: SharedServices) -> None:
    live = services(max_sessions=1)
    port = int(live.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"POST /v1/detections HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n")
        raw.sendall(dat_file(300)[:70_000])
        until(lambda: bool(live.manager.sessions))
    until(lambda: not live.manager.sessions)
    assert upload(live, dat_file(1))[1]["windows"] == 1


def hdf5_bytes(path: Path, **columns: object) -> bytes:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[f"events/{name}"] = values
    return path.read_bytes()


def test_failed_upload_keeps_no_frames_or_tasks(live: Live) -> None:
    """Its error is kept for as long as its job; the frames that it came from, and all they hold, are not."""

    def body() -> Iterator[bytes]:
        yield dat_file(0) + backwards(20)
        time.sleep(0.3)
        yield bytes(8)

    answer = live.http.post("/v1/detections", content=body(), params=FAIL | {"job_id": "bad"})
    assert "time_order" in answer.text
    job = live.registry.get("bad")
    failure = job._failure
    assert (failure.__traceback__, failure.__context__, failure.__cause__) == (None, None, None)
    until(lambda: not [x for x in asyncio.all_tasks(live.manager._loop) if "uploads/body" in repr(x)])


def test_errors_do_not_contain_spool_path(live: Live, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    whole = hdf5_bytes(tmp_path / "r.h5", t=np.arange(9), x=[1] * 9, y=[1] * 9, p=[1] * 9)
    for data in (whole, whole[:-50], whole[:600], b"#!AER-DAT4.0\r\n" + bytes(99), b"\x89HDF\r\n\x1a\n"):
        answer = live.http.post("/v1/detections", content=data)
        assert answer.status_code == 422, answer.text
        assert str(tmp_path) not in answer.text
        assert "upload" in answer.text
    assert live.registry.spool.used_bytes == 0
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


def test_upload_larger_than_spool_is_rejected(services: SharedServices, tmp_path: Path) -> None:
    data = hdf5_bytes(tmp_path / "r.h5", t=np.arange(5000), x=[1] * 5000, y=[1] * 5000, p=[1] * 5000)
    live = services(max_spool_bytes=len(data) - 1)
    refused = live.rise('spikewatch_refused_total{code="spool_full"}')
    answer = live.http.post("/v1/detections", content=data, params={"width": 9, "height": 9})
    assert problem(answer) == (503, "spool_full")
    assert int(answer.headers["Retry-After"]) > 0
    assert live.registry.spool.used_bytes == 0
    assert refused() == 1


def test_upload_with_unread_results_is_held_back(services: SharedServices) -> None:
    live = services(max_pending_result_bytes=2000)
    unread = live.rise(met_metric("unread_upload"))
    send_through_small_buffers(live)
    data, query = dat_file(30), "hop=1&confidence=0&iou=1"
    head = f"POST /v1/detections?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    with raw(live, head.encode() + data, small_buffer=True) as client:
        until(lambda: unread() > 0)
        received = b""
        while b'"summary"' not in received:
            received += client.recv(65536)
    assert received.count(b'"seq"') == 30
