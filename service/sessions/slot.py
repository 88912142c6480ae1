"""Where a session is computed."""

from collections.abc import Callable
from dataclasses import dataclass

from spikewatch.model.detector import Detector
from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.model_catalog import ModelEntry


@dataclass(frozen=True, slots=True)
class SlotLease:
    """A session's slot in a loaded model.

    Attributes:
        model: catalogue entry of the weights.
        detector: runs the weights.
        slot: index into the membrane bank, reserved while the session is open.
        metrics: of the model.
        notify_worker: wakes the worker thread of the model.
    """

    model: ModelEntry
    detector: Detector
    slot: int
    metrics: ModelMetrics
    notify_worker: Callable[[], None]
