"""Runs a recording to count what it costs; membranes carried as the weights ask for."""

from collections.abc import Callable, Iterator

import torch

from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.letterbox import Letterbox, prepare_frame
from spikewatch.service.inference.sources import RecordingSource

Progress = Callable[[float], None]


def run_recording(
    detector: Detector, recording: Recording, slices: int, slice_us: int, progress: Progress
) -> Iterator[StepOutput]:
    """Every slice of a recording, in the order of time that the weights ask for."""
    detector.spec.check_input(events=True, name=recording.path.name)
    parts = RecordingSource(recording, slice_us, detector.spec.representation).slices()
    box = Letterbox.fit(*recording.sensor_size(), detector.spec)
    if detector.spec.time_order == "oldest_first":
        outputs = _carried(detector, parts, box)
    else:
        outputs = _whole_windows(detector, parts, box, slices)
    for out in outputs:
        yield out
        progress(recording.progress())


def _carried(detector: Detector, parts: Iterator[Slice], box: Letterbox) -> Iterator[StepOutput]:
    state = detector.init_state()
    for part in parts:
        before = detector.init_state() if part.discontinuity else state
        out = detector.step(prepare_frame(part.frame, box, detector.spec)[None], before, exact=True)
        state = out.state
        yield out


def _whole_windows(
    detector: Detector, parts: Iterator[Slice], box: Letterbox, slices: int
) -> Iterator[StepOutput]:
    held: list[torch.Tensor] = []
    for part in parts:
        if held and (part.discontinuity or len(held) == slices):
            yield from detector.window(torch.stack(held), exact=True)
            held = []
        held.append(prepare_frame(part.frame, box, detector.spec)[None])
    if held:
        yield from detector.window(torch.stack(held), exact=True)
