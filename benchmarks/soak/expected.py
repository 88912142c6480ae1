"""Expected results of each session: the windows of an offline run with the same weights and runtime."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.soak.recordings import SoakRecording
from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.service.inference.offline import OfflineRun
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.inference.window_result import WindowOptions

COMPARED_TOTALS = ("windows", "events", "detections", "dropped_events")
VOLATILE_FIELDS = ("type", "latency_ms", "dropped_windows")
"""Fields that do not depend on the bytes alone."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How a session is cut and judged; None: the model's own."""

    slice_us: int | None
    slices: int
    hop: int
    confidence: float
    track: bool = False

    def to_request(self) -> dict[str, Any]:
        """As a request has it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


SESSION_CONFIGS = (
    SessionConfig(None, 1, 1, 0.01),
    SessionConfig(None, 4, 4, 0.25),
    SessionConfig(None, 2, 3, 0.05, track=True),
    SessionConfig(62_500, 4, 1, 0.1, track=True),
    SessionConfig(25_000, 4, 2, 0.001),
)


@dataclass(frozen=True, slots=True)
class RecordingPrefix:
    """The first `size` bytes of a recording."""

    recording: SoakRecording
    size: int

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self.recording.data[: self.size]


@dataclass(frozen=True, slots=True)
class OfflineResult:
    """Results of an offline run.

    Attributes:
        windows: each as `canonical_window` writes it.
        totals: sums that must agree.
    """

    windows: list[str]
    totals: dict[str, Any]


def canonical_window(window: Mapping[str, Any]) -> str:
    """A window in one line, without what differs from run to run; equal lines are equal to the bit."""
    return json.dumps({k: v for k, v in window.items() if k not in VOLATILE_FIELDS}, sort_keys=True)


def compared_totals(totals: Mapping[str, Any]) -> dict[str, Any]:
    """The sums that must agree."""
    return {name: totals[name] for name in COMPARED_TOTALS}


class OfflineReference:
    """Runs each part once for each choice, in a helper thread, one at a time."""

    def __init__(self, weights: str | None, folder: Path) -> None:
        self._detector = load_detector(weights, runtime="auto")
        self.model = f"{self._detector.spec.name}, runtime {self._detector.runtime}"
        self._folder = folder
        self._cache: dict[tuple[RecordingPrefix, SessionConfig], OfflineResult] = {}
        self._lock = asyncio.Lock()

    async def result_for(self, parts: tuple[RecordingPrefix, ...], config: SessionConfig) -> OfflineResult:
        """The parts one after the other with a reset between them: `seq` goes on."""
        windows: list[str] = []
        totals: dict[str, Any] = dict.fromkeys(COMPARED_TOTALS, 0) | {"dropped_events": {}}
        for part in parts:
            run = await self._cached_result(part, config)
            windows += [
                canonical_window(json.loads(text) | {"seq": len(windows) + i})
                for i, text in enumerate(run.windows)
            ]
            totals = {name: _add_totals(totals[name], run.totals[name]) for name in COMPARED_TOTALS}
        return OfflineResult(windows, totals)

    async def _cached_result(self, part: RecordingPrefix, choice: SessionConfig) -> OfflineResult:
        async with self._lock:
            key = (part, choice)
            if key not in self._cache:
                self._cache[key] = await asyncio.to_thread(self._run_offline, part, choice)
            return self._cache[key]

    def _run_offline(self, part: RecordingPrefix, choice: SessionConfig) -> OfflineResult:
        path = part.recording.path
        if part.size < len(part.recording.data):
            path = self._folder / f"first {part.size} of {path.name}"
            path.write_bytes(part.recording.header + part.data)
        spec = self._detector.spec
        options = WindowOptions(choice.slices, choice.hop, choice.confidence, 0.45, choice.track)
        with open_recording(path, *(part.recording.sensor_size or ())) as recording:
            source = RecordingSource(recording, choice.slice_us or spec.slice_us, spec.representation)
            run = OfflineRun(source, self._detector, options)
            windows = [window for seen in run for window in seen.windows]
            totals = run.summary().model_dump()
        return OfflineResult(
            [canonical_window(json.loads(w.model_dump_json())) for w in windows], compared_totals(totals)
        )


def _add_totals(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return {name: a.get(name, 0) + b.get(name, 0) for name in a | b}
    return a + b
