"""Uploads whose client goes, reads from the middle on or comes back late: nothing is lost."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.service.support.http_client import problem
from tests.service.support.live import Live, comparable, dat_file, dat_stream, upload
from tests.service.support.shared import SharedServices
from tests.service.support.uploads import look
from tests.service.support.waiting import until
from tests.support import slow_after

EVERY = {"hop": 1, "confidence": 1}
LITTLE = 4096
"""Bytes of results that may wait; a window has some 300."""


@contextmanager
def sending(live: Live, data: bytes, announced: int | None = None, **query: Any) -> Iterator[socket.socket]:
    """A connection over which an upload was sent, and no answer read."""
    asked = "&".join(f"{name}={value}" for name, value in (EVERY | query).items())
    length = len(data) if announced is None else announced
    head = f"POST /v1/detections?{asked} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port), timeout=240) as raw:
        raw.sendall(head.encode() + data)
        yield raw


@pytest.mark.parametrize("comers", slow_after(1, [0, 1]))
def test_results_sent_to_disconnected_client_stay_unread(services: SharedServices, comers: int) -> None:
    """Of the client that brought the bytes, or of one that came back for the results: they are held back."""
    data = dat_file(200)
    live = services()
    expected, _ = upload(live, data, **EVERY)
    limits = {"max_pending_result_bytes": LITTLE, "idle_timeout_s": 2, "inbox_slices": 200}
    live = services(**limits)
    with sending(live, data, job_id="j"):
        until(lambda: look(live, "j").get("accepted_bytes") == len(data))
    for _ in range(comers):
        with sending(live, b"", job_id="j", offset=len(data), seq=look(live, "j")["oldest_seq"]) as raw:
            raw.recv(64)
    until(lambda: look(live, "j")["state"] in ("done", "failed"))
    job = look(live, "j")
    assert job["state"] == "failed", "nobody has read, so it could not run on"
    *windows, _ = live.http.get(
        "/v1/detections/j/results", params={"seq": job["oldest_seq"]}
    ).text.splitlines()
    assert (
        comparable([json.loads(line) for line in windows])
        == (comparable(expected)[job["oldest_seq"] : job["windows"]])
    )


def test_upload_with_seq_is_not_held_back_by_earlier_results(services: SharedServices) -> None:
    live = services(max_pending_result_bytes=LITTLE)
    query = {**EVERY, "job_id": "j", "seq": 30}
    answer = live.http.post("/v1/detections", content=dat_file(60), params=query)
    *windows, last = (json.loads(line) for line in answer.text.splitlines())
    assert [window["seq"] for window in windows] == list(range(30, 60))
    assert last["summary"]["windows"] == 60


def test_unread_upload_times_out(services: SharedServices) -> None:
    """Also where few results are left to be run, and makes room for the next."""
    limits = {"max_pending_result_bytes": LITTLE, "idle_timeout_s": 1.5, "max_uploads": 1}
    live = services(**limits)
    with sending(live, dat_file(40), job_id="j"):
        pass
    until(lambda: look(live, "j").get("state") == "failed")
    assert look(live, "j")["windows"] < 40
    assert upload(live, dat_file(2))[1]["windows"] == 1
    *windows, last = live.http.get("/v1/detections/j/results").text.splitlines()
    assert windows
    assert "error" in json.loads(last)


def test_waiting_upload_ends_with_its_session_only(services: SharedServices) -> None:
    """Its session is ended while it hangs; another gets the id, and keeps it and its membranes."""
    data, stream = dat_file(12), dat_stream(8)
    live = services(idle_timeout_s=1.5)
    expected = live.http.post(f"/v1/sessions/{live.open(**EVERY)}/events", content=stream).json()
    with sending(live, data[: len(data) // 2], announced=len(data), job_id="j", format="dat"):
        until(lambda: look(live, "j").get("windows", 0) > 0)
        (upload_session,) = [s for s in live.manager.sessions.values() if not s.durable]
        until(lambda: upload_session.close_error is not None)
        session_id = live.open(session_id=upload_session.id, **EVERY)
        slot = live.manager.get(session_id).slot
        until(lambda: look(live, "j")["state"] == "failed")
        assert live.http.get(f"/v1/sessions/{session_id}").status_code == 200
        other = live.manager.get(live.open(**EVERY))
        assert other.slot != slot
        found = live.http.post(f"/v1/sessions/{session_id}/events", content=stream).json()
    assert comparable(found["windows"]) == comparable(expected["windows"])


def test_watched_upload_cancelled_early_leaves_no_session(services: SharedServices) -> None:
    live = services(max_sessions=1)
    with sending(live, dat_file(6), watched_as="0" * 32):
        until(lambda: bool(live.manager.sessions))
    until(lambda: not live.manager.sessions)
    assert upload(live, dat_file(2))[1]["windows"] == 1


def test_upload_cancelled_before_its_task_runs_is_answered(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DELETE may be served in the same turn of the event loop; its upload's task then never runs."""
    jobs = live.registry
    begin = jobs.create

    def begin_and_end(*of: Any) -> Any:
        upload = begin(*of)
        upload._task.cancel()
        return upload

    monkeypatch.setattr(jobs, "create", begin_and_end)
    answer = live.http.post("/v1/detections", params={"job_id": "early"}, content=dat_file(1), timeout=240)
    assert problem(answer) == (499, "client_gone")
    assert live.http.get("/v1/detections/early").json()["state"] == "failed"
    live.http.delete("/v1/detections/early")
