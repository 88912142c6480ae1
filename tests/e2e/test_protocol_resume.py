"""Backpressure and resuming are as docs/protocol.md promises."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support.conversation import HOP, LIVELY, SLICE_US, events, hold_back, same, talk, windows
from tests.e2e.support.protocol import Caller, Message
from tests.model.support.fakes import small_detector
from tests.service.support.live import live_service
from tests.service.support.waiting import until


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_block_loses_nothing_and_drop_oldest_tells_what_it_lost(policy: str) -> None:
    with live_service(small_detector(), inbox_slices=4) as live, Caller(live.url) as caller:
        held = hold_back(live)
        session, client = caller.start(**LIVELY, policy=policy)
        client.send(events(40), "close")
        look = f"/v1/sessions/{session['session_id']}"
        until(lambda: caller.http.get(look).json()["queued_slices"] == 4)
        held.set()
        *found, closed = client.rest()
        totals = closed["totals"]
        run, lost = sum(m["events"] for m in found), totals["dropped_events"].get("too_fast", 0)
        assert run + lost == 40 * 200
        assert found[-1]["t_end_us"] == 40 * SLICE_US
        assert found[-1]["dropped_windows"] == totals["dropped_windows"] == totals["dropped_slices"] // HOP
        assert policy == "drop_oldest" or lost == 0


def test_results_unread_leave_a_gap_in_seq() -> None:
    with live_service(small_detector(), outbox_windows=2) as live, Caller(live.url) as caller:
        held = hold_back(live)
        session, client = caller.start(**LIVELY, policy="drop_oldest")
        look = f"/v1/sessions/{session['session_id']}"
        client.send(events(11))
        until(lambda: caller.http.get(look).json()["queued_slices"] == 10)
        client.socket.close()
        held.set()
        until(lambda: caller.http.get(look).json()["totals"]["windows"] == 5)
        again = caller.connect(session["stream_url"])
        again.send("close")
        *found, closed = again.rest()
        assert [m["seq"] for m in found] == [3, 4, 5]
        assert closed["totals"]["dropped_windows"] == found[0]["dropped_windows"] == 3


def test_a_broken_connection_is_taken_up_at_the_byte_after_the_last(caller: Caller) -> None:
    data = events(9)
    whole, _ = talk(caller, data, "close")
    session, first = caller.start(**LIVELY)
    first.send(data[:7013])
    before = [first.next()]
    first.socket.close()
    second = caller.connect(session["stream_url"])
    accepted = second.first["accepted_bytes"]
    assert accepted == 7013
    second.send(data[accepted:], "close")
    found = before + [m for m in windows(second.rest()) if m["seq"] > before[-1]["seq"]]
    assert same(found) == same(whole)


def test_offset_and_seq_lose_nothing_and_give_nothing_twice(caller: Caller) -> None:
    data = events(9)
    whole, _ = talk(caller, data, "close")
    session, first = caller.start(**LIVELY)
    first.send(data[:7013])
    before = [first.next()]
    first.socket.close()
    look = caller.http.get(f"/v1/sessions/{session['session_id']}").json()
    accepted, place = look["accepted_bytes"], f"?offset={look['accepted_bytes']}&seq={before[-1]['seq'] + 1}"
    second = caller.connect(session["stream_url"] + place)
    second.send(data[accepted:], "close")
    assert same(before + second.rest()) == same(whole)


def test_a_session_outlives_the_process(tmp_path: Path) -> None:
    data = events(9)
    found: dict[int, Message] = {}
    settings: dict[str, Any] = {"snapshot_dir": tmp_path, "drain_timeout_s": 20}
    with live_service(small_detector(), **settings) as live, Caller(live.url) as caller:
        whole, _ = talk(caller, data, "close")
        session, client = caller.start(**LIVELY)
        client.send(data[:7013])
        first = client.next()
        live.stop()
        found |= {m["seq"]: m for m in [first, *windows(client.rest())]}
    with live_service(small_detector(), **settings) as live, Caller(live.url) as caller:
        saved = caller.open(resume=session["session_id"])
        client = caller.connect(saved["stream_url"])
        client.send(data[saved["accepted_bytes"] :], "close")
        found |= {m["seq"]: m for m in windows(client.rest())}
    assert same(list(found.values())) == same(whole)
