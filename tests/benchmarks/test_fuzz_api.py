"""The bench of the REST interface: a short run reaches sessions over links, and finds nothing."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.fuzz_api.run import fuzz_api

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs schemathesis of the extra `dev`"),
]


def test_short_run_finds_nothing(tmp_path: Path) -> None:
    report = fuzz_api(12, tmp_path, seed=1)
    assert not report.findings, report.log
    assert report.requests > 100
    assert report.links > 3
    assert report.opened > 3
