"""What all clients share: where the service is, what they play, what is expected, and the count of it all."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from benchmarks.soak.expected import CHOICES, Choice, Expected, Part
from benchmarks.soak.lives import Lives
from benchmarks.soak.recordings import Recording
from benchmarks.soak.tally import Tally, Wrong

PAUSE_S = 0.5
FULL = ("sessions_full", "uploads_full", "draining")


@dataclass(slots=True)
class Stage:
    """Shared by all clients; `http` does not retry."""

    lives: Lives
    http: httpx.AsyncClient
    recordings: list[Recording]
    expected: Expected
    tally: Tally = field(default_factory=Tally)

    def stream_url(self, session_id: str, **place: int) -> str:
        """Address of a session's WebSocket."""
        query = "&".join(f"{name}={value}" for name, value in place.items())
        return f"{self.lives.url.replace('http', 'ws', 1)}/v1/sessions/{session_id}/stream?{query}"

    async def ask(self, method: str, path: str, **wanted: Any) -> httpx.Response:
        """A request that is sent again until it is answered; so it must do no harm when it comes twice."""
        while True:
            try:
                answer = await self.http.request(method, path, **wanted)
            except httpx.TransportError as error:
                self.tally.errors[f"{method}: {type(error).__name__}"] += 1
            else:
                if answer.is_success or code_of(answer) not in FULL:
                    return answer
                self.tally.errors[f"{method}: {code_of(answer)}"] += 1
            await asyncio.sleep(PAUSE_S)

    async def open(self, session_id: str, wanted: dict[str, Any]) -> None:
        """A new session; that it exists is no error, since the answer may have been lost."""
        answer = await self.ask("POST", "/v1/sessions", json={"session_id": session_id} | wanted)
        if not answer.is_success and code_of(answer) != "session_exists":
            raise Wrong(f"the session was not opened: {answer.text[:300]}")
        self.tally.counts["sessions"] += 1

    def streamable(self, rng: Random) -> Recording:
        """Any recording that can be streamed."""
        return rng.choice([recording for recording in self.recordings if recording.format])

    def choice(self, rng: Random, track: bool = True) -> Choice:
        """Any way to be cut and judged."""
        return rng.choice([choice for choice in CHOICES if track or not choice.track])


@dataclass(frozen=True, slots=True)
class Reel:
    """What a session is fed: parts of one format and sensor, with a `reset` between them."""

    parts: tuple[Part, ...]

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(part.data for part in self.parts)

    @property
    def resets(self) -> list[int]:
        """Offsets at which the parts after the first begin."""
        return [sum(part.size for part in self.parts[:i]) for i in range(1, len(self.parts))]

    def wanted(self, choice: Choice, policy: str = "block") -> dict[str, Any]:
        """The request for its session."""
        recording = self.parts[0].recording
        return {"format": recording.format, "policy": policy} | recording.sensor | choice.wanted()


def whole(recording: Recording) -> Part:
    """All of a recording."""
    return Part(recording, len(recording.data))


def code_of(answer: httpx.Response) -> str:
    """Code of a problem."""
    try:
        return str(answer.json().get("code", answer.status_code))
    except ValueError:
        return str(answer.status_code)
