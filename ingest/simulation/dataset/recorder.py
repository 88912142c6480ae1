"""Recorder: an event camera films a scene and yields events and labels, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.events import Events
from spikewatch.ingest.simulation.dataset.labels import Boxes, label_actors
from spikewatch.ingest.simulation.dataset.visibility import ActivityFilter
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.film import Film

MIN_FPS, MAX_FPS = 10.0, 2000.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Duration of a recording, and its rates of frames and labels.

    Raises:
        SimulationError: a rate is out of bounds, labels fall between frames, or no frame fits.
    """

    seconds: float
    fps: float = 100.0
    label_hz: float = 20.0

    def __post_init__(self) -> None:
        if not MIN_FPS <= self.fps <= MAX_FPS:
            raise SimulationError(f"{self.fps:g} frames per second; expected {MIN_FPS:g} to {MAX_FPS:g}")
        if not (0 < self.label_hz <= self.fps and _ratio(self.fps, self.label_hz).denominator == 1):
            raise SimulationError(
                f"{self.label_hz:g} labels per second do not fall on frames; pass a divisor of {self.fps:g}"
            )
        if not self.seconds * self.fps >= 1:
            raise SimulationError(
                f"{self.seconds:g} s have no frame at {self.fps:g} frames per second; expected at least 1"
            )

    @property
    def frames(self) -> int:
        """Number of steps, each from one frame to the next; there is one more frame."""
        return int(_to_fraction(self.seconds) * _to_fraction(self.fps))

    @property
    def frames_per_label(self) -> int:
        return _ratio(self.fps, self.label_hz).numerator

    def t_us(self, frame: int) -> int:
        """Return the time of a frame; frame 0 is at 0."""
        return round(frame * 1_000_000 / _to_fraction(self.fps))


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """Step from one frame to the next: its events, and the labels at its end, None between labels."""

    t_us: int
    events: Events
    labels: Boxes | None


def record_film(film: Film, camera: EventCamera, timing: Timing) -> Iterator[RecordedStep]:
    """Yield all steps of a recording. There is no label at time 0, because nothing has moved yet."""
    first = film.luminance(0.0)
    camera.generate_events(first, 0)
    height, width = first.shape
    activity = ActivityFilter(height, width, len(film.actors))
    for frame in range(1, timing.frames + 1):
        t_us, labels = timing.t_us(frame), None
        events = camera.generate_events(film.luminance(t_us * 1e-6), t_us)
        activity.update(events)
        if frame % timing.frames_per_label == 0:
            ids = film.ids(t_us * 1e-6)
            labels = label_actors(ids, film.actors, t_us, activity.active_actors(ids, t_us))
        yield RecordedStep(t_us, events, labels)


def _to_fraction(value: float) -> Fraction:
    return Fraction(str(value))


def _ratio(a: float, b: float) -> Fraction:
    return _to_fraction(a) / _to_fraction(b)
