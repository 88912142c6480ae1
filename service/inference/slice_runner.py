"""One stream of slices through the network in this process, without queues or batches of several streams."""

import time

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.array_detector import ArrayDetector
from spikewatch.model.letterbox import Letterbox
from spikewatch.service.errors import StepFailed
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.input_slice import prepare_slice
from spikewatch.service.inference.window_result import WindowOptions, WindowResult


class SliceRunner:
    """Runs the slices of one stream in order. Its engine has one slot, the stream's.

    Attributes:
        engine: holds the membranes.
        sequence: slot and window of the stream.
    """

    def __init__(self, detector: ArrayDetector, sensor_size: tuple[int, int], options: WindowOptions) -> None:
        self.engine = Engine(detector, 1)
        self.sequence = SequenceState(0, detector, sensor_size, options)
        self._spec = detector.spec
        self._letterbox = Letterbox.fit(*sensor_size, detector.spec)

    def run(self, slice_: Slice) -> list[WindowResult]:
        """Run one slice; return the results that it completes. Membranes carry over from slice to slice.

        Raises:
            StepFailed: the logits are not finite.
        """
        finished = self.engine.finish_and_reset(self.sequence) if slice_.discontinuity else []
        input_slice = prepare_slice(slice_, self._letterbox, self._spec, time.monotonic())
        batch = self.engine.run([(self.sequence, input_slice)])
        if not batch.healthy[0]:
            raise StepFailed(f"logits are NaN or infinite at {slice_.t1_us / 1e6:.3f} s; check the weights")
        return finished + batch.windows[0]

    def flush(self) -> list[WindowResult]:
        """Return the result of an unfinished window, if it has any slice. Membranes stay."""
        return self.engine.flush(self.sequence)
