"""Results of the Python interface, to hold those of a service or another run against."""

from collections.abc import Iterable
from typing import Any

from spikewatch.service.pipeline.results import DetectionResult
from tests.service.support.live import comparable


def as_windows(results: Iterable[DetectionResult]) -> list[dict[str, Any]]:
    """As the service sends them, without what differs from run to run."""
    return comparable([result.to_dict() for result in results])
