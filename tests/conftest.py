"""Shared fixtures. Real recordings and golden values live outside the project; tests skip without them."""

import os
from pathlib import Path

import pytest

TEST_DATA = Path(os.environ.get("SPIKEWATCH_TEST_DATA", Path(__file__).parents[2] / "shared"))


def _folder(name: str) -> Path:
    folder = TEST_DATA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set SPIKEWATCH_TEST_DATA to the folder that holds {name}/")
    return folder


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder of real event recordings."""
    return _folder("recordings")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of golden values of the reference implementation."""
    return _folder("golden")
