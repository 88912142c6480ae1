"""Memory that the service still holds at rest after many short sessions of each kind.

    python -m benchmarks.soak.memory_retention --out benchmarks/results/leftovers.md

The soak shows whether a service that does everything at once grows; this benchmark finds the
kind of session that causes it. Needs the extra `dev`.
"""

import argparse
import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.soak.run import SoakOptions
from benchmarks.soak.samples import take_sample
from benchmarks.soak.service_process import ServiceProcess

STREET = Path("service/assets/street_td.dat")
SESSION_BYTES = 60_000
"""Of the bundled recording, in each session: some four slices."""
CONCURRENCY = 6
OPTIONS = SoakOptions(minutes=0)
SessionRun = Callable[[], Awaitable[None]]


class SessionKinds:
    """Clients of all kinds."""

    def __init__(self, service: ServiceProcess, http: httpx.AsyncClient, data: bytes) -> None:
        self._service, self._http, self._data = service, http, data

    async def streamed(self) -> None:
        """Sent over a WebSocket, and closed."""
        async with self._connect(await self._open(), "stream") as socket:
            await self._play(socket)

    async def broken(self) -> None:
        """The connection breaks, and the session is ended over another."""
        session_id = await self._open()
        async with self._connect(session_id, "stream") as socket:
            await socket.send(self._data)
            await socket.recv()
            socket.transport.abort()
        await self._end(session_id)

    async def posted(self) -> None:
        """Sent in a POST."""
        session_id = await self._open()
        await self._request("POST", f"/v1/sessions/{session_id}/events", content=self._data)
        await self._end(session_id)

    async def saved(self) -> None:
        """Saved on demand."""
        session_id = await self._open()
        await self._request("POST", f"/v1/sessions/{session_id}/events", content=self._data)
        await self._request("POST", f"/v1/sessions/{session_id}/snapshot")
        await self._end(session_id)

    async def watched(self) -> None:
        """With an onlooker, and reset in the middle."""
        session_id = await self._open()
        async with (
            self._connect(session_id, "watch") as onlooker,
            self._connect(session_id, "stream") as socket,
        ):
            await asyncio.gather(self._play(socket, reset=True), _read_to_end(onlooker))

    async def uploaded(self) -> None:
        """An upload."""
        await self._request("POST", "/v1/detections", content=self._data)

    def _connect(self, session_id: str, what: str) -> connect:
        address = f"{self._service.url.replace('http', 'ws', 1)}/v1/sessions/{session_id}/{what}"
        return connect(address, compression=None, max_size=None, ping_interval=None)

    async def _play(self, socket: ClientConnection, reset: bool = False) -> None:
        for message in (self._data, *(("reset", self._data) if reset else ()), "close"):
            await socket.send(message)
        await _read_to_end(socket)

    async def _open(self) -> str:
        opened = await self._request("POST", "/v1/sessions", json={"format": "dat", "confidence": 0.05})
        session_id: str = opened.json()["session_id"]
        return session_id

    async def _end(self, session_id: str) -> None:
        await self._request("DELETE", f"/v1/sessions/{session_id}")

    async def _request(self, method: str, path: str, **wanted: object) -> httpx.Response:
        """Ask until there is room."""
        while True:
            answer = await self._http.request(method, path, **wanted)  # type: ignore[arg-type]
            if answer.status_code not in (409, 503):
                return answer.raise_for_status()
            await asyncio.sleep(0.05)


async def _read_to_end(socket: ClientConnection) -> None:
    """Read to the end."""
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        pass


async def measure_retention(rounds: int, sessions: int, folder: Path) -> list[str]:
    """Rows of a table: for each kind of session, MB at rest after each round, and the slope."""
    lives = ServiceProcess(None, OPTIONS.service_environment(), folder)
    rows = []
    await lives.start()
    try:
        async with httpx.AsyncClient(base_url=lives.url, timeout=60, trust_env=False) as http:
            visitor = SessionKinds(lives, http, STREET.read_bytes()[:SESSION_BYTES])
            for name in ("streamed", "broken", "posted", "saved", "watched", "uploaded"):
                visit: SessionRun = getattr(visitor, name)
                used = []
                for _ in range(1 + rounds):  # the first one warms up
                    await _run_concurrently(visit, sessions)
                    await asyncio.sleep(OPTIONS.rest_s)
                    used.append((await take_sample(lives, http)).memory)
                slope = np.polyfit(np.arange(rounds) * sessions, used[1:], 1)[0]
                rows.append(
                    f"| {name} | {' '.join(f'{memory / 1e6:.0f}' for memory in used)} | {slope / 1e3:+.1f} |"
                )
                print(rows[-1], flush=True)
    finally:
        await lives.end(signal.SIGTERM)
    return rows


async def _run_concurrently(visit: SessionRun, sessions: int) -> None:
    left = iter(range(sessions))

    async def one_after_another() -> None:
        for _ in left:
            await visit()

    await asyncio.gather(*(one_after_another() for _ in range(CONCURRENCY)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.memory_retention", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--sessions", type=int, default=200, help="in each round, of each kind")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = asyncio.run(measure_retention(given.rounds, given.sessions, Path(folder)))
    head = [
        "Memory of the service at rest, without pages of files, after rounds of short sessions of one kind:",
        f"{given.sessions} a round, one round to warm up and {given.rounds} more, then the next kind.",
        "",
        "| sessions | MB after each round | kB a session, slope |",
        "|---|---|---:|",
    ]
    given.out.write_text("\n".join([*head, *rows, ""]))


if __name__ == "__main__":
    main()
