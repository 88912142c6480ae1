"""Clients that mean no good, or cannot help it: each is refused in words, and harms nobody else."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from websockets.exceptions import ConnectionClosed

from benchmarks.soak.breaking import Break, brittle
from benchmarks.soak.stage import Stage, code_of
from benchmarks.soak.tally import Wrong
from spikewatch.ingest.simulation.dataset.layout import dat_header

OURS = ("internal", "step_failed")
"""Codes of faults of the service's own: garbage must never cause them."""
WIDE: dict[str, Any] = {"width": 304, "height": 240}


async def _say(stage: Stage, session_id: str, wanted: dict[str, Any], *messages: bytes | str) -> None:
    """Open a session, send, and listen until the service closes; it may also find nothing wrong."""
    await stage.open(session_id, wanted)
    try:
        async with brittle(stage.stream_url(session_id), Break()) as socket:
            for message in messages:
                await socket.send(message)
            await socket.send("close")
            async for text in socket:
                _check(stage, json.loads(text))
    except (OSError, ConnectionClosed) as error:
        stage.tally.errors[f"fault: {type(error).__name__}"] += 1


def _check(stage: Stage, message: dict[str, str]) -> None:
    if message["type"] == "error":
        stage.tally.errors[f"fault: {message['code']}"] += 1
        if message["code"] in OURS:
            raise Wrong(f"a fault of the service's own: {message}")


async def garbage(stage: Stage, session_id: str, rng: Random) -> None:
    """Bytes without sense, in a format that cannot mean them."""
    wanted = WIDE | {"format": rng.choice(["dat", "evt2", "evt21", "evt3"])}
    await _say(stage, session_id, wanted, rng.randbytes(rng.randrange(1, 200_000)))


async def broken_header(stage: Stage, session_id: str, rng: Random) -> None:
    """A header that lies, never ends, or ends too soon."""
    header = bytearray(dat_header(304, 240))
    header[rng.randrange(2, len(header))] = rng.randrange(256)
    bad = rng.choice([bytes(header), b"% " + b"x" * 70_000, b"% Width -3\n% Height x\n", b"% Width 304"])
    await _say(stage, session_id, {"format": "dat"}, bad, rng.randbytes(800))


async def jump_back(stage: Stage, session_id: str, rng: Random) -> None:
    """Time runs backwards in the middle of a stream."""
    recording = next(r for r in stage.recordings if r.name == "cut.raw")
    wanted = WIDE | {"format": recording.format}
    await _say(
        stage,
        session_id,
        wanted,
        recording.data[: 4 * rng.randrange(len(recording.data) // 4)],
        recording.data,
    )


async def nonsense(stage: Stage, session_id: str, rng: Random) -> None:
    """Words that are none, or a message that is too long."""
    words = rng.choice(["hello", "", "{}"])
    await _say(stage, session_id, WIDE, words if rng.random() < 0.7 else bytes(5 << 20))


async def bad_upload(stage: Stage, session_id: str, rng: Random) -> None:
    """No recording."""
    recording = rng.choice(stage.recordings)
    damaged = bytearray(recording.data)
    for _ in range(rng.randrange(1, 50)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    data = rng.choice([rng.randbytes(50_000), bytes(damaged), bytes(damaged[: rng.randrange(len(damaged))])])
    answer = await stage.ask("POST", "/v1/detections", content=data, params=WIDE)
    last = answer.text.splitlines()[-1] if answer.is_success and answer.text else "{}"
    code = json.loads(last).get("error", {}).get("code") if answer.is_success else code_of(answer)
    stage.tally.errors[f"fault: upload {code or 'that was read after all'}"] += 1
    if code in OURS:
        raise Wrong(f"a fault of the service's own: {answer.text[-500:]}")


async def bad_request(stage: Stage, session_id: str, rng: Random) -> None:
    """No HTTP."""
    port = stage.lives.port
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(rng.choice([rng.randbytes(3000), b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 9000]))
        await reader.read(1000)
        writer.close()
    except OSError as error:
        stage.tally.errors[f"fault: {type(error).__name__}"] += 1


async def wrong_place(stage: Stage, session_id: str, rng: Random) -> None:
    """Offsets, results and sessions that are not there."""
    await stage.open(session_id, WIDE | {"format": "dat"})
    for path, place in (
        (f"/v1/sessions/{session_id}/events", {"offset": 17}),
        (f"/v1/sessions/{session_id}/events", {"seq": -1}),
        ("/v1/sessions/nobody/events", {}),
    ):
        answer = await stage.ask("POST", path, params=place, content=b"")
        stage.tally.errors[f"fault: {code_of(answer)}"] += 1
        if answer.status_code not in (404, 409, 410, 422):
            raise Wrong(f"{path} {place}: {answer.status_code} {answer.text[:200]}")
    await stage.ask("DELETE", f"/v1/sessions/{session_id}")


Fault = Callable[[Stage, str, Random], Awaitable[None]]
FAULTS: tuple[Fault, ...] = (
    garbage,
    broken_header,
    jump_back,
    nonsense,
    bad_upload,
    bad_request,
    wrong_place,
)
