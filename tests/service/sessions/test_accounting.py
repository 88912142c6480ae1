"""Every slice that is accepted is run, dropped or thrown away, and counted as that."""

import threading

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.errors import SessionClosed
from tests.service.support.live import Live, dat_stream, live_service
from tests.service.support.streams import post
from tests.service.support.waiting import until


def books(live: Live) -> dict[str, float]:
    outcomes = ("accepted", "run", "discarded")
    counted = {name: live.metric(f'spikewatch_slices_total{{outcome="{name}"}}') for name in outcomes}
    return counted | {"dropped": live.metric("spikewatch_dropped_slices_total")}


def test_run_slices_are_counted(detector: Detector) -> None:
    with live_service(detector) as live:
        session_id = live.open()
        post(live, session_id, dat_stream(9))
        live.http.delete(f"/v1/sessions/{session_id}")
        assert books(live) == {"accepted": 9, "run": 9, "discarded": 0, "dropped": 0}


def test_dropped_and_discarded_slices_are_counted(detector: Detector) -> None:
    with live_service(detector, inbox_slices=4) as live:
        manager, stuck = live.manager, threading.Event()
        manager.models.worker.submit(lambda: stuck.wait(120))
        session = manager.get(live.open(policy="drop_oldest"))
        live.connect(session.id).send(dat_stream(11))
        until(lambda: session.inbox.dropped_slices == 6)
        session._loop.call_soon_threadsafe(manager.end, session, SessionClosed("for a test"), "client")
        until(lambda: session.close_error is not None)
        stuck.set()
        until(lambda: books(live)["discarded"] == 4)
        assert books(live) == {"accepted": 10, "run": 0, "discarded": 4, "dropped": 6}


def test_failed_slices_are_counted(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no step today")

    with live_service(detector) as live:
        monkeypatch.setattr(Detector, "step_in_bank", fail)
        post(live, live.open(), dat_stream(5))
        monkeypatch.undo()
        until(lambda: live.metric("spikewatch_sessions") == 0)
        found = books(live)
        assert found["run"] == 0
        assert found["accepted"] == found["discarded"] > 0
