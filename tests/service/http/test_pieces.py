"""Responses in pieces: their content, and that kept results are encoded once, however often requested."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from spikewatch.service.errors import ResultsExpired
from spikewatch.service.http.pieces import PIECE_BYTES, PiecesResponse, results_response
from tests.service.support.live import SENSOR, Live, dat_stream
from tests.service.support.sockets import raw, send_through_small_buffers
from tests.service.support.streams import LOW, post
from tests.service.support.waiting import until

SCOPE: dict[str, Any] = {"type": "http"}


def exchange(response: PiecesResponse, takes: int | None = None) -> list[dict[str, Any]]:
    """The messages sent to a client that takes this many, then none."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        if takes is not None and len(sent) == takes:
            await asyncio.Event().wait()
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    asyncio.run(response(SCOPE, receive, send))
    return sent


@pytest.mark.parametrize("count", [0, 1, 500])
def test_results_are_sent_whole_in_small_pieces(count: int) -> None:
    results = [json.dumps({"seq": number, "text": "x" * 900}).encode() for number in range(count)]
    start, *bodies = exchange(results_response(results, '{"accepted_bytes":7}', 1.0))
    body = b"".join(message["body"] for message in bodies)
    assert json.loads(body) == {"windows": [json.loads(x) for x in results], "accepted_bytes": 7}
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()
    assert max(len(message["body"]) for message in bodies) < PIECE_BYTES + 1000
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]


def test_client_that_takes_nothing_more_is_left() -> None:
    results = [bytes(1000)] * 500
    assert len(exchange(results_response(results, '{"totals":{}}', 0.05), takes=3)) == 3


def test_expired_results_break_the_response_off() -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield b"one\n"
        raise ResultsExpired("gone")

    sent = exchange(PiecesResponse(lines(), 1.0))
    assert [message["more_body"] for message in sent[1:]] == [True], "the end of the body is never sent"


@pytest.fixture
def encoded(live: Live) -> list[int]:
    """Numbers of results as they are encoded."""
    numbers: list[int] = []
    session = live.manager.get(live.open(session_id="kept", **LOW))
    to_json = session.to_json

    def counting(result: Any) -> Any:
        numbers.append(result.seq)
        return to_json(result)

    session.to_json = counting  # type: ignore[method-assign]
    return numbers


def test_kept_results_are_encoded_once(live: Live, encoded: list[int]) -> None:
    first = post(live, "kept", dat_stream(9)).json()["windows"]
    for _ in range(3):
        assert post(live, "kept", b"", seq=0).json()["windows"] == first
    last = live.http.delete("/v1/sessions/kept", params={"seq": 0}).json()["windows"]
    assert last[:-1] == first
    assert live.http.delete("/v1/sessions/kept", params={"seq": 0}).json()["windows"] == last
    assert encoded == list(range(9))


def test_reader_of_upload_results_that_does_not_read_holds_little(live: Live) -> None:
    send_through_small_buffers(live)
    window = {"slice_us": 1000, "slices": 1, "hop": 1, "confidence": 0, "iou": 1}
    query = SENSOR | window | {"job_id": "big", "format": "dat"}
    data = dat_stream(60, per_slice=4, slice_us=1000)
    size = len(live.http.post("/v1/detections", content=data, params=query).content)
    assert size > 6 * PIECE_BYTES
    request = b"GET /v1/detections/big/results HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw(live, request, small_buffer=True):
        connections = live.server.server_state.connections
        until(lambda: any(c.transport.get_write_buffer_size() for c in list(connections)))
        assert max(c.transport.get_write_buffer_size() for c in list(connections)) < 3 * PIECE_BYTES
    assert len(live.http.get("/v1/detections/big/results").content) == size
    live.http.delete("/v1/detections/big")
