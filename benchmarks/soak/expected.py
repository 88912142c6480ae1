"""What each session must give: the windows of a run without a service, of the same weights and runtime."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.soak.recordings import Recording
from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.service.inference.offline import OfflineRun
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.inference.window import WindowOptions

COUNTED = ("windows", "events", "detections", "dropped_events")
MOVING = ("type", "latency_ms", "dropped_windows")
"""What is not a function of the bytes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a session is cut and judged; None: the model's own."""

    slice_us: int | None
    slices: int
    hop: int
    confidence: float
    track: bool = False

    def wanted(self) -> dict[str, Any]:
        """As a request has it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


CHOICES = (
    Choice(None, 1, 1, 0.01),
    Choice(None, 4, 4, 0.25),
    Choice(None, 2, 3, 0.05, track=True),
    Choice(62_500, 4, 1, 0.1, track=True),
    Choice(25_000, 4, 2, 0.001),
)


@dataclass(frozen=True, slots=True)
class Part:
    """The first `size` bytes of a recording."""

    recording: Recording
    size: int

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self.recording.data[: self.size]


@dataclass(frozen=True, slots=True)
class Run:
    """What came out.

    Attributes:
        windows: each as `text_of` writes it.
        totals: sums that must agree.
    """

    windows: list[str]
    totals: dict[str, Any]


def text_of(window: Mapping[str, Any]) -> str:
    """A window in one line, without what differs from run to run; equal lines are equal to the bit."""
    return json.dumps({k: v for k, v in window.items() if k not in MOVING}, sort_keys=True)


def counted(totals: Mapping[str, Any]) -> dict[str, Any]:
    """The sums that must agree."""
    return {name: totals[name] for name in COUNTED}


class Expected:
    """Runs each part once for each choice, in a helper thread, one at a time."""

    def __init__(self, weights: str | None, folder: Path) -> None:
        self._detector = load_detector(weights, runtime="auto")
        self.model = f"{self._detector.spec.name}, runtime {self._detector.runtime}"
        self._folder = folder
        self._known: dict[tuple[Part, Choice], Run] = {}
        self._lock = asyncio.Lock()

    async def of(self, parts: tuple[Part, ...], choice: Choice) -> Run:
        """The parts one after the other with a reset between them: `seq` goes on."""
        windows: list[str] = []
        totals: dict[str, Any] = dict.fromkeys(COUNTED, 0) | {"dropped_events": {}}
        for part in parts:
            run = await self._one(part, choice)
            windows += [
                text_of(json.loads(text) | {"seq": len(windows) + i}) for i, text in enumerate(run.windows)
            ]
            totals = {name: _sum(totals[name], run.totals[name]) for name in COUNTED}
        return Run(windows, totals)

    async def _one(self, part: Part, choice: Choice) -> Run:
        async with self._lock:
            key = (part, choice)
            if key not in self._known:
                self._known[key] = await asyncio.to_thread(self._run, part, choice)
            return self._known[key]

    def _run(self, part: Part, choice: Choice) -> Run:
        path = part.recording.path
        if part.size < len(part.recording.data):
            path = self._folder / f"first {part.size} of {path.name}"
            path.write_bytes(part.recording.head + part.data)
        spec = self._detector.spec
        options = WindowOptions(choice.slices, choice.hop, choice.confidence, 0.45, choice.track)
        with open_recording(path, *(part.recording.size or ())) as recording:
            source = RecordingSource(recording, choice.slice_us or spec.slice_us, spec.representation)
            run = OfflineRun(source, self._detector, options)
            windows = [window for seen in run for window in seen.windows]
            totals = run.summary().model_dump()
        return Run([text_of(json.loads(w.model_dump_json())) for w in windows], counted(totals))


def _sum(a: Any, b: Any) -> Any:
    if isinstance(a, dict):
        return {name: a.get(name, 0) + b.get(name, 0) for name in a | b}
    return a + b
