"""Selection of the best epoch by several validation sets, and the schedule of runs with an open end."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spikewatch.model.checkpoints.checkpoint import load_checkpoint, weights_digest
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.model.network.build import build_network
from spikewatch.model.training.evaluation.evaluation import FalseBoxes
from spikewatch.model.training.evaluation.metrics import ClassScore, PrecisionMetrics, Score
from spikewatch.model.training.learner.learner import Trainer
from spikewatch.model.training.learner.recipe import OPEN_AVERAGE_STEPS, TrainingRecipe
from spikewatch.model.training.learner.run import TrainingRun
from spikewatch.model.training.learner.run_folder import RunFolder
from spikewatch.model.training.learner.validation import SetScore, selection_score
from tests.model.training.support.short_run import RECIPE, SPEC, FakeBatches, Watch


def scored(name: str, ap: float | None, false_boxes: int | None = None) -> SetScore:
    """A set of one class, with false boxes at 10 empty times of a second in all."""
    metrics = PrecisionMetrics(ap, ap, ap, None, None, None)
    score = Score(metrics, (ClassScore("car", metrics, 5, 5),), 5, ())
    found = None if false_boxes is None else FalseBoxes(false_boxes, 10, 100_000, 0.25)
    return SetScore(name, score, found)


def test_selection_is_mean_ap_minus_the_cost_of_false_boxes() -> None:
    assert selection_score([scored("val", 0.4)]) == 0.4
    assert selection_score([scored("val", 0.4), scored("video", 0.2)]) == pytest.approx(0.3)
    sets = [scored("val", 0.4, 2), scored("video", 0.2), scored("nothing", None, 10)]
    assert selection_score(sets) == pytest.approx(0.3 - 0.005 * 6)
    assert selection_score([scored("nothing", None, 10)]) is None


def test_best_epoch_is_kept_and_all_sets_are_logged(tmp_path: Path) -> None:
    """The second epoch has the best AP, but many false boxes."""
    epochs = iter(
        [
            [scored("val", 0.30, 0), scored("nothing", None, 0)],
            [scored("val", 0.33, 10), scored("nothing", None, 30)],
            [scored("val", 0.31, 1), scored("nothing", None, 1)],
        ]
    )
    seen: list[str] = []

    def validate(detector: Detector) -> list[SetScore]:
        seen.append(weights_digest(detector.network))
        return next(epochs)

    torch.manual_seed(0)
    trainer, folder = Trainer(build_network(SPEC.config), SPEC.slices, RECIPE), RunFolder(tmp_path)
    folder.create_or_resume({}, resume=False)
    TrainingRun(trainer, FakeBatches(), SPEC, RECIPE, folder, validate).fit(Watch())
    assert weights_digest(load_checkpoint(tmp_path / "best.safetensors").network) == seen[2] != seen[1]
    with (tmp_path / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["false_boxes_nothing"]) for row in rows] == [0, 30, 1]
    assert [float(row["false_boxes_val"]) for row in rows] == [0, 10, 1]
    assert [row["ap50_nothing_car"] for row in rows] == [""] * 3
    assert [float(row["selection"]) for row in rows] == pytest.approx([0.30, 0.33 - 0.1, 0.31 - 0.005])


def test_learning_rate_is_constant_until_the_last_epochs() -> None:
    recipe = TrainingRecipe(epochs=10, learning_rate=1.0, warmup_epochs=2, decay_epochs=4)
    rates = [recipe.learning_rate_at(epoch) for epoch in (1, 2, 5, 6, 8, 10, 12)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1 - 0.5 * 0.99, 0.01, 0.01])
    assert [replace(recipe, decay_epochs=0).learning_rate_at(epoch) for epoch in (3, 10)] == [1, 1]
    whole = replace(recipe, decay_epochs=None, warmup_epochs=0)
    assert [whole.learning_rate_at(epoch) for epoch in (0, 5, 10)] == pytest.approx([1, 1 - 0.5 * 0.99, 0.01])
    assert (recipe.for_steps(10**6).average_steps, whole.for_steps(10**6).average_steps) == (
        OPEN_AVERAGE_STEPS,
        10_000,
    )
    with pytest.raises(ConfigError, match="decay_epochs 11: expected 0 to 10"):
        replace(recipe, decay_epochs=11)
