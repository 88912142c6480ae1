"""Outputs of every slice of a recording with exact accumulations, for `spikewatch energy`."""

from collections.abc import Callable, Iterator

import torch

from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.spec import ModelSpec
from spikewatch.service.inference.sources import RecordingSource

ProgressCallback = Callable[[float], None]


def run_recording(
    detector: Detector, recording: Recording, window_slices: int, slice_us: int, on_progress: ProgressCallback
) -> Iterator[StepOutput]:
    """Yield the output of every slice of a recording, in the time order of the weights."""
    detector.spec.check_input(events=True, name=recording.path.name)
    slices = RecordingSource(recording, slice_us, detector.spec.representation).slices()
    letterbox = Letterbox.fit(*recording.sensor_size(), detector.spec)
    if detector.spec.time_order == "oldest_first":
        outputs = _run_stateful(detector, slices, letterbox)
    else:
        outputs = _run_windows(detector, slices, letterbox, window_slices)
    for out in outputs:
        yield out
        on_progress(recording.progress())


def _run_stateful(detector: Detector, slices: Iterator[Slice], letterbox: Letterbox) -> Iterator[StepOutput]:
    state = detector.init_state()
    for slice_ in slices:
        previous = detector.init_state() if slice_.discontinuity else state
        out = detector.step(_network_input(slice_, letterbox, detector.spec), previous, exact=True)
        state = out.state
        yield out


def _run_windows(
    detector: Detector, slices: Iterator[Slice], letterbox: Letterbox, window_slices: int
) -> Iterator[StepOutput]:
    window: list[torch.Tensor] = []
    for slice_ in slices:
        if window and (slice_.discontinuity or len(window) == window_slices):
            yield from detector.run_window(torch.stack(window), exact=True)
            window = []
        window.append(_network_input(slice_, letterbox, detector.spec))
    if window:
        yield from detector.run_window(torch.stack(window), exact=True)


def _network_input(slice_: Slice, letterbox: Letterbox, spec: ModelSpec) -> torch.Tensor:
    return torch.from_numpy(preprocess(slice_.frame, letterbox, spec))[None]
