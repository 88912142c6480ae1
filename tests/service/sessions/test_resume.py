"""Resuming after a broken connection: byte offsets in, result numbers out."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.client import ClientConnection

from spikewatch.service.api.feeding import displace_feeder
from spikewatch.service.errors import SessionBusy
from tests.service.support.clock import ManualClock
from tests.service.support.http_client import problem
from tests.service.support.live import (
    FAIL,
    Live,
    backwards,
    comparable,
    dat_file,
    dat_stream,
    talk,
    upload,
)
from tests.service.support.shared import SharedServices
from tests.service.support.streams import LOW, post, stream
from tests.service.support.waiting import until


def test_wrong_offset_is_rejected(live: Live) -> None:
    session_id = live.open()
    data = dat_stream(2)
    assert post(live, session_id, data[:1000], offset=0).json()["accepted_bytes"] == 1000
    for wrong in (0, 999, 1001):
        answer = post(live, session_id, data[:10], offset=wrong)
        assert problem(answer) == (409, "wrong_offset")
        assert answer.json()["expected_offset"] == 1000
        assert "1000 bytes" in answer.json()["detail"]
    assert post(live, session_id, data[1000:], offset=1000).json()["accepted_bytes"] == len(data)
    assert problem(post(live, session_id, b"", offset=-1)) == (422, "invalid_request")
    assert live.http.delete(f"/v1/sessions/{session_id}").json()["totals"]["events"] == 600


def test_lost_response_can_be_repeated(live: Live) -> None:
    session_id = live.open(**LOW)
    data, size = dat_stream(9), 300 * 8
    first = post(live, session_id, data[: 5 * size], offset=0).json()["windows"]
    lost = post(live, session_id, data[5 * size :], offset=5 * size).json()["windows"]
    assert problem(post(live, session_id, data[5 * size :], offset=5 * size)) == (409, "wrong_offset")
    again = post(live, session_id, b"", offset=len(data), seq=len(first))
    assert again.json()["windows"] == lost
    assert post(live, session_id, b"", seq=0).json()["windows"] == first + lost
    live.http.delete(f"/v1/sessions/{session_id}")


def test_stream_resumes_where_it_broke(live: Live) -> None:
    """The client loses bytes and results with its connection; in the end it has each result once."""
    data, size = dat_stream(20), 300 * 8
    expected, _ = upload(live, dat_file(20), **LOW)
    session_id = live.open(**LOW)
    got: list[dict] = []
    for piece in (size // 2 + 1, 3 * size, 7 * size):
        with stream(live, session_id, seq=len(got)) as broken:
            accepted = json.loads(broken.recv())["accepted_bytes"]
            broken.send(data[accepted : accepted + piece])
            if piece > size:
                message = json.loads(broken.recv())
                assert message["seq"] == len(got)
                got.append(message)
            broken.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: not live.manager.get(session_id).feed_lease.held)
    accepted = live.http.get(f"/v1/sessions/{session_id}").json()["accepted_bytes"]
    assert 4 * size < accepted <= 10.5 * size + 1
    with stream(live, session_id, offset=accepted, seq=len(got)) as client:
        client.send(data[accepted:])
        client.send("close")
        got += [m for m in talk(client) if m["type"] == "window"]
    assert comparable(got) == comparable(expected)


def test_stream_at_wrong_offset_is_rejected_without_loss(live: Live) -> None:
    session_id = live.open()
    post(live, session_id, dat_stream(1))
    with stream(live, session_id, offset=17) as client:
        (message,) = talk(client)
        assert (message["code"], message["expected_offset"]) == ("wrong_offset", 2400)
        assert client.close_code == 1008
    with stream(live, session_id, offset="soon") as client:
        assert talk(client)[0]["code"] == "invalid_request"
    with stream(live, session_id, offset=2400, other="x") as client:
        assert json.loads(client.recv())["accepted_bytes"] == 2400
        client.send("close")
        assert talk(client)[-1]["reason"] == "client"


def test_reconnected_client_displaces_its_broken_stream(live: Live) -> None:
    data, half = dat_stream(10), 5 * 2400 + 7
    expected, _ = upload(live, dat_file(10), **LOW)
    session_id = live.open(**LOW)
    with stream(live, session_id) as hanging:
        hanging.recv()
        hanging.send(data[:half])
        got = [json.loads(hanging.recv()) for _ in range(3)]
        with stream(live, session_id) as other:
            assert talk(other)[0]["code"] == "session_busy"
        with stream(live, session_id, offset=half - 1) as other:
            assert talk(other)[0]["code"] == "wrong_offset"
        with stream(live, session_id, offset=half, seq=3) as again:
            assert json.loads(again.recv())["accepted_bytes"] == half
            assert talk(hanging)[-1]["code"] == "session_busy"
            assert hanging.close_code == 1008
            again.send(data[half:])
            again.send("close")
            got += [m for m in talk(again) if m["type"] == "window"]
    assert comparable(got) == comparable(expected)


def test_newest_of_two_reconnections_takes_over(live: Live) -> None:
    """The older connection is broken too, and must not displace the newer one."""
    manager = live.manager
    session = manager.get(live.open())

    async def claim_twice() -> list[object]:
        with session.feed_lease.acquire():
            claims = [asyncio.create_task(session.feed_lease.take_over()) for _ in range(2)]
            await session.feed_lease.displaced.wait()
            await asyncio.sleep(0.05)
        return await asyncio.gather(*claims, return_exceptions=True)

    older, newer = asyncio.run_coroutine_threadsafe(claim_twice(), manager._loop).result(120)
    assert isinstance(older, SessionBusy)
    assert newer is None
    assert not session.feed_lease.displaced.is_set()


def test_late_reconnection_does_not_displace_a_newer_one(live: Live) -> None:
    manager = live.manager
    session = manager.get(live.open())

    async def claim_meanwhile() -> tuple[object, bool]:
        with session.feed_lease.acquire():
            late = asyncio.create_task(session.feed_lease.take_over())
            await session.feed_lease.displaced.wait()
        with session.feed_lease.acquire():
            displaced = session.feed_lease.displaced.is_set()
            (outcome,) = await asyncio.gather(late, return_exceptions=True)
            return outcome, displaced or session.feed_lease.displaced.is_set()

    outcome, displaced = asyncio.run_coroutine_threadsafe(claim_meanwhile(), manager._loop).result(120)
    assert isinstance(outcome, SessionBusy)
    assert not displaced


def half_a_post(live: Live, session_id: str, data: bytes, offset: int) -> socket.socket:
    """Start a POST whose client vanishes in the middle of its body without closing the connection."""
    hanging = socket.create_connection(("127.0.0.1", live.port))
    head = f"POST /v1/sessions/{session_id}/events?offset={offset} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    hanging.sendall(head.encode() + f"Content-Length: {len(data)}\r\n\r\n".encode() + data[: len(data) // 2])
    until(lambda: live.manager.get(session_id).feed_lease.held)
    return hanging


def test_reconnected_client_displaces_its_broken_post(live: Live) -> None:
    data, size = dat_stream(10), 2400
    expected, _ = upload(live, dat_file(10), **LOW)
    for over_socket in (False, True):
        session_id = live.open(**LOW)
        got = post(live, session_id, data[: 5 * size], offset=0).json()["windows"]
        with half_a_post(live, session_id, data[5 * size :], 5 * size) as hanging:
            assert problem(post(live, session_id, b"")) == (409, "session_busy")
            assert problem(post(live, session_id, b"", offset=7)) == (409, "wrong_offset")
            if over_socket:
                with stream(live, session_id, offset=5 * size, seq=len(got)) as client:
                    client.send(data[5 * size :])
                    client.send("close")
                    got += [m for m in talk(client) if m["type"] == "window"]
            else:
                got += post(live, session_id, data[5 * size :], offset=5 * size).json()["windows"]
                got += live.http.delete(f"/v1/sessions/{session_id}").json()["windows"]
            assert b"session_busy" in hanging.recv(10_000)
        assert comparable(got) == comparable(expected)


def test_slow_body_keeps_its_session_open(services: SharedServices) -> None:
    clock = ManualClock()
    live = services(clock=clock, idle_timeout_s=60)
    session = live.manager.get(live.open(**LOW))

    def slowly() -> Iterator[bytes]:
        for i in range(0, 2400, 240):
            clock.advance(50)
            yield dat_stream(1)[i : i + 240]
            until(lambda: session.activity.idle_s == 0)

    begun_s = clock()
    assert live.http.post(f"/v1/sessions/{session.id}/events", content=slowly()).status_code == 200
    assert clock() - begun_s == 500


def test_retention_of_results_is_bounded(services: SharedServices) -> None:
    live = services(outbox_windows=4, max_windows_per_post=4)
    session_id = live.open(**LOW)
    for i in range(9):
        post(live, session_id, dat_stream(10)[i * 2400 : (i + 1) * 2400])
    answer = post(live, session_id, b"", seq=2)
    assert problem(answer) == (410, "results_gone")
    assert answer.json()["oldest_seq"] == 4
    windows = post(live, session_id, b"", seq=4).json()["windows"]
    assert [w["seq"] for w in windows] == [4, 5, 6, 7]


def test_largest_response_is_retained(services: SharedServices) -> None:
    live = services(outbox_windows=2, max_windows_per_post=8)
    session_id = live.open(**LOW)
    lost = post(live, session_id, dat_stream(9)).json()["windows"]
    assert len(lost) == 8
    assert post(live, session_id, b"", seq=0).json()["windows"] == lost


def test_results_below_seq_are_not_sent_again(live: Live) -> None:
    """As after a restart from an older snapshot: results are computed again, but not sent again."""
    session_id = live.open(**LOW)
    windows = post(live, session_id, dat_stream(9), seq=5).json()["windows"]
    assert [w["seq"] for w in windows] == [5, 6, 7]
    live.http.delete(f"/v1/sessions/{session_id}")


@pytest.mark.parametrize("broken", [lambda s: s.close(), lambda s: s.socket.shutdown(socket.SHUT_RDWR)])
def test_bad_bytes_of_a_broken_connection_end_the_session(
    services: SharedServices, broken: Callable[[ClientConnection], None]
) -> None:
    live = services(inbox_slices=1, outbox_windows=1)
    session_id = live.open(**LOW, **FAIL)
    client = live.connect(session_id)
    client.send(backwards(20))
    client.recv()
    broken(client)
    until(lambda: not live.manager.get(session_id).feed_lease.held)
    with stream(live, session_id, offset=len(backwards(20))) as again:
        messages = talk(again)
    assert (messages[-2]["code"], messages[-1]["reason"]) == ("time_order", "time_order")


def test_reconnection_waits_for_a_closed_stream_to_release(live: Live) -> None:
    """A closed connection holds its session for a moment longer; that must not be `session_busy`."""
    manager = live.manager
    session = manager.get(live.open())

    async def reconnect(abandoned: bool) -> bool:
        with session.feed_lease.acquire():
            session.feed_lease.abandoned = abandoned
            claim = asyncio.create_task(displace_feeder(session, None))
            await asyncio.sleep(0.05)
            waited = not claim.done()
        await claim
        session.feed_lease.check_available()
        return waited

    for abandoned in (True, False):
        waited = asyncio.run_coroutine_threadsafe(reconnect(abandoned), manager._loop).result(120)
        assert waited == abandoned
