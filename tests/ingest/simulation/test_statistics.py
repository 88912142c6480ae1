"""Statistics of events written by hand."""

from pathlib import Path

import numpy as np
import pytest

from scripts.event_statistics import main
from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import Events, empty_events
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE, Boxes
from spikewatch.ingest.simulation.dataset.layout import encode_dat_header
from spikewatch.ingest.simulation.statistics import compute_statistics


def events_of(rows: list[tuple[int, int, int, int]]) -> Events:
    events = empty_events(len(rows))
    for name, values in zip("txyp", zip(*rows, strict=True), strict=True):
        events[name] = values
    return events


def boxes_of(rows: list[tuple[float, ...]]) -> Boxes:
    return np.array(rows, BBOX_DTYPE)


def test_statistics_of_small_recording() -> None:
    """10 x 10 pixels, 100 ms: one pixel fires every 10 ms, another twice, a third once."""
    rows = [(t, 2, 3, 1) for t in range(0, 100_000, 10_000)]
    rows += [(1000, 5, 5, 0), (31_000, 5, 5, 0), (99_999, 9, 9, 0)]
    statistics = compute_statistics(events_of(rows), 10, 10)  # not in order of time
    assert (statistics.events, statistics.seconds) == (13, pytest.approx(0.099999))
    assert statistics.rate_hz == pytest.approx(13 / 100 / 0.099999)
    assert statistics.active_share == pytest.approx((2 + 2) / 2 / 100)
    assert statistics.on_share == pytest.approx(10 / 13)
    assert statistics.interval_ms == 10
    assert (statistics.in_boxes_share, statistics.box_area_share, dict(statistics.classes)) == (
        None,
        None,
        {},
    )


def test_box_statistics_cover_50_ms_before_label() -> None:
    rows = [(49_999, 1, 1, 1), (50_000, 1, 1, 1), (99_999, 3, 2, 1), (60_000, 8, 8, 0), (100_000, 1, 1, 1)]
    boxes = boxes_of(
        [
            (100_000, 0, 0, 4, 5, 0, 1, 1),  # two of its events lie before the label and after 50 ms
            (100_000, 7, 7, 2, 2, 1, 2, 1),
            (100_000, 0, 6, 4, 4, 1, 3, 1),  # silent
        ]
    )
    statistics = compute_statistics(events_of(rows), 10, 10, boxes)
    assert statistics.classes[0].rate_hz == pytest.approx(2 / 20 / 0.05)
    assert (statistics.classes[0].boxes, statistics.classes[0].silent_share) == (1, 0)
    assert statistics.classes[1].rate_hz == pytest.approx(1 / 4 / 0.05)
    assert (statistics.classes[1].boxes, statistics.classes[1].silent_share) == (2, 0.5)
    assert statistics.in_boxes_share == 1
    assert statistics.box_area_share == pytest.approx(0.4)


def test_uniform_noise_has_its_rate_everywhere() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, [2_000_000, 40, 30, 2], (2 * 20 * 1200, 4))  # 20 Hz on 1200 pixels
    boxes = boxes_of([(t, 5, 5, 20, 20, 0, 1, 1) for t in range(50_000, 2_000_001, 50_000)])
    statistics = compute_statistics(events_of([tuple(row) for row in rows.tolist()]), 40, 30, boxes)
    assert statistics.rate_hz == pytest.approx(20, rel=0.01)
    assert statistics.active_share == pytest.approx(1 - np.exp(-1), rel=0.02)
    assert statistics.interval_ms == pytest.approx(np.log(2) / 20 * 1e3, rel=0.05)
    assert statistics.classes[0].rate_hz == pytest.approx(20, rel=0.03)
    assert statistics.in_boxes_share == pytest.approx(400 / 1200, rel=0.03)


def test_statistics_reject_empty_or_outside_events() -> None:
    with pytest.raises(GeometryError, match="without events"):
        compute_statistics(empty_events(), 10, 10)
    with pytest.raises(GeometryError, match="outside 10x3"):
        compute_statistics(events_of([(0, 2, 3, 1)]), 10, 3)


def test_statistics_table_covers_files_and_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    for number, polarity in enumerate((0, 1)):
        events = events_of([(t, 1, 1, polarity) for t in range(0, 1_000_001, 10_000)])
        (folder / f"{number}_td.dat").write_bytes(encode_dat_header(8, 8) + encode_dat(events))
        np.save(folder / f"{number}_bbox.npy", boxes_of([(500_000, 0, 0, 4, 4, 0, 1, 1)]))
    monkeypatch.setattr("sys.argv", ["x", str(folder.parent), str(folder / "0_td.dat"), "--seconds", "0.8"])
    main()
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [len(each) for each in cells] == [15] * 4
    assert cells[2][:2] == ["set", "0.80 (0.80 to 0.80)"]
    assert cells[2][4] == "0.50 (0.00 to 1.00)"
    assert cells[3][0] == "0_td.dat"
    assert cells[3][1:6] == ["0.80", "1.58", "1.6%", "0.00", "10.0"]
    assert cells[3][6:10] == ["1.0", "100%", "0%", "1.00"], "one pixel, in every slice"
    assert cells[3][10:] == ["6.3", "", "0%", "100%", "25%"]
