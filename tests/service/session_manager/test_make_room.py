"""Sessions whose client left in the middle of a request make room for others once no slot is free."""

import socket
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.session_manager import idle
from tests.service.support.http_client import problem
from tests.service.support.live import Live, dat_stream, live_service
from tests.service.support.waiting import until


def leave(live: Live, session_id: str) -> None:
    """Send half of a POST of events, then close the connection; return once the service has noticed."""
    before = live.metric('spikewatch_refused_total{code="client_gone"}')
    with socket.create_connection(("127.0.0.1", live.port)) as raw:
        head = f"POST /v1/sessions/{session_id}/events HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n"
        raw.sendall(head.encode() + bytes(8))
    until(lambda: live.metric('spikewatch_refused_total{code="client_gone"}') > before)


def test_left_session_makes_room(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was left first; sessions whose clients finished their requests are kept."""
    monkeypatch.setattr(idle, "ABANDONED_AFTER_S", 0.0)
    with live_service(detector, max_sessions=3) as live:
        kept, first, second = live.open(), live.open(), live.open()
        for session_id in (first, second):
            leave(live, session_id)
        live.open()
        gone = live.http.get(f"/v1/sessions/{first}")
        assert (problem(gone), gone.json()["reason"]) == ((410, "session_closed"), "abandoned")
        assert live.http.get(f"/v1/sessions/{second}").status_code == 200
        assert live.metric('spikewatch_sessions_ended_total{reason="abandoned"}') == 1
        live.http.post(f"/v1/sessions/{second}/events", content=dat_stream(1))
        refused = live.http.post("/v1/sessions", json={})
        assert problem(refused) == (503, "sessions_full"), "its client has come back"
        assert live.http.get(f"/v1/sessions/{kept}").status_code == 200


def test_upload_takes_the_slot_of_left_session(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "ABANDONED_AFTER_S", 0.0)
    with live_service(detector, max_sessions=1) as live:
        leave(live, live.open())
        answer = live.http.post(
            "/v1/detections", content=dat_stream(2), params={"format": "dat", "width": 64, "height": 64}
        )
        assert answer.status_code == 200


def test_client_that_left_has_time_to_come_back(detector: Detector) -> None:
    with live_service(detector, max_sessions=1) as live:
        session_id = live.open()
        leave(live, session_id)
        assert problem(live.http.post("/v1/sessions", json={})) == (503, "sessions_full")
        assert live.http.get(f"/v1/sessions/{session_id}").status_code == 200


def test_left_session_is_saved_before_it_ends(
    detector: Detector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(idle, "ABANDONED_AFTER_S", 0.0)
    with live_service(detector, max_sessions=1, snapshot_dir=tmp_path) as live:
        session_id = live.open()
        data = dat_stream(2)
        live.http.post(f"/v1/sessions/{session_id}/events", content=data)
        leave(live, session_id)
        other = live.open()
        assert live.http.get(f"/v1/sessions/{session_id}").json()["resumable"]
        live.http.delete(f"/v1/sessions/{other}")
        resumed = live.http.post("/v1/sessions", json={"resume": session_id})
        assert (resumed.status_code, resumed.json()["accepted_bytes"]) == (201, len(data))


def test_open_session_is_named_before_room_is_made(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "ABANDONED_AFTER_S", 0.0)
    with live_service(detector, max_sessions=1) as live:
        session_id = live.open(session_id="mine")
        leave(live, session_id)
        assert problem(live.http.post("/v1/sessions", json={"session_id": "mine"})) == (409, "session_exists")
        assert live.http.get(f"/v1/sessions/{session_id}").status_code == 200
