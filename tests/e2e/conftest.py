"""A page in a browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support.chromium import Page, chromium_page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium_page(str(shutil.which("chromium")), tmp_path / "profile") as page:
        page.resize(1280, 800)
        yield page
