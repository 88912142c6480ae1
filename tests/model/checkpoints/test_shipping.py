"""Weights that ship: a threshold chosen on validation becomes the default confidence."""

from pathlib import Path

import pytest
import torch

from scripts.ship_weights import shift_scores, ship_weights
from spikewatch.model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from spikewatch.model.detector import Detector
from tests.model.support.fakes import event_like_frames, small_detector


def scores(detector: Detector) -> torch.Tensor:
    """Class probabilities [N,A] of one slice."""
    frame = event_like_frames(1, detector.spec)
    out = detector.step(frame, detector.init_state())
    return torch.cat([level.flatten(2)[0, -2:] for level in out.logits], 1).sigmoid()


def test_threshold_of_a_class_becomes_the_default_confidence() -> None:
    before, detector = scores(small_detector()), small_detector()
    threshold = float(before[0].median())
    shift_scores(detector, {"car": threshold})
    after = scores(detector)
    assert torch.equal(after[0] > 0.25, before[0] > threshold)
    assert torch.equal(after[1], before[1])


def test_shipped_file_tells_the_thresholds(tmp_path: Path) -> None:
    detector = small_detector()
    save_checkpoint(tmp_path / "source.safetensors", detector.network, detector.spec)
    path = ship_weights(tmp_path / "source.safetensors", tmp_path / "out", {"run": "a"}, {"pedestrian": 0.2})
    shipped = load_checkpoint(path)
    assert dict(shipped.spec.provenance) == {"run": "a", "thresholds": "pedestrian 0.2 -> 0.25"}
    assert path.name == f"{detector.spec.name}.safetensors"


@pytest.mark.parametrize("wrong", [{"lorry": 0.2}, {"car": 0.0}, {"car": 1.0}])
def test_wrong_thresholds_are_rejected(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected one of car, pedestrian"):
        shift_scores(small_detector(), wrong)
