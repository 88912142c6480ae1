"""The benchmarks measure what they say: clocks set by hand, streams decoded again, small runs for real."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.service.bench.cameras import CameraReport, loop_recording
from spikewatch.service.bench.load import LoadResult
from spikewatch.service.bench.measure import Quantiles, interleave
from spikewatch.service.bench.model import factored_gmac
from spikewatch.service.bench.report import BAR_COLOUR, OVER_LIMIT_COLOUR, BenchReport, Chart, draw_chart
from spikewatch.service.errors import BadRequest
from tests.model.support.fakes import small_detector
from tests.service.support.console import Done
from tests.service.support.live import Live, dat_file


def test_rows_take_turns_and_warm_ups_do_not_count() -> None:
    clock = itertools.count()
    ran: list[str] = []
    rows = {name: (lambda name=name: ran.append(name)) for name in "ab"}
    seconds = interleave(rows, turns=2, repeats=1, warm_up=1, clock=lambda: float(next(clock)))
    assert "".join(ran) == "aabbaabb"
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_the_spread_is_median_and_nine_of_ten() -> None:
    values = [float(n) for n in range(101)]
    assert Quantiles.from_values(values) == Quantiles(50.0, 5.0, 95.0)
    assert Quantiles.from_values([3.0]).text() == "3.0 (3.0-3.0)"


def test_a_report_is_a_table_and_json(tmp_path: Path) -> None:
    report = BenchReport("Title.", ("row", "ms"), [("a", "1.0")], {"rows": [1.0]})
    for ending in ("md", "json"):
        report.write(tmp_path / f"r.{ending}")
    assert (tmp_path / "r.md").read_text().splitlines()[-3:] == ["| row | ms |", "|---|---:|", "| a | 1.0 |"]
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["rows"] == [1.0]
    assert written["machine"]["versions"]["torch"]


def test_a_chart_is_a_picture_of_its_rows(tmp_path: Path) -> None:
    rows = [("fast", Quantiles(10.0, 9.0, 11.0)), ("late", Quantiles(40.0, 30.0, 60.0))]
    axes = draw_chart(Chart("ms", rows, (50.0, "a slice")), "Title.").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [10.0, 40.0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["fast", "late"]
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [
        to_rgb(BAR_COLOUR),
        to_rgb(OVER_LIMIT_COLOUR),
    ]
    BenchReport("Title.", ("row",), [], {}, Chart("ms", rows)).write(tmp_path / "r.png")
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.width > 500
    with pytest.raises(BadRequest, match="nothing to draw"):
        BenchReport("Title.", ("row",), [], {}).write(tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_multiply_accumulates_are_those_of_the_factored_network() -> None:
    """Scale s at 256x320 has 12.06 GMAC factored (docs/model.md); a pixel costs the same at any size."""
    from spikewatch.model.network.config import SpikeYOLOConfig

    detector = small_detector(config=SpikeYOLOConfig("s", in_channels=2, classes=2))
    assert factored_gmac(detector) * (256 * 320) / (64 * 96) == pytest.approx(12.06, rel=0.01)


def test_a_looped_recording_keeps_events_and_order(tmp_path: Path) -> None:
    recording = tmp_path / "r.dat"
    recording.write_bytes(dat_file(8))
    pieces, sensor = loop_recording(recording, 1.0, 10_000)
    assert [due for due, _ in pieces] == list(range(10_000, 1_000_001, 10_000))
    decoder = make_decoder("dat", *sensor)
    events = np.concatenate([decoder.feed(data).copy() for _, data in pieces])
    assert (np.diff(events["t"]) >= 0).all()
    assert events["t"][0] >= 0
    assert events["t"][-1] < 1_000_000


@pytest.mark.parametrize(
    ("latency_ms", "dropped", "errors", "sustained"),
    [
        ([10.0] * 99 + [80.0], 0, [], True),
        ([10.0] * 90 + [80.0] * 10, 0, [], False),
        ([10.0], 1, [], False),
        ([10.0], 0, ["broken"], False),
        ([], 0, [], False),
    ],
)
def test_held_means_no_drop_and_p99_within_a_slice(
    latency_ms: list[float], dropped: int, errors: list[str], sustained: bool
) -> None:
    assert LoadResult(2, 50.0, 20.0, latency_ms, dropped, errors, 1.0, 1e6).sustained is sustained


def test_a_camera_notes_results() -> None:
    heard = CameraReport()
    heard.record_window({"latency_ms": 12.5, "dropped_windows": 3})
    assert (heard.latency_ms, heard.dropped) == ([12.5], 3)


def test_ingest_and_model_tables(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("bench", "ingest", "--events", 50_000, "--turns", 1, "-o", tmp_path / "i.json")
    assert done.status == 0
    assert "| DAT to counts, one feed |" in done.out
    assert json.loads((tmp_path / "i.json").read_text())["million_events_per_s"]
    done = run("bench", "model", "--scales", "t", "--batches", "1", "--runtimes", "eager,int8", "--turns", 1)
    assert done.status == 0
    rows = [line for line in done.out.splitlines() if line.startswith("| t |")]
    assert [row.split("|")[2].strip() for row in rows] == ["eager", "int8"]
    assert rows[0].split("|")[-2].strip() == "1.00"


@pytest.mark.parametrize("transport", ["websocket", "rest"])
def test_cameras_of_a_running_service(
    run: Callable[..., Done], live: Live, tmp_path: Path, transport: str
) -> None:
    recording = tmp_path / "r.dat"
    recording.write_bytes(dat_file(16))
    done = run(
        "bench",
        "service",
        recording,
        "--url",
        live.url,
        "--cameras",
        "2",
        "--seconds",
        1,
        "--transport",
        transport,
        "-o",
        tmp_path / "s.json",
    )
    assert done.status == 0, done.err
    (row,) = json.loads((tmp_path / "s.json").read_text())["rows"]
    assert not row["errors"]
    assert len(row["latency_ms"]) >= 2
    assert live.http.get("/v1/sessions").json()["sessions"] == []


def test_options_that_contradict_each_other(run: Callable[..., Done]) -> None:
    done = run("bench", "service", "--url", "http://127.0.0.1:1", "--runtime", "int8")
    assert done.status == 2
    assert run("bench", "service", "--url", "http://127.0.0.1:1", "--cameras", "1").status == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["service", "--cameras", "many"], 2, "expected numbers from 1"),
        (["model", "--batches", "0"], 2, "expected numbers from 1"),
        (["model", "--scales", "t", "--batches", "1", "--runtimes", "int4"], 1, "unknown"),
    ],
)
def test_what_cannot_be_measured_is_told(
    run: Callable[..., Done], arguments: list[str], status: int, words: str
) -> None:
    done = run("bench", *arguments)
    assert done.status == status
    assert words in done.err
