"""Saved states that clients fetch and send: as large as their session can be, few at once, for so long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.snapshots.validation import RESULT_BYTES, TEXT_BYTES, max_snapshot_bytes
from tests.service.support.http_client import met_metric, problem
from tests.service.support.live import Live, comparable, dat_stream, upload
from tests.service.support.shared import SharedServices
from tests.service.support.snapshots import resume, service
from tests.service.support.sockets import code_of, raw, rest, send_through_small_buffers
from tests.service.support.streams import left, post
from tests.service.support.uploads import as_hdf5
from tests.service.support.waiting import until

LIMIT_S = 1.0


@pytest.fixture
def narrow(services: SharedServices) -> Live:
    """One state at a time."""
    limits = {"max_states": 1, "state_timeout_s": LIMIT_S, "header_timeout_s": 0.5, "outbox_windows": 4}
    live = services(**limits)
    send_through_small_buffers(live)
    return live


def test_full_session_fits_into_the_state_limit(services: SharedServices) -> None:
    """As many boxes in as many results as there may be, of nearly the longest numbers."""
    live = services(outbox_windows=8, max_windows_per_post=8)
    session_id = live.open(slices=4, hop=1, confidence=0.0, iou=1.0, track=True)
    session = live.manager.get(session_id)
    windows = post(live, session_id, dat_stream(9)).json()["windows"]
    assert {len(window["detections"]) for window in windows} == {100}
    state = live.http.get(f"/v1/sessions/{session_id}/state").content
    limit, results = max_snapshot_bytes(session), 8 * RESULT_BYTES
    assert len(state) < limit - TEXT_BYTES - results, "8 results are kept, 8 more could wait"
    assert len(state) > limit - TEXT_BYTES - 2 * results
    assert live.http.put(f"/v1/sessions/{session_id}/state", content=state).status_code == 200
    answer = live.http.put(f"/v1/sessions/{session_id}/state", content=bytes(limit + 1))
    assert problem(answer) == (413, "too_large")
    assert str(limit) in answer.json()["detail"]


def test_unread_state_holds_its_slot_until_timeout(narrow: Live) -> None:
    session_id, unread = narrow.open(), narrow.rise(met_metric("unread_answer"))
    refused_states = narrow.rise('spikewatch_refused_total{code="states_full"}')
    post(narrow, session_id, dat_stream(2))
    path = f"/v1/sessions/{session_id}/state"
    with raw(narrow, small_buffer=True) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        states = narrow.transfers
        until(lambda: states.used == 1)
        begun_s = time.monotonic()
        for method in ("GET", "PUT"):
            refused = narrow.http.request(method, path, content=b"x")
            assert problem(refused) == (503, "states_full")
            assert "Retry-After" in refused.headers
        until(lambda: states.used == 0)
        assert time.monotonic() - begun_s < LIMIT_S + 15
        assert unread() == 1
    state = narrow.http.get(path)
    assert int(state.headers["Content-Length"]) == len(state.content)
    assert narrow.http.put(path, content=state.content).status_code == 200
    assert refused_states() == 2


def test_slow_state_upload_times_out(narrow: Live) -> None:
    session_id = narrow.open()
    head = f"PUT /v1/sessions/{session_id}/state HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
    with raw(narrow, head.encode() + bytes(100)) as client:
        assert code_of(rest(client)) == (408, "too_slow")
    assert narrow.transfers.used == 0
    assert post(narrow, session_id, dat_stream(1)).status_code == 200


def test_stalled_session_holds_no_transfer_slot(narrow: Live) -> None:
    """Their results are not read, so what they accepted is not run: they are told, and others served."""
    stuck = threading.Event()
    narrow.model.submit(lambda _: stuck.wait(120))
    stalled, good = left(narrow, 8, hop=1), narrow.open()
    stuck.set()
    until(lambda: narrow.manager.get(stalled).outbox.full)
    for method in ("GET", "PUT"):
        answers: list[tuple[int, str]] = []
        path = f"/v1/sessions/{stalled}/state"
        waiting = threading.Thread(
            target=lambda m=method, p=path, a=answers: a.append(problem(narrow.http.request(m, p)))
        )
        waiting.start()
        time.sleep(0.3)
        assert narrow.http.get(f"/v1/sessions/{good}/state").status_code == 200
        waiting.join()
        assert answers == [(503, "snapshot_failed")]
    assert len(post(narrow, stalled, b"").json()["windows"]) == 7


def test_state_request_leaves_file_upload_unchanged(services: SharedServices, tmp_path: Path) -> None:
    live = services(inbox_slices=4)
    with ThreadPoolExecutor() as others:
        data = as_hdf5(tmp_path, 80)
        expected, _ = upload(live, data, hop=1)
        again = others.submit(upload, live, data, hop=1)
        refusals = set()
        while not again.done():
            for session_id in list(live.manager.sessions):
                refusals.add(live.http.get(f"/v1/sessions/{session_id}/state").status_code)
            time.sleep(0.02)
        assert comparable(again.result()[0]) == comparable(expected)
        assert 400 in refusals


def test_session_being_resumed_is_shown_only_as_it_was_saved(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        post(live, live.open(session_id="cam"), dat_stream(2))
        live.http.post("/v1/sessions/cam/snapshot").raise_for_status()
    with service(detector, tmp_path) as live, ThreadPoolExecutor() as others:
        held = threading.Event()
        live.model.submit(lambda _engine: held.wait(120))
        resumed = others.submit(resume, live, "cam")
        until(lambda: "cam" in live.manager.sessions)
        asked = others.submit(live.http.get, "/v1/sessions/cam")
        assert live.http.get("/v1/sessions").json()["sessions"] == []
        assert not asked.done()
        held.set()
        assert resumed.result()["accepted_bytes"] == asked.result().json()["accepted_bytes"] == 4800
        assert len(live.http.get("/v1/sessions").json()["sessions"]) == 1
