"""A short kill run with Ray: a worker that is killed and one that is drained cost no result."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORST_GAP_S = 60.0
"""An upper bound of failure: the machine may be busy. `benchmarks/results` has what was measured."""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'spikewatch[cluster]'")
def test_killed_and_drained_workers_cost_no_result(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    given = ["--cameras", "2", "--kills", "1", "--every-s", "15", "--drain", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(out.read_text())
    assert (report["lost"], report["different"]) == (0, 0)
    assert report["results"] > 2 * 10 * 15
    assert len(report["gaps_s"]) >= 1
    assert max(report["gaps_s"] + report["drain_gaps_s"]) < WORST_GAP_S
