"""A page in a browser, and services that several files of tests share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support.chromium import Page, chromium_page
from tests.e2e.support.conversation import KEPT
from tests.e2e.support.protocol import Caller
from tests.e2e.support.viewer import running_service
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, live_service


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium_page(str(shutil.which("chromium")), tmp_path / "profile") as page:
        page.resize(1280, 800)
        yield page


@pytest.fixture(scope="package")
def service() -> Iterator[str]:
    """Address of a service that a browser looks at."""
    with running_service() as (url, _):
        yield url


@pytest.fixture(scope="package")
def live() -> Iterator[Live]:
    """A service for tests that leave it as they found it."""
    with live_service(
        small_detector(), max_sessions=8, outbox_windows=KEPT, max_windows_per_post=KEPT
    ) as service:
        yield service


@pytest.fixture
def caller(live: Live) -> Iterator[Caller]:
    with Caller(live.url) as caller:
        yield caller
