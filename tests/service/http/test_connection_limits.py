"""Clients that send too slowly, too much or for ever, and clients that never read: over raw sockets."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.client import connect

from spikewatch.model.detector import Detector
from tests.service.support.http_client import met
from tests.service.support.live import Live, dat_file, dat_stream, live_service
from tests.service.support.sockets import code_of, raw, rest, send_through_small_buffers
from tests.service.support.waiting import until

HEAD_S = 0.6
IDLE_S = 2.0


@pytest.fixture(scope="module")
def hasty(detector: Detector) -> Iterator[Live]:
    """A service with little patience."""
    limits = {"header_timeout_s": HEAD_S, "idle_timeout_s": IDLE_S, "max_header_bytes": 8192}
    with live_service(detector, min_body_bytes_per_s=100_000, **limits) as live:
        send_through_small_buffers(live)
        yield live


def trickle(client: socket.socket, piece: bytes, pause_s: float = 0.05) -> bytes:
    """Send a piece again and again until the service has enough; what it said."""
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            client.sendall(piece)
            client.settimeout(pause_s)
            try:
                if received := client.recv(65536):
                    client.settimeout(120)
                    return received + rest(client)
                return b""
            except TimeoutError:
                continue
    except ConnectionError:
        return b""
    raise AssertionError("the service had endless patience")


@contextmanager
def upgraded(live: Live, path: str) -> Iterator[socket.socket]:
    """A WebSocket that has read nothing but the handshake."""
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with raw(live, head.encode(), small_buffer=True) as client:
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer
        yield client


def frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 127]) + struct.pack(">Q", size)
    return bytes([fin << 7 | opcode]) + length + bytes(4) + payload


def open_connections(live: Live) -> int:
    return len(live.server.server_state.connections)


def unsent(live: Live) -> list[int]:
    """Bytes that wait in this process for clients to read."""
    return [c.transport.get_write_buffer_size() for c in list(live.server.server_state.connections)]


def test_slow_headers_time_out(hasty: Live) -> None:
    refused = hasty.metric('spikewatch_refused_total{code="too_slow"}')
    with raw(hasty, b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ") as client:
        start = time.monotonic()
        assert code_of(trickle(client, b"a")) == (408, "too_slow")
        assert HEAD_S * 0.9 < time.monotonic() - start < HEAD_S + 15
    assert hasty.metric('spikewatch_refused_total{code="too_slow"}') == refused + 1


@pytest.mark.parametrize("piece", [b"", b"\r\n"])
def test_connections_without_request_are_closed(hasty: Live, piece: bytes) -> None:
    with raw(hasty) as client:
        assert (trickle(client, piece) if piece else rest(client)) in (b"",) or piece
    answered = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw(hasty, answered) as client:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        trickle(client, piece) if piece else rest(client)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * 20_000,
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 3000,
        b"GET /?" + b"a" * 20_000 + b" HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: "
        + b"a" * 9000
        + b"\r\n\r\n",
    ],
)
def test_headers_beyond_limit_are_rejected(hasty: Live, head: bytes) -> None:
    with raw(hasty, head) as client:
        assert code_of(rest(client)) == (431, "headers_too_large")


def test_trailers_beyond_limit_are_rejected(hasty: Live) -> None:
    session_id = hasty.open()
    head = f"POST /v1/sessions/{session_id}/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw(hasty, head.encode() + b"0\r\n") as client:
        assert b"431" in trickle(client, b"X-A: b\r\n" * 100, 0.01)


def test_invalid_http_gets_a_problem(hasty: Live) -> None:
    with raw(hasty, b"\x16\x03\x01 this is TLS\r\n\r\n") as client:
        assert code_of(rest(client)) == (400, "bad_request")


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/sessions/{id}/events", "/v1/sessions/{id}/state"])
def test_slow_bodies_time_out(hasty: Live, path: str) -> None:
    """Pieces come often enough, but never add up."""
    session_id = hasty.open()
    method = "PUT" if path.endswith("state") else "POST"
    head = f"{method} {path.format(id=session_id)} HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
    with raw(hasty, head.encode()) as client:
        start = time.monotonic()
        assert code_of(trickle(client, b" " * 8)) == (408, "too_slow")
        assert time.monotonic() - start < IDLE_S + 15


def test_slow_uploads_time_out(hasty: Live) -> None:
    with raw(hasty, b"POST /v1/detections HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n") as client:
        assert code_of(trickle(client, b"% a 1\n")) == (408, "too_slow")
    with raw(hasty, b"POST /v1/detections HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n") as client:
        client.sendall(dat_file(64))
        answer = trickle(client, b"")
        assert b'{"error":' in answer
        assert b'"code":"too_slow"' in answer


def test_body_after_early_response_times_out(hasty: Live) -> None:
    for head in (b"GET /v2/health/live", b"POST /nowhere"):
        with raw(hasty, head + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n") as client:
            assert client.recv(65536).startswith(b"HTTP/1.1")
            start = time.monotonic()
            trickle(client, b"x" * 10)
            assert time.monotonic() - start < HEAD_S + 15


def test_unread_response_closes_connection(hasty: Live) -> None:
    before = met(hasty, "unread_answer")
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw(hasty, request * 300, small_buffer=True):
        until(lambda: met(hasty, "unread_answer") == before + 1)
        until(lambda: not any(unsent(hasty)))


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


def test_message_beyond_limit_is_rejected(detector: Detector) -> None:
    with live_service(detector, max_message_bytes=1024) as live:
        session_id = live.open()
        with upgraded(live, f"/v1/sessions/{session_id}/stream") as client:
            client.sendall(frame(2, bytes(1025)))
            assert struct.pack(">H", 1009) in rest(client)
        assert met(live, "message_size") == 1


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


def test_websocket_without_pong_is_closed(detector: Detector) -> None:
    with live_service(detector, ping_timeout_s=0.2) as live:
        session_id = live.open()
        with upgraded(live, f"/v1/sessions/{session_id}/stream") as client:
            rest(client)
        assert met(live, "unanswered_ping") == 1
        assert live.http.get(f"/v1/sessions/{session_id}").status_code == 200


def test_pong_timeout_is_extended_while_reading_is_paused(detector: Detector) -> None:
    """While the service pushes back it does not read the answers to its pings either."""
    with live_service(detector, inbox_slices=1, ping_timeout_s=0.3) as live:
        session_id = live.open(slices=1, hop=1)
        client = live.connect(session_id)
        held = []
        live.model.submit(lambda _: held.append(time.sleep(2)))
        for _ in range(3):
            client.send(dat_stream(6))
            client.send("reset")
        client.send("close")
        messages = [json.loads(message) for message in client]
        assert messages[-1]["reason"] == "client", messages[-1]
        assert met(live, "unanswered_ping") == 0
        assert held


def test_connections_beyond_limit_are_rejected(detector: Detector) -> None:
    with live_service(detector, max_connections=3) as live:
        with raw(live), raw(live), raw(live), raw(live, b"GET / HTTP/1.1\r\n\r\n") as last:
            assert code_of(rest(last)) == (503, "connections_full")
        until(lambda: open_connections(live) == 0)
        assert live.http.get("/v2/health/live").status_code == 200
        assert live.metric('spikewatch_refused_total{code="connections_full"}') == 1


def test_watchers_beyond_limit_are_rejected(detector: Detector) -> None:
    with live_service(detector, max_watchers=1) as live:
        session_id = live.open()
        address = f"{live.ws_url}/v1/sessions/{session_id}/watch"
        with connect(address):
            until(lambda: len(live.manager.get(session_id).watchers) == 1)
            with connect(address) as second:
                assert json.loads(second.recv())["code"] == "watchers_full"
