from collections.abc import Callable, Iterator
from functools import partial

import pytest

from spikewatch.model.detector import Detector
from tests.model.support.fakes import small_detector
from tests.service.support.console import Done, run_command
from tests.service.support.live import Live, live_service


@pytest.fixture(scope="session")
def detector() -> Detector:
    """The untrained default on a small input; its results do not depend on batching."""
    return small_detector()


@pytest.fixture(scope="module")
def live(detector: Detector) -> Iterator[Live]:
    """A service for tests that leave it as they found it."""
    with live_service(detector, max_sessions=8, max_batch=8) as service:
        yield service


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs a command as the console script does."""
    monkeypatch.setenv("COLUMNS", "200")
    return partial(run_command, capsys)
