"""The soak itself: a short one that must pass, and what it must not let pass."""

import asyncio
import json
import signal
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.soak.context import Playback, whole_recording
from benchmarks.soak.counters import Failure, check_windows
from benchmarks.soak.expected import COMPARED_TOTALS, SESSION_CONFIGS, OfflineResult, canonical_window
from benchmarks.soak.memory_growth import FLAT_LIMIT_MB_PER_H, fit_growth, fit_line
from benchmarks.soak.recordings import SoakRecording, make_recordings
from benchmarks.soak.reevaluate import load_result
from benchmarks.soak.report import write_report
from benchmarks.soak.run import SoakOptions, run_soak
from benchmarks.soak.samples import Ledger, Sample
from benchmarks.soak.service_process import ServiceProcess
from benchmarks.soak.upload_client import UploadClient
from benchmarks.soak.websocket_client import ClientBehaviour, WebSocketClient
from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from tests.model.support.fakes import small_detector

MB = 1_000_000
STEADY = Sample(0.0, 1, 500 * MB, 0, 20, 12, 3, 40, 2)


@pytest.mark.slow
def test_a_short_soak_with_a_kill_passes(tmp_path: Path) -> None:
    detector = small_detector()
    weights = tmp_path / "small.safetensors"
    save_checkpoint(weights, detector.network, detector.spec)
    kills = ((0.5, signal.SIGKILL),)
    plan = SoakOptions(
        0.06,
        kills,
        seed=1,
        concurrency=4,
        weights=str(weights),
        street_s=0.5,
        idle_s=1.5,
        play_s=1.0,
        rest_s=0.1,
    )
    outcome = asyncio.run(run_soak(plan, tmp_path))
    assert outcome.counters.failures == []
    assert outcome.counters.counts["restarts"] == 1
    assert [rest.life for rest in outcome.rests].count(2) >= 1
    assert all(rest.sessions == rest.queued_slices == 0 for rest in outcome.rests)
    assert outcome.counters.counts["windows compared"] > 50
    assert outcome.counters.counts["connections cut"] > 0
    write_report(outcome, tmp_path / "report")
    assert json.loads((tmp_path / "report" / "soak.json").read_text())["passed"]
    assert "**Passed.**" in (tmp_path / "report" / "soak.md").read_text()
    assert (tmp_path / "report" / "soak.png").stat().st_size > 1000
    again = load_result(tmp_path / "report" / "soak.json", warm_s=0.0)
    assert (again.rests, again.ledgers, again.counters.scenarios) == (
        outcome.rests,
        outcome.ledgers,
        outcome.counters.scenarios,
    )
    assert sum(growth.rests for growth in again.growths) == len(outcome.rests)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ("abd", "window 2 differs"),
        ("ab", "2 windows came"),
        ("abcc", "4 windows came"),
        ("aabc", "window 1 differs"),
        ("acb", "window 1 differs"),
    ],
)
def test_a_window_that_is_lost_doubled_or_another_is_found(got: str, words: str) -> None:
    with pytest.raises(Failure, match=words):
        check_windows(list(got), list("abc"), whole=True)
    check_windows(list("abc"), list("abc"), whole=True)
    check_windows(list("ab"), list("abc"), whole=False)


def test_a_window_is_equal_to_the_last_bit() -> None:
    window = {"seq": 0, "firing_rate": 0.1, "latency_ms": 3.0, "dropped_windows": 0, "type": "window"}
    assert canonical_window(window) == canonical_window(window | {"latency_ms": 4.0})
    assert canonical_window(window) != canonical_window(window | {"firing_rate": float(np.nextafter(0.1, 1))})


def streamer(recording: SoakRecording) -> WebSocketClient:
    reel = Playback((whole_recording(recording),))
    return WebSocketClient(None, "someone", reel, SESSION_CONFIGS[0], ClientBehaviour(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 2])
def test_a_number_that_is_not_due_is_found(number: int) -> None:
    client = streamer(SoakRecording("r.dat", "dat", Path(), b"", b"12345678", None))
    client._on_message({"type": "window", "seq": 0})
    with pytest.raises(Failure, match=f"window {number} came where 1 was due"):
        client._on_message({"type": "window", "seq": number})


def test_an_upload_that_was_refused_and_stays_is_found() -> None:
    part = whole_recording(SoakRecording("r.dat", "dat", Path(), b"", b"12345678", None))
    client = UploadClient(None, "job", part, SESSION_CONFIGS[0], Random(0), 0)  # type: ignore[arg-type]
    with pytest.raises(Failure, match="stands in its own way"):
        asyncio.run(client._delete_upload({"error": {"code": "sessions_full"}, "windows": 0}))


