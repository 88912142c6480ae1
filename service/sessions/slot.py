"""Where a session is computed."""

from collections.abc import Callable
from dataclasses import dataclass

from spikewatch.model.detector import Detector
from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.model_catalog import Entry


@dataclass(frozen=True, slots=True)
class Berth:
    """A session's place in a model that is loaded.

    Attributes:
        model: what is known of the weights.
        detector: which runs them.
        slot: of the bank of membranes; nobody else's while the session is open.
        metrics: of the model.
        notify: tells its worker that there may be work.
    """

    model: Entry
    detector: Detector
    slot: int
    metrics: ModelMetrics
    notify: Callable[[], None]
