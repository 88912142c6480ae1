"""Bare connections to a service, for clients that HTTP libraries cannot play."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.service.support.live import ANSWER_S, Live


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
