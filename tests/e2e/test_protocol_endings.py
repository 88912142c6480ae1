"""Errors and endings are as docs/protocol.md promises."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from spikewatch.service.errors import PayloadTooLarge
from tests.e2e.support.conversation import HOP, KEPT, LIVELY, events, hold_back, talk, windows
from tests.e2e.support.protocol import Caller, Client, Message, codes, table
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, live_service
from tests.service.support.moves import redirecting

IDLE_S = 2.0
BROKEN = 1006
"""What a client reads where no close frame came (RFC 6455)."""

DAT_HEADER = b"% Data file containing CD events\n"
EVT3_HEADER = b"% camera_integrator_name Prophesee\n% format EVT3;width=90;height=60\n% end\n"


Provoke = Callable[[Caller, Live], tuple[list[Message], Client]]


def after(*payloads: bytes | str, **wanted: Any) -> Provoke:
    def provoke(caller: Caller, _: Live) -> tuple[list[Message], Client]:
        messages, client = talk(caller, *payloads, **wanted)
        return messages[1:], client

    return provoke


def refused(caller: Caller, stream_url: str) -> tuple[list[Message], Client]:
    client = caller.connect(stream_url)
    return [client.first, *client.rest()], client


def ended(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session, first = caller.start(**LIVELY)
    first.send("close")
    first.rest()
    return refused(caller, session["stream_url"])


def busy(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session, _first = caller.start(**LIVELY)
    return refused(caller, session["stream_url"])


def elsewhere(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session = caller.open(**LIVELY)
    return refused(caller, session["stream_url"] + "?offset=8")


def moved(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    with redirecting(live, "http://other.example:8000"):
        return refused(caller, "/v1/sessions/none/stream")


def too_late(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session, client = caller.start(**LIVELY)
    client.send(events(HOP * (KEPT + 3)), "flush")
    client.until("flushed")
    client.socket.close()
    return refused(caller, session["stream_url"] + "?seq=0")


def failing(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    """The membranes of a session are no longer numbers."""
    session, client = caller.start(**LIVELY)
    host = live.manager
    slot = host.get(session["session_id"]).slot

    def poison(engine: Any) -> None:
        state = engine.bank.gather([slot])
        engine.bank.scatter([slot], {name: t * float("nan") for name, t in state.items()})

    host.models.default.submit(poison).result(120)
    client.send(events(4))
    return client.rest(), client


def at_fault(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    """Something in the service breaks while it takes bytes."""
    session, client = caller.start(**LIVELY)
    live.manager.get(session["session_id"]).source.feed = lambda _: 1 / 0
    client.send(events(4))
    return client.rest(), client


def left_over(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    """An earlier POST broke off before its many slices were drawn; the next feed meets their limit."""
    session, client = caller.start(**LIVELY)
    live.manager.get(session["session_id"])._feeder._stream_error = PayloadTooLarge("more than 1000 slices")
    client.send(events(4))
    return client.rest(), client


BACKWARDS = events(2, first=200), events(1, first=140), events(1, first=80)
"""Each goes back by less than a second, together by more."""


PROVOKED: dict[str, Provoke] = {
    "session_unknown": lambda caller, _: refused(caller, "/v1/sessions/none/stream"),
    "session_closed": ended,
    "session_busy": busy,
    "moved": moved,
    "wrong_offset": elsewhere,
    "results_gone": too_late,
    "invalid_request": lambda caller, _: refused(caller, caller.open()["stream_url"] + "?offset=soon"),
    "bad_request": after(events(1), "dance"),
    "time_order": after(*BACKWARDS, on_time_jump="fail"),
    "bad_geometry": after(events(1), width=None, height=None),
    "unsupported_format": after(EVT3_HEADER + bytes(4), "close"),
    "truncated": after(DAT_HEADER, "close"),
    "too_large": left_over,
    "step_failed": failing,
    "internal": at_fault,
}


@pytest.mark.parametrize("row", table("code"), ids=lambda row: row["code"])
def test_each_error_comes_with_its_close_code(caller: Caller, live: Live, row: dict[str, str]) -> None:
    (code,) = codes(row["code"])
    messages, client = PROVOKED[code](caller, live)
    error, *closed = [m for m in messages if m["type"] != "window"]
    assert (error["type"], error["code"]) == ("error", code)
    assert client.ending == (int(row["close code"]), code)
    if row["close code"] == "1008":
        assert messages == [error]
    else:
        assert [(m["type"], m["reason"]) for m in closed] == [("closed", code)]
        assert messages[-2:] == [error, *closed]


def test_events_before_a_fault_are_run(caller: Caller) -> None:
    messages, _ = talk(caller, events(4, first=196), *BACKWARDS, on_time_jump="fail")
    assert len(windows(messages)) == messages[-1]["totals"]["windows"] == 3, "the third is cut short"


def test_a_message_over_the_limit_costs_the_connection_only(caller: Caller) -> None:
    session, client = caller.start(**LIVELY)
    with suppress(ConnectionClosed):
        client.send(bytes((4 << 20) + 8))
    assert client.rest() == []
    assert client.ending[0] in (1009, BROKEN)
    again = caller.connect(session["stream_url"])
    assert (again.first["type"], again.first["accepted_bytes"]) == ("ready", 0)


def test_a_silent_session_ends_and_empty_messages_keep_it() -> None:
    with live_service(small_detector(), idle_timeout_s=IDLE_S) as live, Caller(live.url) as caller:
        (_, kept), (_, silent) = caller.start(**LIVELY), caller.start(**LIVELY)
        for _ in range(8):
            time.sleep(IDLE_S / 4)
            kept.send(b"")
        assert silent.rest()[-1]["reason"] == "idle_timeout"
        assert silent.ending == (1000, "idle_timeout")
        kept.send("close")
        assert kept.rest()[-1]["reason"] == "client"


def test_a_service_that_stops_flushes_and_says_so() -> None:
    with live_service(small_detector(), drain_timeout_s=20) as live, Caller(live.url) as caller:
        _, client = caller.start(**LIVELY)
        client.send(events(4))
        first = client.next()
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        messages = [first, *client.rest()]
        stopper.join()
        assert sum(m["events"] for m in windows(messages)) == 4 * 200
        assert (messages[-1]["reason"], client.ending) == ("shutdown", (1001, "shutdown"))


def test_a_service_that_may_not_wait_closes_with_1012() -> None:
    with live_service(small_detector(), drain_timeout_s=0.1) as live, Caller(live.url) as caller:
        held = hold_back(live)
        _, client = caller.start(**LIVELY)
        client.send(events(4))
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        client.rest()
        held.set()
        stopper.join()
        assert client.ending[0] == 1012


def test_each_close_code_of_the_page_was_seen_here() -> None:
    told = {row["close code"] for row in table("close code")}
    assert told == {"1000", "1001", "1009", "1012"} | {row["close code"] for row in table("code")}
    assert {code for row in table("code") for code in codes(row["code"])} == set(PROVOKED)
