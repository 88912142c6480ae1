"""Files as sinks: appended, rotated, and down while they cannot be written."""

import csv
import json
from pathlib import Path

from spikewatch.service.sinks.address import WebhookOptions, parse_sinks
from spikewatch.service.sinks.hub import SinkHub
from tests.service.sinks.support.messages import make_message
from tests.service.support.waiting import until


def write(path: Path, seqs: range, reports: list[str], query: str = "") -> SinkHub:
    addresses = parse_sinks([f"file://{path}{query}"], WebhookOptions())
    with SinkHub(addresses, 1000, "drop_oldest", reports.append) as hub:
        for seq in seqs:
            hub.publish(make_message("gate", seq))
    return hub


def test_results_are_appended_with_their_session(tmp_path: Path) -> None:
    path = tmp_path / "all.ndjson"
    write(path, range(3), [])
    write(path, range(3, 5), [])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [make_message("gate", seq).content for seq in range(5)]


def test_rows_are_appended_under_one_header(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    write(path, range(2), [])
    write(path, range(2, 4), [])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seq"] for row in rows] == ["0", "1", "2", "3"]
    assert {(row["session"], row["label"], row["track_id"]) for row in rows} == {("gate", "car", "7")}


def test_file_is_rotated_at_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "all.ndjson"
    for seq in range(40):
        write(path, range(seq, seq + 1), [], "?max_bytes=2000")
    older = path.with_name("all.ndjson.1")
    assert {file.name for file in tmp_path.iterdir()} == {path.name, older.name}
    assert 0 < path.stat().st_size <= 2000
    assert 1000 < older.stat().st_size <= 2000
    lines = (older.read_text() + path.read_text()).splitlines()
    seqs = [json.loads(line)["seq"] for line in lines]
    assert seqs == list(range(40 - len(seqs), 40))


def test_file_that_cannot_be_written_is_down_until_it_can(tmp_path: Path) -> None:
    path, reports = tmp_path / "all.ndjson", list[str]()
    path.mkdir()
    addresses = parse_sinks([f"file://{path}"], WebhookOptions())
    with SinkHub(addresses, 1000, "drop_oldest", reports.append) as hub:
        until(lambda: len(reports) == 1)
        hub.publish(make_message("gate", 0))
        path.rmdir()
        until(lambda: hub.runners[0].state.delivered == 1)
    assert len(path.read_text().splitlines()) == 1
    assert [report.split(":")[0].split(";")[0] for report in reports] == [
        *("sink file is down", "sink file is back"),
    ]
