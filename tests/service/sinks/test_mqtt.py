"""MQTT against a real mosquitto, heard by mosquitto's own client."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spikewatch.service.sinks.address import WebhookOptions, parse_sinks
from spikewatch.service.sinks.hub import SinkHub
from tests.service.sinks.support.messages import make_message
from tests.service.support.process import free_port
from tests.service.support.waiting import until

pytest.importorskip("aiomqtt", reason="needs the extra mqtt")
BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
HEARER = shutil.which("mosquitto_sub")
pytestmark = pytest.mark.skipif(
    BROKER is None or HEARER is None, reason="no mosquitto: apt-get install mosquitto mosquitto-clients"
)


@contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """A broker that asks for a password."""
    (folder / "password").write_text("camera:" + hashed(folder) + "\n")
    (folder / "conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/password\nuser root\n"
    )
    process = subprocess.Popen(
        [str(BROKER), "-c", str(folder / "conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: accepts(port))
        yield
    finally:
        process.terminate()
        process.wait(60)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def hashed(folder: Path) -> str:
    made = folder / "made"
    subprocess.run(["mosquitto_passwd", "-b", "-c", made, "camera", "s3/cret"], check=True)
    return made.read_text().strip().partition(":")[2]


@contextmanager
def heard(port: int, folder: Path) -> Iterator[Path]:
    """What mosquitto_sub prints: topic and payload of every message."""
    out = folder / "heard"
    options = [
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-u",
        "camera",
        "-P",
        "s3/cret",
        "-q",
        "1",
        "-v",
        "-t",
        "site/#",
    ]
    with out.open("w") as file:
        process = subprocess.Popen([str(HEARER), *options], stdout=file, stderr=subprocess.DEVNULL)
        try:
            yield out
        finally:
            process.terminate()
            process.wait(60)


def open_hub(port: int, reports: list[str]) -> SinkHub:
    url = f"mqtt://camera:s3%2Fcret@127.0.0.1:{port}/site/gate"
    return SinkHub(parse_sinks([url], WebhookOptions()), 10, "drop_oldest", reports.append)


def messages(out: Path) -> list[tuple[str, Any]]:
    pairs = [line.split(" ", 1) for line in out.read_text().splitlines()]
    return [(topic, json.loads(text) if text.startswith("{") else text) for topic, text in pairs]


def test_results_and_zone_events_have_topics(tmp_path: Path) -> None:
    port, reports = free_port(), list[str]()
    with broker(tmp_path, port), open_hub(port, reports) as hub, heard(port, tmp_path) as out:
        until(lambda: ("site/gate/status", "online") in messages(out))
        hub.publish(make_message("cam 1", 0, ("entered", "crossed")))
        hub.publish(make_message("cam 1", 1))
        until(lambda: len(messages(out)) == 5)
        hub.close()
        until(lambda: len(messages(out)) == 6)
    topics = [topic.removeprefix("site/gate/") for topic, _ in messages(out)]
    assert topics == [
        *("status", "cam_1/windows", "cam_1/zones/entered", "cam_1/zones/crossed", "cam_1/windows", "status"),
    ]
    contents = [content for _, content in messages(out)]
    assert contents[1] == make_message("cam 1", 0, ("entered", "crossed")).content
    assert contents[3] == {
        "session": "cam 1",
        "seq": 0,
        "event": "crossed",
        "zone": "door",
        "t_us": 0,
        "track_id": 7,
        "label": "car",
        "direction": "in",
    }
    assert contents[5] == "offline"
    assert not reports
    assert hub.runners[0].state.delivered == 2


def test_outage_drops_the_oldest_and_is_reported_once(tmp_path: Path) -> None:
    port, reports = free_port(), list[str]()
    with open_hub(port, reports) as hub:
        until(lambda: len(reports) == 1)
        for seq in range(15):
            hub.publish(make_message("gate", seq))
        state = hub.runners[0].state
        assert (state.up, state.dropped) == (False, 5)
        with broker(tmp_path, port), heard(port, tmp_path) as out:
            until(lambda: state.delivered == 10 and len(messages(out)) > 0)
            hub.publish(make_message("gate", 15))
            until(lambda: state.delivered == 11)
            until(lambda: any(topic.endswith("windows") for topic, _ in messages(out)))
            assert messages(out)[-1][1]["seq"] == 15
    assert [report.split(":")[0] for report in reports[:2]] == [
        "sink mqtt is down",
        "sink mqtt is back; 5 results were dropped meanwhile",
    ]


def test_wrong_password_is_reported_without_it(tmp_path: Path) -> None:
    port, reports = free_port(), list[str]()
    with broker(tmp_path, port):
        url = f"mqtt://camera:guess@127.0.0.1:{port}/site"
        with SinkHub(parse_sinks([url], WebhookOptions()), 10, "drop_oldest", reports.append):
            until(lambda: len(reports) > 0)
    assert "uthorized" in reports[0]
    assert "guess" not in reports[0]
