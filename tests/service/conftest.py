from collections.abc import Callable, Iterator
from functools import partial

import pytest

from spikewatch.model.detector import Detector
from tests.model.support.fakes import small_detector
from tests.service.support.console import Done, run_command
from tests.service.support.live import Live
from tests.service.support.shared import SharedServices


@pytest.fixture(scope="session")
def detector() -> Detector:
    """The untrained default on a small input; its results do not depend on batching."""
    return small_detector()


@pytest.fixture(scope="module")
def module_services(detector: Detector) -> Iterator[SharedServices]:
    services = SharedServices(detector)
    yield services
    services.stop()


@pytest.fixture(scope="module")
def live(module_services: SharedServices) -> Live:
    """A service for tests that leave it as they found it."""
    return module_services(max_sessions=8, max_batch=8)


@pytest.fixture
def services(module_services: SharedServices) -> Iterator[SharedServices]:
    """Services by their settings, shared by the tests of a module; each test finds them empty."""
    yield module_services
    module_services.clean()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs a command as the console script does."""
    monkeypatch.setenv("COLUMNS", "200")
    return partial(run_command, capsys)
