from collections.abc import Iterator

import pytest

from model.detector import Detector
from tests.model.fakes import small_detector
from tests.service.live import Live, live_service


@pytest.fixture(scope="session")
def detector() -> Detector:
    """The untrained default on a small input; its results do not depend on batching."""
    return small_detector()


@pytest.fixture(scope="module")
def live(detector: Detector) -> Iterator[Live]:
    """A service for tests that leave it as they found it."""
    with live_service(detector, max_sessions=8) as service:
        yield service
