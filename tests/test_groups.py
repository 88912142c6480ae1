"""Each file of tests is one worker's."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_a_file_stays_with_one_worker(request: pytest.FixtureRequest) -> None:
    """Otherwise each worker makes its costly fixtures anew, and nothing but the time would tell."""
    assert request.node.nodeid.endswith("@tests/test_groups.py")
