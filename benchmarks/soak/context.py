"""State that all clients share: address of the service, recordings, expected results and counters."""

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from benchmarks.soak.counters import Failure, SoakCounters
from benchmarks.soak.expected import SESSION_CONFIGS, OfflineReference, RecordingPrefix, SessionConfig
from benchmarks.soak.recordings import SoakRecording
from benchmarks.soak.service_process import ServiceProcess

RETRY_DELAY_S = 0.5
CAPACITY_CODES = ("sessions_full", "uploads_full", "draining")


@dataclass(slots=True)
class SoakContext:
    """Shared by all clients; `http` does not retry."""

    service: ServiceProcess
    http: httpx.AsyncClient
    recordings: list[SoakRecording]
    expected: OfflineReference
    counters: SoakCounters = field(default_factory=SoakCounters)

    def stream_url(self, session_id: str, **place: int) -> str:
        """Address of a session's WebSocket."""
        query = "&".join(f"{name}={value}" for name, value in place.items())
        return f"{self.service.url.replace('http', 'ws', 1)}/v1/sessions/{session_id}/stream?{query}"

    async def request(self, method: str, path: str, **wanted: Any) -> httpx.Response:
        """A request that is sent again until it is answered; so it must do no harm when it comes twice."""
        while True:
            try:
                answer = await self.http.request(method, path, **wanted)
            except httpx.TransportError as error:
                self.counters.errors[f"{method}: {type(error).__name__}"] += 1
            else:
                if answer.is_success or problem_code(answer) not in CAPACITY_CODES:
                    return answer
                self.counters.errors[f"{method}: {problem_code(answer)}"] += 1
            await asyncio.sleep(RETRY_DELAY_S)

    async def open_session(self, session_id: str, session_request: dict[str, Any]) -> None:
        """A new session; that it exists is no error, since the answer may have been lost."""
        answer = await self.request("POST", "/v1/sessions", json={"session_id": session_id} | session_request)
        if not answer.is_success and problem_code(answer) != "session_exists":
            raise Failure(f"the session was not opened: {answer.text[:300]}")
        self.counters.counts["sessions"] += 1

    def random_streamable(self, rng: Random) -> SoakRecording:
        """Any recording that can be streamed."""
        return rng.choice([recording for recording in self.recordings if recording.format])

    def random_config(self, rng: Random, track: bool = True) -> SessionConfig:
        """Any way to be cut and judged."""
        return rng.choice([choice for choice in SESSION_CONFIGS if track or not choice.track])


@dataclass(frozen=True, slots=True)
class Playback:
    """Input of a session: parts of one format and sensor, with a `reset` between them."""

    parts: tuple[RecordingPrefix, ...]

    @property
    def data(self) -> bytes:
        """All bytes."""
        return b"".join(part.data for part in self.parts)

    @property
    def resets(self) -> list[int]:
        """Offsets at which the parts after the first begin."""
        return [sum(part.size for part in self.parts[:i]) for i in range(1, len(self.parts))]

    def to_request(self, config: SessionConfig, policy: str = "block") -> dict[str, Any]:
        """The request for its session."""
        recording = self.parts[0].recording
        return (
            {"format": recording.format, "policy": policy} | recording.sensor_parameters | config.to_request()
        )


def whole_recording(recording: SoakRecording) -> RecordingPrefix:
    """All of a recording."""
    return RecordingPrefix(recording, len(recording.data))


def problem_code(answer: httpx.Response) -> str:
    """Code of a problem."""
    try:
        return str(answer.json().get("code", answer.status_code))
    except ValueError:
        return str(answer.status_code)
