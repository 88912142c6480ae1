"""Every slice that is accepted is run, dropped or thrown away, and counted as that."""

import threading

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.errors import SessionClosed
from tests.service.support.live import Live, dat_stream
from tests.service.support.shared import SharedServices
from tests.service.support.streams import post
from tests.service.support.waiting import until


def books(live: Live) -> dict[str, float]:
    outcomes = ("accepted", "run", "discarded")
    counted = {name: live.metric(f'spikewatch_slices_total{{outcome="{name}"}}') for name in outcomes}
    return counted | {"dropped": live.metric("spikewatch_dropped_slices_total")}


class Books:
    """What has been counted since."""

    def __init__(self, live: Live) -> None:
        self._live, self._before = live, books(live)

    @property
    def since(self) -> dict[str, float]:
        return {name: value - self._before[name] for name, value in books(self._live).items()}


def test_run_slices_are_counted(services: SharedServices) -> None:
    live = services()
    session_id, counted = live.open(), Books(live)
    post(live, session_id, dat_stream(9))
    live.http.delete(f"/v1/sessions/{session_id}")
    assert counted.since == {"accepted": 9, "run": 9, "discarded": 0, "dropped": 0}


def test_dropped_and_discarded_slices_are_counted(services: SharedServices) -> None:
    live = services(inbox_slices=4)
    manager, stuck, counted = live.manager, threading.Event(), Books(live)
    manager.models.worker.submit(lambda: stuck.wait(120))
    session = manager.get(live.open(policy="drop_oldest"))
    live.connect(session.id).send(dat_stream(11))
    until(lambda: session.inbox.dropped_slices == 6)
    session._loop.call_soon_threadsafe(manager.end, session, SessionClosed("for a test"), "client")
    until(lambda: session.close_error is not None)
    stuck.set()
    until(lambda: counted.since["discarded"] == 4)
    assert counted.since == {"accepted": 10, "run": 0, "discarded": 4, "dropped": 6}


def test_failed_slices_are_counted(services: SharedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no step today")

    live = services()
    counted = Books(live)
    monkeypatch.setattr(Detector, "step_in_bank", fail)
    post(live, live.open(), dat_stream(5))
    monkeypatch.undo()
    until(lambda: live.metric("spikewatch_sessions") == 0)
    found = counted.since
    assert found["run"] == 0
    assert found["accepted"] == found["discarded"] > 0
