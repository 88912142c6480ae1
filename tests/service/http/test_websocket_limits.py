"""WebSocket clients that send too much or for ever, and clients that never read: over raw sockets."""

import json
import os
import struct
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.service.support.http_client import met, met_metric
from tests.service.support.live import Live, dat_stream
from tests.service.support.shared import SharedServices
from tests.service.support.sockets import code_of, frame, raw, rest, unsent, upgraded
from tests.service.support.waiting import until


def test_websocket_that_never_reads_is_closed(hasty: Live) -> None:
    """Its results fill all buffers; then its session is idle, and ends, and so does the connection."""
    session_id = hasty.open(slices=1, hop=1, slice_us=1000, confidence=0.0, iou=1.0)
    with upgraded(hasty, f"/v1/sessions/{session_id}/stream") as client:
        client.sendall(frame(2, dat_stream(1000, per_slice=2, slice_us=1000)))
        until(lambda: any(unsent(hasty)))
        until(lambda: session_id not in hasty.manager.sessions)
        until(lambda: not any(unsent(hasty)))


def test_unread_pongs_do_not_accumulate(hasty: Live) -> None:
    session_id = hasty.open()
    with upgraded(hasty, f"/v1/sessions/{session_id}/watch") as client:
        client.settimeout(0.5)
        until(lambda: len(hasty.manager.get(session_id).watchers) == 1)
        (socket_protocol,) = [c for c in hasty.server.server_state.connections if hasattr(c, "handle_ping")]
        flood = frame(9, os.urandom(125)) * 500
        most = 0
        try:
            for _ in range(200):
                client.sendall(flood)
                most = max(most, socket_protocol.transport.get_write_buffer_size())
        except OSError:
            pass
        assert 0 < most < 1 << 20


def test_message_of_empty_frames_is_rejected(hasty: Live) -> None:
    session_id = hasty.open()
    with upgraded(hasty, f"/v1/sessions/{session_id}/stream") as client:
        client.sendall(frame(2, b"", fin=False) + frame(0, b"", fin=False) * 20_000)
        assert struct.pack(">H", 1009) + b"more than 16384 frames" in rest(client)
    assert met(hasty, "message_size") == 1


def test_message_beyond_limit_is_rejected(services: SharedServices) -> None:
    live = services(max_message_bytes=1024)
    session_id, too_large = live.open(), live.rise(met_metric("message_size"))
    with upgraded(live, f"/v1/sessions/{session_id}/stream") as client:
        client.sendall(frame(2, bytes(1025)))
        assert struct.pack(">H", 1009) in rest(client)
    assert too_large() == 1


def handshake(path: str, *headers: bytes, key: bool = True) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1".encode(),
        b"Host: x",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        *headers,
    ]
    lines += [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="] if key else []
    return b"\r\n".join([*lines, b"Sec-WebSocket-Version: 13", b"", b""])


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (handshake("/v1/sessions/x/stream", b"Cookie: " + b"a" * 9000), (431, "headers_too_large")),
        (handshake("/v1/sessions/" + "a" * 9000 + "/stream"), (431, "headers_too_large")),
        (
            handshake("/v1/sessions/x/stream", *[b"X-%d: 1" % i for i in range(200)]),
            (431, "headers_too_large"),
        ),
        (handshake("/v1/sessions/x/stream", key=False), (400, "bad_request")),
        (handshake("/nowhere"), (404, "not_found")),
        (handshake("/v1/sessions/x/stream", b"Origin: http://elsewhere"), (403, "origin_refused")),
    ],
)
def test_bad_handshake_is_closed_with_a_problem(live: Live, head: bytes, expected: tuple[int, str]) -> None:
    refused = live.metric("spikewatch_refused_total")
    with raw(live, head) as client:
        assert code_of(rest(client)) == expected
    assert live.metric("spikewatch_refused_total") == refused + 1


def test_watcher_may_send_control_frames_only(live: Live) -> None:
    session_id, before = live.open(), met(live, "message_size")
    with upgraded(live, f"/v1/sessions/{session_id}/watch") as client:
        client.sendall(frame(9, bytes(125)))
        client.sendall(b"\x82\xff" + struct.pack(">Q", 4 << 20) + bytes(4) + bytes(1000))
        assert struct.pack(">H", 1009) in rest(client)
    assert met(live, "message_size") == before + 1
    live.http.delete(f"/v1/sessions/{session_id}")


@pytest.mark.parametrize("message", ["hello", b"", b"small"])
def test_small_message_of_a_watcher_is_rejected(live: Live, message: str | bytes) -> None:
    session_id = live.open()
    refused = live.metric('spikewatch_refused_total{code="bad_request"}')
    with connect(f"{live.ws_url}/v1/sessions/{session_id}/watch") as socket:
        assert json.loads(socket.recv())["type"] == "session"
        socket.send(message)
        error = json.loads(socket.recv())
        assert (error["type"], error["code"]) == ("error", "bad_request")
        assert f"sent a message of {len(message)} bytes" in error["detail"]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1003, "bad_request")
    assert live.metric('spikewatch_refused_total{code="bad_request"}') == refused + 1
    assert live.http.delete(f"/v1/sessions/{session_id}").status_code == 200


def test_fault_of_a_client_is_no_internal_error(live: Live) -> None:
    """The connection is closed before the application has sent its first message."""
    session_id, before = live.open(), met(live, "message_size")
    for number in range(1, 9):
        with upgraded(live, f"/v1/sessions/{session_id}/watch") as client:
            client.sendall(frame(2, bytes(1000)))
            rest(client)
        until(lambda number=number: met(live, "message_size") == before + number)  # type: ignore[misc]
    assert live.metric('spikewatch_refused_total{code="internal"}') == 0
    live.http.delete(f"/v1/sessions/{session_id}")


def test_websocket_without_pong_is_closed(services: SharedServices) -> None:
    live = services(ping_timeout_s=0.2)
    session_id, unanswered = live.open(), live.rise(met_metric("unanswered_ping"))
    with upgraded(live, f"/v1/sessions/{session_id}/stream") as client:
        rest(client)
    assert unanswered() == 1
    assert live.http.get(f"/v1/sessions/{session_id}").status_code == 200


def test_pong_timeout_is_extended_while_reading_is_paused(services: SharedServices) -> None:
    """While the service pushes back it does not read the answers to its pings either."""
    live = services(inbox_slices=1, ping_timeout_s=0.3)
    session_id, unanswered = live.open(slices=1, hop=1), live.rise(met_metric("unanswered_ping"))
    client = live.connect(session_id)
    held = []
    live.model.submit(lambda _: held.append(time.sleep(2)))
    for _ in range(3):
        client.send(dat_stream(6))
        client.send("reset")
    client.send("close")
    messages = [json.loads(message) for message in client]
    assert messages[-1]["reason"] == "client", messages[-1]
    assert unanswered() == 0
    assert held


def test_watchers_beyond_limit_are_rejected(services: SharedServices) -> None:
    live = services(max_watchers=1)
    session_id = live.open()
    address = f"{live.ws_url}/v1/sessions/{session_id}/watch"
    with connect(address):
        until(lambda: len(live.manager.get(session_id).watchers) == 1)
        with connect(address) as second:
            assert json.loads(second.recv())["code"] == "watchers_full"
