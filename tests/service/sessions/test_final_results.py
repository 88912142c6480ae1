"""Final results of a session whose response was lost."""

import json
import socket

from spikewatch.service.schemas import Totals
from spikewatch.service.session_manager.ended import MAX_FINAL_RESULTS, EndedSessions, EndReason
from spikewatch.service.sessions.outbox import FinalResults
from tests.service.support.http_client import problem
from tests.service.support.live import (
    FAIL,
    Live,
    backwards,
    comparable,
    dat_file,
    dat_stream,
    upload,
)
from tests.service.support.shared import SharedServices
from tests.service.support.streams import LOW, post, stream
from tests.service.support.waiting import until


def end(live: Live, session_id: str, **place: int) -> dict:
    answer = live.http.delete(f"/v1/sessions/{session_id}", params=place)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_repeated_delete_returns_the_same_results(live: Live) -> None:
    expected, summary = upload(live, dat_file(9), **LOW)
    session_id = live.open(**LOW)
    first = post(live, session_id, dat_stream(9)).json()["windows"]
    ended = end(live, session_id)
    assert comparable(first + ended["windows"]) == comparable(expected)
    assert ended["windows"]
    assert ended["totals"]["events"] == summary["events"]
    assert end(live, session_id) == ended
    assert end(live, session_id, seq=0) == {"windows": first + ended["windows"], "totals": ended["totals"]}
    assert end(live, session_id, seq=len(expected))["windows"] == []
    assert problem(live.http.get(f"/v1/sessions/{session_id}")) == (410, "session_closed")


def test_delete_with_seq_returns_missing_results(live: Live) -> None:
    expected, _ = upload(live, dat_file(9), **LOW)
    session_id = live.open(**LOW)
    post(live, session_id, dat_stream(9))
    assert comparable(end(live, session_id, seq=3)["windows"]) == comparable(expected)[3:]
    assert comparable(end(live, session_id)["windows"]) == comparable(expected)[3:]


def test_connection_broken_after_close_loses_no_result(live: Live) -> None:
    expected, summary = upload(live, dat_file(20), **LOW)
    session_id = live.open(**LOW)
    with stream(live, session_id) as client:
        client.recv()
        client.send(dat_stream(20))
        got = [json.loads(client.recv()) for _ in range(3)]
        client.send("close")
        client.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: session_id not in live.manager.sessions or not attended(live, session_id))
    ended = end(live, session_id, seq=3)
    assert comparable(got + ended["windows"]) == comparable(expected)
    assert ended["totals"]["windows"] == summary["windows"]


def attended(live: Live, session_id: str) -> bool:
    return live.manager.get(session_id).feed_lease.held


def test_expired_results_return_410(services: SharedServices) -> None:
    live = services(outbox_windows=2, max_windows_per_post=2)
    session_id = live.open(**LOW)
    for i in range(6):
        post(live, session_id, dat_stream(6)[i * 2400 : (i + 1) * 2400])
    end(live, session_id)
    answer = live.http.delete(f"/v1/sessions/{session_id}", params={"seq": 0})
    assert problem(answer) == (410, "results_gone")
    assert answer.json()["oldest_seq"] > 0


def test_repeated_results_do_not_count_towards_the_limit(services: SharedServices) -> None:
    live = services(max_windows_per_post=3)
    session_id = live.open(**LOW)
    for i in range(6):
        post(live, session_id, dat_stream(6)[i * 2400 : (i + 1) * 2400])
    for _ in range(2):
        again = live.http.post(f"/v1/sessions/{session_id}/events", params={"seq": 0}).json()
        assert [window["seq"] for window in again["windows"]] == [0, 1, 2, 3, 4]
    assert [window["seq"] for window in end(live, session_id, seq=0)["windows"]] == [0, 1, 2, 3, 4, 5]


def test_latest_ended_sessions_are_kept() -> None:
    endings = EndedSessions()
    farewell = FinalResults([], [], 0, Totals(), lambda _result: b"")
    for number in range(MAX_FINAL_RESULTS + 1):
        endings.record(str(number), EndReason("client", ""), farewell)
    assert endings.final_results("0") is None
    assert endings.final_results("1") is farewell
    endings.discard("1")
    assert endings.final_results("1") is None


def test_results_below_seq_can_be_requested_later(live: Live) -> None:
    """A client requests a result that does not exist yet, then an earlier one."""
    expected, _ = upload(live, dat_file(9), **LOW)
    session_id = live.open(**LOW)
    first = live.http.post(
        f"/v1/sessions/{session_id}/events", params={"seq": 4}, content=dat_stream(9)
    ).json()
    assert comparable(first["windows"]) == comparable(expected)[4:-1]
    again = live.http.post(f"/v1/sessions/{session_id}/events", params={"seq": 0}).json()
    assert comparable(again["windows"]) == comparable(expected)[:-1]
    assert comparable(end(live, session_id, seq=0)["windows"]) == comparable(expected)


def test_delete_after_bad_bytes_returns_earlier_results(services: SharedServices) -> None:
    """The connection breaks in the middle of a message that ends in an event from long ago."""
    data = backwards(30)
    live = services(inbox_slices=4)
    expected = post(live, live.open(**LOW, **FAIL), data)
    session_id = live.open(**LOW, **FAIL)
    with stream(live, session_id) as client:
        client.recv()
        client.send(data)
        client.recv()
        client.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: not attended(live, session_id))
    ended = live.http.delete(f"/v1/sessions/{session_id}", params={"seq": 0})
    assert problem(ended) == problem(expected) == (422, "time_order")
    assert comparable(ended.json()["windows"]) == comparable(expected.json()["windows"])


def test_long_final_response_can_be_repeated(services: SharedServices) -> None:
    """Retained, pending and final results together are more than one request may produce."""
    data = dat_stream(60, per_slice=4, slice_us=1000)
    half = len(data) // 2
    live = services(max_windows_per_post=35, outbox_windows=35)
    session_id = live.open(slice_us=1000, hop=1)
    post(live, session_id, data[:half])
    with stream(live, session_id) as client:
        client.recv()
        client.send(data[half:])
        client.recv()
        client.socket.shutdown(socket.SHUT_RDWR)
    until(lambda: not attended(live, session_id))
    kept = live.manager.get(session_id).outbox.save().first_available_seq
    ended = end(live, session_id, seq=kept)
    assert [window["seq"] for window in ended["windows"]] == list(range(kept, 60))
    assert len(ended["windows"]) > 35
    assert end(live, session_id, seq=kept) == ended


def test_response_with_old_and_new_results_can_be_repeated(services: SharedServices) -> None:
    """The response holds more results than are usually retained."""
    data = dat_stream(60, per_slice=4, slice_us=1000)
    half = len(data) // 2
    live = services(max_windows_per_post=35, outbox_windows=35)
    session_id = live.open(slice_us=1000, hop=1)
    post(live, session_id, data[:half])
    long = live.http.post(f"/v1/sessions/{session_id}/events", params={"seq": 0}, content=data[half:]).json()
    assert len(long["windows"]) > 35
    again = live.http.post(f"/v1/sessions/{session_id}/events", params={"seq": 0}).json()
    assert again == long