def test_sums_that_differ_are_found() -> None:
    client = streamer(SoakRecording("r.dat", "dat", Path(), b"", b"12345678", None))
    sums = dict.fromkeys(COMPARED_TOTALS, 0) | {"dropped_events": {}}
    client._totals = sums | {"events": 1}
    with pytest.raises(Failure, match="totals are"):
        client._check_result(OfflineResult([], sums))


def test_recordings_are_all_others_and_whole(tmp_path: Path) -> None:
    made = make_recordings(tmp_path, None, 0.05)
    assert {recording.format for recording in made} == {"dat", "evt2", "evt21", "evt3", ""}
    assert len({recording.data for recording in made}) == len(made)
    for recording in made:
        with open_recording(recording.path, *(recording.sensor_size or ())) as opened:
            events = sum(map(len, opened.chunks()))
            assert opened.sensor_size() == (304, 240)
        assert events > 100, recording.name
        assert opened.stats.dropped == {}, recording.name


def rests(mb_per_h: float, noise_mb: float = 2.0) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        replace(STEADY, t_s=t, memory=int((500 + mb_per_h * t / 3600 + rng.normal(0, noise_mb)) * MB))
        for t in np.arange(0.0, 1800.0, 150.0)
    ]


@pytest.mark.parametrize(
    ("mb_per_h", "noise_mb", "verdict"),
    [
        (0.0, 2.0, "flat"),
        (-400.0, 2.0, "flat"),
        (0.0, 50.0, "not certain"),
        (FLAT_LIMIT_MB_PER_H, 2.0, "not certain"),
        (FLAT_LIMIT_MB_PER_H + 25, 2.0, "grows"),
    ],
)
def test_memory_that_grows_is_told_from_memory_that_does_not(
    mb_per_h: float, noise_mb: float, verdict: str
) -> None:
    found = fit_growth(rests(mb_per_h, noise_mb), 1, 0.0, 300.0)
    assert found.low is not None
    assert found.high is not None
    assert found.low < mb_per_h < found.high
    assert found.verdict == verdict
    assert found.grows == (verdict == "grows")


def test_a_life_that_is_short_or_cold_is_not_judged() -> None:
    warm = fit_growth(rests(400.0), 1, 0.0, 300.0)
    assert (warm.rests, warm.minutes) == (10, 22.5), "the first five minutes do not count"
    for cold in (fit_growth(rests(4000.0), 1, 1000.0, 300.0), fit_growth(rests(4000.0), 2, 0.0, 300.0)):
        assert cold.verdict == "too short to tell"
        assert not cold.grows


def test_the_interval_of_a_slope_is_students() -> None:
    """The 97.5 % quantile of ten degrees of freedom is 2.228; the expansion is good to a few thousandths."""
    x = np.arange(12.0)
    y = np.array([1.0, -1.0] * 6)
    slope, start, margin = fit_line(x, y)
    reference, covariance = np.polyfit(x, y, 1, cov="unscaled")
    residuals = y - np.polyval(reference, x)
    error = float(np.sqrt(covariance[0, 0] * residuals @ residuals / 10))
    assert (slope, start) == pytest.approx(tuple(reference))
    assert margin == pytest.approx(2.228 * error, rel=3e-3)


def test_books_that_do_not_balance_are_found() -> None:
    scraped = {
        f'spikewatch_slices_total{{outcome="{n}"}}': v
        for n, v in (("accepted", 10.0), ("run", 6.0), ("discarded", 1.0))
    }
    scraped |= dict.fromkeys(
        (f'spikewatch_snapshots_total{{outcome="{n}"}}' for n in ("saved", "failed", "restored")), 0.0
    )
    scraped |= {"spikewatch_dropped_slices_total": 2.0, "spikewatch_queued_slices": 1.0}
    scraped |= {"spikewatch_sessions": 0.0}
    assert Ledger.from_metrics(1, scraped).balanced
    assert not Ledger.from_metrics(1, scraped | {"spikewatch_dropped_slices_total": 1.0}).balanced


def test_what_the_service_complains_of_is_found(tmp_path: Path) -> None:
    lives = ServiceProcess(None, {}, tmp_path)
    lines = ['{"level": "info", "message": "fine"}', '{"level": "error", "message": "bad"}', "Traceback"]
    lives.log.write_text("viewer and API at http://127.0.0.1:1/\n" + "\n".join(lines))
    assert list(lives.logged_errors()) == lines[1:]
