"""In-memory recordings with random events, and detectors whose logits depend on all input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.recording import Recording
from spikewatch.model.checkpoints.checkpoint import untrained_network
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.step import State
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.class_map import ClassMap
from spikewatch.model.training.datasets.labelled_recording import (
    LabelledFrame,
    filter_boxes,
    frames_from_boxes,
)
from spikewatch.model.training.datasets.protocol import EvaluationProtocol
from spikewatch.model.training.datasets.training_labels import TrainingLabels
from spikewatch.model.training.learner.run import BatchSource
from spikewatch.model.training.loader.batch import Batch

WIDTH, HEIGHT = 90, 60


def epoch_of(batches: BatchSource, number: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
    """The batches of one epoch for one of `world` processes."""
    for step in range(batches.batches_per_epoch):
        yield batches.batch(number, step, rank, world)


class MemoryRecording(Recording):
    """Events in chunks of a given size."""

    def __init__(self, events: Events, chunk: int = 1000, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
        super().__init__(Path("memory_td.dat"), "dat", *size)
        self._events, self._chunk = events, chunk

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        for start in range(0, len(self._events), self._chunk):
            yield self._events[start : start + self._chunk]

    def seek(self, t_us: int) -> None:
        raise NotImplementedError

    def progress(self) -> float:
        return 0.0

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class InMemory:
    """`LabelledRecording` of given events and labels; each `open` starts at the first event."""

    seen: Events
    boxes: PropheseeBoxes = field(default_factory=lambda: np.zeros(0, BBOX_DTYPE))
    chunk: int = 1000
    events: Path = Path("folder/memory_td.dat")
    sensor_size: tuple[int, int] = (WIDTH, HEIGHT)
    empty_us: tuple[int, ...] = ()

    def open(self) -> MemoryRecording:
        return MemoryRecording(self.seen, self.chunk, self.sensor_size)

    def labelled_frames(
        self, sensor_size: tuple[int, int], protocol: EvaluationProtocol, classes: ClassMap
    ) -> list[LabelledFrame]:
        return frames_from_boxes(filter_boxes(self.boxes, sensor_size, protocol, classes.label_to_index))

    def empty_times_us(self) -> tuple[int, ...]:
        return self.empty_us

    def training_labels(self, classes: int) -> TrainingLabels:
        return TrainingLabels.from_boxes(self.boxes)


def random_events(n: int, begin_us: int, end_us: int, seed: int = 0) -> Events:
    """Return n random events of [begin_us, end_us), in order of time."""
    rng = np.random.default_rng(seed)
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(begin_us, end_us, n))
    for name, high in (("x", WIDTH), ("y", HEIGHT), ("p", 2)):
        events[name] = rng.integers(0, high, n)
    return events


class Echo(Detector):
    """Detector with a leaky sum of its input as logits: a change of any slice changes all later logits."""

    def init_state(self, batch: int = 1) -> State:
        return {"sum": self.blank_frames(batch)}

    def step(self, frames: Tensor, state: State, exact: bool = False) -> StepOutput:
        total = state["sum"] / 2 + frames
        return StepOutput((total, frames, total), {"sum": total}, {}, {})


def boxes_at(times_us: Sequence[int], **columns: object) -> PropheseeBoxes:
    """Return boxes of 30x30 px at these times; `columns` override fields."""
    boxes = np.zeros(len(times_us), BBOX_DTYPE)
    boxes["t"], boxes["w"], boxes["h"], boxes["class_confidence"] = times_us, 30, 30, 0.5
    for name, values in columns.items():
        boxes[name] = values
    return boxes


def seeing_detector() -> Detector:
    """Build a real network on a small input, whose logits depend on the input."""
    config = SpikeYOLOConfig(in_channels=3)
    spec = ModelSpec("seeing", config, representation="latest_polarity", input_height=64, input_width=96)
    return Detector(untrained_network(config), spec)
