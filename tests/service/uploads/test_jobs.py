"""Uploads that outlive their connection: looked up, read again, continued, forgotten."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.errors import ResultsExpired
from spikewatch.service.sessions.resume import ReplayLog
from spikewatch.service.settings import Settings
from spikewatch.service.uploads.body import UploadBody
from spikewatch.service.uploads.upload import ResultLine
from tests.service.support.clock import ManualClock
from tests.service.support.http_client import problem
from tests.service.support.live import Live, comparable, dat_file, live_service, upload
from tests.service.support.shared import SharedServices
from tests.service.support.streams import LOW
from tests.service.support.uploads import as_hdf5, broken_off, job_at, lines, look, send
from tests.service.support.waiting import until

DROPPED = 'spikewatch_jobs_dropped_total{{reason="{}"}}'


def test_upload_can_be_looked_up_and_read_again(live: Live) -> None:
    answer = send(live, dat_file(6))
    windows, last = lines(answer)
    where = answer.headers["location"]
    info = live.http.get(where).json()
    assert (info["state"], info["windows"], info["oldest_seq"]) == ("done", 6, 0)
    assert (info["accepted_bytes"], info["error"]) == (len(dat_file(6)), None)
    assert info["summary"] == last["summary"]
    assert lines(live.http.get(f"{where}/results")) == (windows, last)
    assert lines(live.http.get(f"{where}/results", params={"seq": 4})) == (windows[4:], last)
    assert live.http.delete(where).status_code == 204
    assert problem(live.http.get(where)) == (404, "job_unknown")


@pytest.mark.parametrize("format", ["dat", "hdf5"])
def test_broken_upload_resumes_at_offset(live: Live, tmp_path: Path, format: str) -> None:
    """Broken in the header, and again in the middle of a record; one session, each result once."""
    data = as_hdf5(tmp_path, 20) if format == "hdf5" else dat_file(20)
    expected, summary = upload(live, data, **LOW)
    total, cuts = len(data), (40, len(data) // 2 + 3)
    broken_off(live, format, data[: cuts[0]], total)
    assert look(live, format)["state"] == "waiting"
    broken_off(live, format, data[cuts[0] : cuts[1]], total - cuts[0], offset=cuts[0], length=total)
    info = look(live, format)
    assert (info["state"], info["accepted_bytes"], info["length"]) == ("waiting", cuts[1], total)
    wrong = send(live, data[cuts[0] :], job_id=format, offset=cuts[0], length=total)
    assert problem(wrong) == (409, "wrong_offset")
    assert wrong.json()["expected_offset"] == cuts[1]
    windows, last = lines(send(live, data[cuts[1] :], job_id=format, offset=cuts[1], length=total))
    assert comparable(windows) == comparable(expected)
    assert last["summary"] == summary
    again, _ = lines(send(live, b"", job_id=format, offset=total, seq=7))
    assert again == windows[7:]
    live.http.delete(f"/v1/detections/{format}")


def test_upload_in_parts_gives_each_result_once(live: Live) -> None:
    """Whole requests that each bring a part; the answers have each result once."""
    data, got = dat_file(12), []
    expected, summary = upload(live, data, **LOW)
    for start in range(0, len(data), 6000):
        part = data[start : start + 6000]
        answer = send(live, part, job_id="parts", offset=start, length=len(data), seq=len(got))
        windows, last = lines(answer)
        got += windows
        if start + 6000 < len(data):
            assert last == {"accepted_bytes": start + 6000}
    assert last["summary"] == summary
    assert comparable(got) == comparable(expected)
    live.http.delete("/v1/detections/parts")


def test_new_request_replaces_hanging_one(live: Live) -> None:
    """Its connection has broken without the service noticing."""
    data = dat_file(10)
    expected, _ = upload(live, data, **LOW)
    asked = "job_id=hangs&confidence=0.001&hop=1&format=dat"
    head = f"POST /v1/detections?{asked} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1]))) as raw:
        raw.sendall(head.encode() + data[:9000])
        until(lambda: job_at(live, "hangs") == 9000)
        windows, _ = lines(send(live, data[9000:], job_id="hangs", offset=9000, format="dat"))
        assert comparable(windows) == comparable(expected)
        raw.settimeout(20)
        received = b""
        while b"\r\n0\r\n" not in received:
            received += raw.recv(65536)
        assert b"summary" not in received
    live.http.delete("/v1/detections/hangs")


def test_request_hanging_before_first_result_is_released(live: Live, tmp_path: Path) -> None:
    """At once, not when a result comes."""
    data, at = as_hdf5(tmp_path, 20), ("127.0.0.1", live.port)
    head = "POST /v1/detections?job_id=hangs{} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
    with socket.create_connection(at) as raw, socket.create_connection(at) as other:
        raw.sendall(head.format("", len(data)).encode() + data[:1000])
        until(lambda: job_at(live, "hangs") == 1000)
        other.sendall(head.format("&offset=1000", len(data) - 1000).encode())
        raw.settimeout(20)
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")
    live.http.delete("/v1/detections/hangs")


def test_upload_resumed_with_other_query_is_rejected(live: Live) -> None:
    data = dat_file(3)
    assert problem(send(live, data, offset=5)) == (422, "invalid_request")
    assert problem(send(live, data, job_id="a/b")) == (422, "invalid_request")
    assert problem(send(live, data, job_id="never", offset=5)) == (404, "job_unknown")
    send(live, data, job_id="j")
    for other in ({"iou": 0.9}, {"length": 5}):
        answer = send(live, b"", job_id="j", offset=len(data), **other)
        assert problem(answer) == (400, "bad_request")
    assert problem(send(live, data, job_id="j")) == (409, "wrong_offset")
    live.http.delete("/v1/detections/j")
    too_much = send(live, data, job_id="k", length=50)
    assert problem(too_much) == (400, "bad_request")
    assert look(live, "k")["state"] == "failed"
    assert look(live, "k")["error"]["code"] == "bad_request"
    assert live.http.get("/v1/sessions").json()["sessions"] == []
    live.http.delete("/v1/detections/k")


def test_upload_that_is_not_resumed_times_out(services: SharedServices) -> None:
    clock = ManualClock()
    live = services(clock=clock, idle_timeout_s=60, max_sessions=1)
    data = dat_file(8)
    broken_off(live, "gone", data[:15_000], len(data), format="dat")
    assert look(live, "gone")["state"] == "waiting"
    clock.advance_until(lambda: look(live, "gone")["state"] == "failed")
    assert look(live, "gone")["error"]["code"] in ("too_slow", "session_closed")
    assert len(lines(live.http.get("/v1/detections/gone/results"))[0]) > 0, "what there was is kept"
    assert live.http.get("/v1/sessions").json()["sessions"] == []
    assert upload(live, data)[1]["windows"] == 2


def test_shutdown_does_not_wait_for_incomplete_upload(detector: Detector) -> None:
    with live_service(detector, drain_timeout_s=120) as live:
        data = dat_file(8)
        broken_off(live, "rest", data[:9000], len(data))
        begun_s = time.monotonic()
        live.stop()
        assert time.monotonic() - begun_s < 60


def test_ended_uploads_are_evicted_beyond_limits(services: SharedServices) -> None:
    clock = ManualClock()
    live = services(clock=clock, jobs_max_count=2, jobs_keep_s=60)
    evicted, expired = live.rise(DROPPED.format("count")), live.rise(DROPPED.format("expired"))
    for job_id in "abc":
        send(live, dat_file(2), job_id=job_id)
    assert [live.http.get(f"/v1/detections/{x}").status_code for x in "abc"] == [404, 200, 200]
    assert evicted() == 1
    clock.advance(59)
    assert live.http.get("/v1/detections/c").status_code == 200
    clock.advance(2)
    assert live.http.get("/v1/detections/c").status_code == 404
    assert expired() == 2
    assert live.metric("spikewatch_jobs") == 0
    data = dat_file(2)
    for job_id in "de":
        broken_off(live, job_id, data[:100], len(data))
    assert problem(send(live, data)) == (503, "jobs_full")
    live = services(jobs_max_bytes=4000)
    evicted = live.rise(DROPPED.format("bytes"))
    for job_id in "ab":
        send(live, dat_file(8), job_id=job_id)
    assert live.http.get("/v1/detections/a").status_code == 404
    assert evicted() >= 1


class FakeRequest:
    """A request all of whose body is there."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def stream(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def test_chunks_read_ahead_of_replaced_request_are_discarded() -> None:
    """The other request was told an offset; nothing may be added to it from here on."""

    async def taken() -> list[bytes]:
        parts = {"clock": time.monotonic, "draining": False, "stopped": asyncio.Event()}
        host: Any = SimpleNamespace(settings=Settings(), **parts)
        body = UploadBody(host, True, 6, lambda: None, lambda: None)
        first: Any = FakeRequest(b"ab", b"cd", b"ef")
        other: Any = FakeRequest(b"CD", b"EF")
        body.attach(first)
        chunks = body.chunks()
        got = [await anext(chunks)]
        for _ in range(5):
            await asyncio.sleep(0)  # the next chunk is fetched ahead
        assert body.accepted_bytes == 2
        body.attach(other)
        got += [chunk async for chunk in chunks]
        assert (body.complete, body.awaiting_request) == (True, False)
        return got

    assert asyncio.run(taken()) == [b"ab", b"CD", b"EF"]


