"""Scores of an epoch on named validation sets, and the rule that selects the best epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spikewatch.model.detector import Detector
from spikewatch.model.training.evaluation.evaluation import Evaluation, FalseBoxes
from spikewatch.model.training.evaluation.metrics import Score

FALSE_BOX_COST = 0.005
"""Average precision that one false box a second costs in the selection of the best epoch."""


@dataclass(frozen=True, slots=True)
class SetScore:
    """Score on one validation set, and its false boxes at times without objects, if it has such times."""

    name: str
    score: Score
    false_boxes: FalseBoxes | None = None

    @staticmethod
    def from_evaluation(name: str, evaluation: Evaluation) -> "SetScore":
        """Return the score of an evaluation."""
        return SetScore(name, evaluation.score, evaluation.false_boxes)

    def columns(self) -> tuple[tuple[str, float | None], ...]:
        """Return name and value of each figure, for logs."""
        figures = [(f"ap50_{self.name}_{row.name}", row.metrics.ap50) for row in self.score.classes]
        if self.false_boxes is not None:
            figures.append((f"false_boxes_{self.name}", self.false_boxes.per_second))
        return tuple(figures)


Validate = Callable[[Detector], Sequence[SetScore]]
"""Scores weights on all validation sets, the data set's own first."""


def selection_score(sets: Sequence[SetScore]) -> float | None:
    """Return the figure by which the best epoch is selected; None without any label.

    It is the mean AP of the sets with labels, minus FALSE_BOX_COST for each false box a second. The rate of
    false boxes is the mean over the sets that have times without objects.
    """
    precision = [each.score.metrics.ap for each in sets if each.score.metrics.ap is not None]
    if not precision:
        return None
    rates = [each.false_boxes.per_second for each in sets if each.false_boxes is not None]
    cost = FALSE_BOX_COST * sum(rates) / len(rates) if rates else 0.0
    return sum(precision) / len(precision) - cost
