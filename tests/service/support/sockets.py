"""Bare connections to a service, for clients that HTTP libraries cannot play."""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.service.support.live import ANSWER_S, Live

HEAD_S = 0.6
IDLE_S = 2.0
"""Timeouts of the fixture `hasty`."""


def send_through_small_buffers(live: Live) -> None:
    """Connections inherit them from the socket that listens."""
    listening = live.server.servers[0].sockets[0].fileno()
    with socket.socket(fileno=os.dup(listening)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


@contextmanager
def raw(live: Live, data: bytes = b"", small_buffer: bool = False) -> Iterator[socket.socket]:
    with socket.socket() as client:
        if small_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(ANSWER_S)
        client.connect(("127.0.0.1", live.port))
        client.sendall(data)
        yield client


def rest(client: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionError:
        pass
    return received


def code_of(response: bytes) -> tuple[int, str]:
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head, response
    return int(head.split()[1]), json.loads(body)["code"]


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


def unsent(live: Live) -> list[int]:
    """Bytes that wait in this process for clients to read."""
    return [c.transport.get_write_buffer_size() for c in list(live.server.server_state.connections)]
