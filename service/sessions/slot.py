"""Where a session is computed."""

from collections.abc import Callable
from dataclasses import dataclass

from spikewatch.model.detector import Detector
from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.model_catalog import ModelEntry


@dataclass(frozen=True, slots=True)
class SlotLease:
    """A session's place in a model that is loaded.

    Attributes:
        model: what is known of the weights.
        detector: which runs them.
        slot: of the bank of membranes; nobody else's while the session is open.
        metrics: of the model.
        notify_worker: tells its worker that there may be work.
    """

    model: ModelEntry
    detector: Detector
    slot: int
    metrics: ModelMetrics
    notify_worker: Callable[[], None]
