"""Clients that send too slowly, too much or for ever, and clients that never read: over raw sockets."""

import socket
import time

import pytest

from tests.service.support.http_client import met
from tests.service.support.live import Live, dat_file
from tests.service.support.shared import SharedServices
from tests.service.support.sockets import HEAD_S, IDLE_S, code_of, raw, rest, unsent
from tests.service.support.waiting import until


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


def open_connections(live: Live) -> int:
    return len(live.server.server_state.connections)


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


def test_connections_beyond_limit_are_rejected(services: SharedServices) -> None:
    live = services(max_connections=3)
    with raw(live), raw(live), raw(live), raw(live, b"GET / HTTP/1.1\r\n\r\n") as last:
        assert code_of(rest(last)) == (503, "connections_full")
    until(lambda: open_connections(live) == 0)
    assert live.http.get("/v2/health/live").status_code == 200
    assert live.metric('spikewatch_refused_total{code="connections_full"}') == 1
