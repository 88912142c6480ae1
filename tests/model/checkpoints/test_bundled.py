"""Bundled weights: size, provenance and detections on the bundled recording."""

from pathlib import Path

from spikewatch.model.checkpoints.bundled import BUNDLED_FOLDER, DEFAULT_WEIGHTS
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.evaluation.evaluate import evaluate_recordings

ASSETS = Path(__file__).parents[3] / "service" / "assets"


def test_bundled_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED_FOLDER.iterdir()) < 8_000_000


def test_default_weights_name_their_training_data() -> None:
    spec = load_detector().spec
    assert (spec.name, spec.training) == (
        DEFAULT_WEIGHTS,
        "trained on simulated recordings and on events made from video",
    )
    assert spec.count_rule == "per_side"
    assert "YOLOX" in spec.provenance["credits"]


def test_bundled_weights_detect_moving_objects() -> None:
    """Cars and people of the bundled recording, which was not in the training data."""
    recording = PropheseeRecording(ASSETS / "street_td.dat", ASSETS / "street_bbox.npy")
    figures = evaluate_recordings(load_detector(), [recording], state="carry").score.metrics
    assert figures.ap50 is not None
    assert figures.ap50 > 0.5
