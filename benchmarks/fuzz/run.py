"""One run of a fuzz target in a child process, and its report."""

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

CORPUS = Path(__file__).parent / "corpus"
INPUT_TIMEOUT_S = 20
MEMORY_MB = 2048
START_S = 120
"""Upper bound of what a target needs to import and to stop, also on a busy machine."""

FINDINGS = {70: "an input ran out of time", 71: "memory beyond the limit", 77: "an exception"}
"""Exit status of libFuzzer -> what it found; a signal has a negative status."""


@dataclass(frozen=True, slots=True)
class FuzzReport:
    """Result of one target.

    Attributes:
        inputs: inputs tried.
        seconds: of the whole process.
        peak_mb: largest resident memory.
        finding: the kind of failure and the file of the input, or None.
        log: last lines of the process.
    """

    inputs: int
    seconds: float
    peak_mb: int
    finding: str | None
    log: str


def fuzz_target(name: str, seconds: int, found: Path, inputs: int | None = None, seed: int = 0) -> FuzzReport:
    """Run a target from its corpus for a time, or up to a number of inputs; leave failing inputs in `found`.

    Two runs with one seed, not zero, and a number of inputs try the same inputs.
    """
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={found}/{name}-",
        "-print_final_stats=1",
        "-max_len=16384",
        f"-seed={seed}",
    ]
    if inputs is not None:
        options.append(f"-runs={inputs}")
    started = time.monotonic()
    with TemporaryDirectory() as grown:  # libFuzzer adds new inputs to the first folder
        command = [sys.executable, "-m", "benchmarks.fuzz.one_target", name, *options, grown, CORPUS / name]
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + START_S, check=False
        )
    log = ended.stdout.decode("utf-8", "replace")
    finding = None
    if ended.returncode:
        kind = FINDINGS.get(ended.returncode, f"exit status {ended.returncode}")
        written = re.findall(r"Test unit written to (\S+)", log)
        finding = f"{kind}: {written[-1] if written else 'see the log'}"
    return FuzzReport(
        _stat(log, "number_of_executed_units"),
        time.monotonic() - started,
        _stat(log, "peak_rss_mb"),
        finding,
        "\n".join(log.splitlines()[-40:]),
    )


def _stat(log: str, name: str) -> int:
    match = re.search(rf"stat::{name}:\s+(\d+)", log)
    return int(match[1]) if match else 0
