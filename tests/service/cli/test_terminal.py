"""What people see at a terminal while a recording runs, and what machines read beside it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.service.cli.progress import speed_text, stats_table
from spikewatch.service.cli.run_stats import RunStats
from tests.service.support.live import Live, dat_file

SCRIPT = Path(sys.executable).with_name("spikewatch")


@pytest.fixture(scope="module")
def files(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("terminal")
    save_checkpoint(folder / "small.safetensors", detector.network, detector.spec)
    (folder / "street_td.dat").write_bytes(dat_file(40))
    return folder


def at_terminal(command: list[object], stdout_too: bool = False) -> tuple[int, str, str]:
    """Exit status, standard output, and what a terminal showed."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    stdout = theirs if stdout_too else subprocess.PIPE
    with subprocess.Popen(
        list(map(str, command)), stdin=theirs, stdout=stdout, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
        out = process.stdout.read().decode() if process.stdout else ""
    os.close(ours)
    return process.returncode, out, shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux: the other side is closed
        return b""


@pytest.mark.slow
def test_detect_shows_a_table_and_keeps_standard_output_to_machines(files: Path) -> None:
    options = [
        "--weights",
        files / "small.safetensors",
        "--confidence",
        0.001,
        "--hop",
        1,
        "--track",
        "--json",
    ]
    status, out, shown = at_terminal([SCRIPT, "detect", files / "street_td.dat", *options])
    assert status == 0, shown
    assert json.loads(out)["windows"] == 40
    for words in (
        "detecting",
        "events/s",
        "ETA",
        "firing rate",
        "mW spiking",
        "ms a window",
        "in all windows",
    ):
        assert words in shown


@pytest.mark.slow
def test_stream_shows_a_table_and_the_end(live: Live, files: Path) -> None:
    command = [
        SCRIPT,
        "stream",
        files / "street_td.dat",
        "--url",
        live.url,
        "--speed",
        4,
        "--policy",
        "block",
        "--track",
    ]
    status, _, shown = at_terminal(command, stdout_too=True)
    assert status == 0, shown
    for words in ("streaming", "events/s", "mW spiking", "closed (client): 10 windows, 12,000 events"):
        assert words in shown


@pytest.mark.slow
def test_without_a_terminal_nothing_is_drawn(live: Live, files: Path) -> None:
    command = [
        SCRIPT,
        "stream",
        files / "street_td.dat",
        "--url",
        live.url,
        "--speed",
        "0",
        "--policy",
        "block",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "session",
        *(f"{0.25 * k:.3f}" for k in range(1, 11)),
        "closed",
    ]


def window(t_start_us: int, t_end_us: int, **changes: Any) -> dict[str, Any]:
    return {
        "t_start_us": t_start_us,
        "t_end_us": t_end_us,
        "events": 1000,
        "detections": [{"label": "car", "confidence": 0.5, "track_id": 3}],
        "firing_rate": 0.125,
        "energy_mj": {"snn": 1.0, "ann": 10.0},
        "latency_ms": 12.0,
        "dropped_windows": 0,
    } | changes


def test_a_tally_counts_each_part_of_the_recording_once() -> None:
    tally = RunStats()
    for end_us in (200_000, 250_000, 300_000):  # windows of 200 ms that overlap
        tally.add(window(end_us - 200_000, end_us))
    tally.add(window(5_000_000, 5_200_000, detections=[], dropped_windows=2))
    assert (tally.windows, tally.events, tally.stream_us) == (4, 4000, 500_000)
    assert (tally.box_counts, tally.latest_box_counts, tally.track_ids) == ({"car": 3}, {}, {3})
    assert tally.power_mw == pytest.approx((8.0, 80.0))


def test_a_table_before_the_first_window_and_with_drops() -> None:
    tally = RunStats()
    assert stats_table(tally).row_count == 1
    tally.add(window(0, 200_000, dropped_windows=2))
    assert [str(cell) for cell in stats_table(tally).columns[0].cells] == [
        *("car", "tracks", "windows, events", "firing rate", "power, estimate", "latency", "dropped"),
    ]
    assert "events/s" in speed_text(tally)
