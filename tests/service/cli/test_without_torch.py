"""`detect` with the compiled runtime, in a process that cannot import torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
RECORDING = ROOT / "service/assets/street_td.dat"

PROGRAM = """
import sys
sys.modules["torch"] = None  # importing it raises ImportError
from spikewatch.service.cli.main import main
main(sys.argv[1:])
"""


def test_detect_gives_the_windows_of_the_torch_detector(tmp_path: Path) -> None:
    paths = [tmp_path / "without.ndjson", tmp_path / "with.ndjson"]
    programs = (["-c", PROGRAM], ["-m", "spikewatch"])
    found = []
    for path, program, weights in zip(paths, programs, ([], ["--device", "cpu:0"]), strict=True):
        command = [sys.executable, *program, "detect", str(RECORDING), "--out", str(path), *weights]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ, timeout=300)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        found.append([{k: v for k, v in line.items() if k != "latency_ms"} for line in lines])
    assert len(found[0]) >= 60
    assert found[0] == found[1]


def test_another_runtime_says_that_torch_is_missing() -> None:
    command = [sys.executable, "-c", PROGRAM, "detect", str(RECORDING), "--runtime", "eager"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1
    assert "PyTorch" in done.stderr
    assert "Traceback" not in done.stderr
