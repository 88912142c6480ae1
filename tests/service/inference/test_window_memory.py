"""Outputs that a window keeps for averaging take no more memory than their own numbers."""

from spikewatch.model.detector import Detector
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.window_result import WindowOptions
from tests.model.support.fakes import event_like_frames


def test_kept_logits_do_not_keep_those_of_other_sessions(detector: Detector) -> None:
    options = WindowOptions(window_slices=4, hop=4, confidence=0.01, iou=0.5)
    engine = Engine(detector, 3)
    sequences = [SequenceState(slot, detector, (90, 60), options) for slot in range(3)]
    frames = event_like_frames(3, detector.spec).numpy()
    engine.run([(s, InputSlice(0, 1000, 10, False, f, 0.0)) for s, f in zip(sequences, frames, strict=True)])
    for sequence in sequences:
        _, kept = sequence.window_builder.save()
        assert len(kept) == 3
        assert all(level.base is None for level in kept.values())
