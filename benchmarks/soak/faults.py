"""Clients that mean no good, or cannot help it: each is refused in words, and harms nobody else."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from websockets.exceptions import ConnectionClosed

from benchmarks.soak.context import SoakContext, problem_code
from benchmarks.soak.counters import Failure
from benchmarks.soak.flaky_connection import ConnectionFault, connect_flaky
from spikewatch.ingest.simulation.dataset.layout import encode_dat_header

INTERNAL_ERRORS = ("internal", "step_failed")
"""Codes of faults of the service's own: garbage must never cause them."""
SENSOR_SIZE: dict[str, Any] = {"width": 304, "height": 240}


async def _send_and_listen(
    context: SoakContext, session_id: str, session_request: dict[str, Any], *messages: bytes | str
) -> None:
    """Open a session, send, and listen until the service closes; it may also find nothing wrong."""
    await context.open_session(session_id, session_request)
    try:
        async with connect_flaky(context.stream_url(session_id), ConnectionFault()) as socket:
            for message in messages:
                await socket.send(message)
            await socket.send("close")
            async for text in socket:
                _check_message(context, json.loads(text))
    except (OSError, ConnectionClosed) as error:
        context.counters.errors[f"fault: {type(error).__name__}"] += 1


def _check_message(context: SoakContext, message: dict[str, str]) -> None:
    if message["type"] == "error":
        context.counters.errors[f"fault: {message['code']}"] += 1
        if message["code"] in INTERNAL_ERRORS:
            raise Failure(f"a fault of the service's own: {message}")


async def garbage(context: SoakContext, session_id: str, rng: Random) -> None:
    """Bytes without sense, in a format that cannot mean them."""
    wanted = SENSOR_SIZE | {"format": rng.choice(["dat", "evt2", "evt21", "evt3"])}
    await _send_and_listen(context, session_id, wanted, rng.randbytes(rng.randrange(1, 200_000)))


async def broken_header(context: SoakContext, session_id: str, rng: Random) -> None:
    """A header that lies, never ends, or ends too soon."""
    header = bytearray(encode_dat_header(304, 240))
    header[rng.randrange(2, len(header))] = rng.randrange(256)
    bad = rng.choice([bytes(header), b"% " + b"x" * 70_000, b"% Width -3\n% Height x\n", b"% Width 304"])
    await _send_and_listen(context, session_id, {"format": "dat"}, bad, rng.randbytes(800))


async def jump_back(context: SoakContext, session_id: str, rng: Random) -> None:
    """Time runs backwards in the middle of a stream."""
    recording = next(r for r in context.recordings if r.name == "cut.raw")
    wanted = SENSOR_SIZE | {"format": recording.format}
    await _send_and_listen(
        context,
        session_id,
        wanted,
        recording.data[: 4 * rng.randrange(len(recording.data) // 4)],
        recording.data,
    )


async def bad_text(context: SoakContext, session_id: str, rng: Random) -> None:
    """Words that are none, or a message that is too long."""
    words = rng.choice(["hello", "", "{}"])
    await _send_and_listen(context, session_id, SENSOR_SIZE, words if rng.random() < 0.7 else bytes(5 << 20))


async def bad_upload(context: SoakContext, session_id: str, rng: Random) -> None:
    """No recording."""
    recording = rng.choice(context.recordings)
    damaged = bytearray(recording.data)
    for _ in range(rng.randrange(1, 50)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    data = rng.choice([rng.randbytes(50_000), bytes(damaged), bytes(damaged[: rng.randrange(len(damaged))])])
    answer = await context.request("POST", "/v1/detections", content=data, params=SENSOR_SIZE)
    last = answer.text.splitlines()[-1] if answer.is_success and answer.text else "{}"
    code = json.loads(last).get("error", {}).get("code") if answer.is_success else problem_code(answer)
    context.counters.errors[f"fault: upload {code or 'that was read after all'}"] += 1
    if code in INTERNAL_ERRORS:
        raise Failure(f"a fault of the service's own: {answer.text[-500:]}")


async def bad_request(context: SoakContext, session_id: str, rng: Random) -> None:
    """No HTTP."""
    port = context.service.port
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rng.choice([rng.randbytes(3000), b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 9000]))
        await reader.read(1000)
        writer.close()
    except OSError as error:
        context.counters.errors[f"fault: {type(error).__name__}"] += 1


async def bad_position(context: SoakContext, session_id: str, rng: Random) -> None:
    """Offsets, results and sessions that are not there."""
    await context.open_session(session_id, SENSOR_SIZE | {"format": "dat"})
    for path, place in (
        (f"/v1/sessions/{session_id}/events", {"offset": 17}),
        (f"/v1/sessions/{session_id}/events", {"seq": -1}),
        ("/v1/sessions/nobody/events", {}),
    ):
        answer = await context.request("POST", path, params=place, content=b"")
        context.counters.errors[f"fault: {problem_code(answer)}"] += 1
        if answer.status_code not in (404, 409, 410, 422):
            raise Failure(f"{path} {place}: {answer.status_code} {answer.text[:200]}")
    await context.request("DELETE", f"/v1/sessions/{session_id}")


Fault = Callable[[SoakContext, str, Random], Awaitable[None]]
FAULTS: tuple[Fault, ...] = (
    garbage,
    broken_header,
    jump_back,
    bad_text,
    bad_upload,
    bad_request,
    bad_position,
)