def test_replay_log_evicts_delivered_lines_only() -> None:
    log: ReplayLog[ResultLine] = ReplayLog(10, size_of=lambda line: len(line.text))
    for i in range(4):
        log.append(ResultLine(i, b"%d" % i * 4))
    assert (log.full, log.oldest_seq, log.next_seq, log.size) == (True, 0, 4, 16)
    assert log.read(0).text == b"0000"
    assert (log.full, log.oldest_seq, log.pending_size) == (True, 1, 12)
    assert log.read(1).text == b"1111"
    assert (log.full, log.oldest_seq, log.size) == (False, 2, 8)
    with pytest.raises(ResultsExpired, match="before 2"):
        log.read(0)
    assert log.read(2).text == log.read(2).text == b"2222"
    assert log.next_seq == 4


def test_replay_log_rewinds_to_delivered_results() -> None:
    log: ReplayLog[ResultLine] = ReplayLog(3)
    for i in range(5):
        log.append(ResultLine(i, b""))
        log.mark_delivered(i + 1)
    with pytest.raises(ResultsExpired, match="before 2"):
        log.rewind(1)
    log.rewind(3)
    assert ([line.seq for line in log.delivered], [line.seq for line in log.pending]) == ([2], [3, 4])
    log.rewind(6)
    for i in range(5, 7):
        log.append(ResultLine(i, b""))
    assert ([line.seq for line in log.delivered], [line.seq for line in log.pending]) == ([4, 5], [6])
    log.drop_oldest_pending()
    assert (log.size, log.pending_size, log.next_seq) == (2, 0, 7)


def test_late_reader_holds_upload_back(services: SharedServices) -> None:
    """Nobody reads the answer; the results wait, and are all there in the end."""
    live = services(max_pending_result_bytes=2000, outbox_windows=2)
    data = dat_file(30)
    expected, _ = upload(live, data, **LOW)
    broken_off(live, "late", data[:100], len(data))
    asked: dict = LOW | {"job_id": "late", "offset": 100}

    def body() -> Iterator[bytes]:
        yield data[100:]

    got: list[dict] = []
    with live.http.stream("POST", "/v1/detections", content=body(), params=asked) as answer:
        threading.Event().wait(1.0)
        got += map(json.loads, answer.iter_lines())
    assert comparable(got[:-1]) == comparable(expected)
    info = look(live, "late")
    assert info["oldest_seq"] > 0
    gone = live.http.get("/v1/detections/late/results", params={"seq": 0})
    assert problem(gone) == (410, "results_gone")
    assert gone.json()["oldest_seq"] == info["oldest_seq"]
