"""A real Prometheus scrapes the real service under our rules, and answers every query of the dashboard."""

import json
import math
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.support.deploy import ROOT, load, probe, run
from tests.e2e.support.monitoring import PROMETHEUS, alerts, dashboard, expressions, recorded
from tests.model.support.fakes import small_detector
from tests.service.support.keyring import ALICE, ALICE_LINE
from tests.service.support.live import Live, dat_stream, live_service
from tests.service.support.machine import FakeMachine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("promtool") is None,
        reason="no prometheus and promtool in PATH",
    ),
]

LIMIT_S = 240.0
SLICE_US = 20_000
"""Of the live camera; shorter than the model's own."""
VARIABLES = {"$__rate_interval": "30s", "$__range": "1m", "$job": ".+", "$instance": ".+", "$model": ".+"}
"""What Grafana would put in their place."""


class Server:
    """Questions to a Prometheus."""

    def __init__(self, port: int) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.http.get(f"/api/v1/{path}", params=params).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr: str, at_s: float | None = None) -> list[dict[str, Any]]:
        when = {} if at_s is None else {"time": at_s}
        found: list[dict[str, Any]] = self.get("query", query=expr, **when)["result"]
        return found

    def value(self, expr: str) -> float:
        (series,) = self.query(expr)
        return float(series["value"][1])

    def wait_for(self, expr: str) -> None:
        """Until the expression returns something."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if self.query(expr):
                return
            time.sleep(0.1)
        raise AssertionError(f"{expr} returned nothing for {LIMIT_S:g} s")

    @property
    def ready(self) -> bool:
        """False while it opens its port and its storage."""
        try:
            return self.http.get("/-/ready").is_success
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class Scene:
    """The service after some traffic, and a Prometheus that has seen all of it.

    `windows` are of all clients, `camera` of the live one.
    """

    live: Live
    prometheus: Server
    windows: list[dict[str, Any]]
    camera: list[dict[str, Any]]
    at_s: float


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def configuration(folder: Path, target: str = "spikewatch:8000", key: str = "") -> Path:
    """Ours, but for the target, the haste and the place of the key."""
    config = load(PROMETHEUS / "prometheus.yml")
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [target]}]
    scrape["authorization"]["credentials_file"] = str(folder / "key")
    (folder / "key").write_text(key)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


@contextmanager
def prometheus(folder: Path, target: str, key: str = "") -> Iterator[Server]:
    """A Prometheus under our configuration."""
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration(folder, target, key)}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        server = Server(port)
        deadline = time.monotonic() + LIMIT_S
        try:
            while not server.ready:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, "prometheus did not get ready"
                time.sleep(0.1)
            yield server
        finally:
            server.http.close()
            process.terminate()
            process.wait(120)


def upload(live: Live) -> list[dict[str, Any]]:
    """The windows of the bundled recording, the last one flushed; an untrained network barely sees boxes."""
    data = (ROOT / "service" / "assets" / "street_td.dat").read_bytes()
    answer = live.http.post("/v1/detections", content=data, params={"confidence": 0.01})
    assert answer.status_code == 200, answer.text
    *windows, last = [json.loads(line) for line in answer.text.splitlines()]
    assert "summary" in last, last
    return windows


def watch(live: Live) -> list[dict[str, Any]]:
    """The windows of a live camera, whose session stays open."""
    session_id = live.open(policy="drop_oldest", slice_us=SLICE_US, hop=1)
    answer = live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(8, slice_us=SLICE_US))
    windows: list[dict[str, Any]] = answer.json()["windows"]
    return windows


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("prometheus")
    machine = FakeMachine(folder / "machine")
    with (
        live_service(
            small_detector(),
            max_sessions=4,
            powercap_dir=machine.powercap_dir,
            sinks=f"file://{folder}/results.ndjson",
        ) as live,
        prometheus(folder, live.url.removeprefix("http://")) as server,
    ):
        server.wait_for("spikewatch_model_info")
        with ThreadPoolExecutor(2) as pool:
            windows = [w for part in pool.map(upload, [live, live]) for w in part]
        assert live.http.post("/v1/detections", content=b"no recording").is_client_error
        camera = watch(live)
        machine.run(joules=10.0)
        end_s = time.time()
        for name in ("spikewatch_energy_joules_total", *recorded()):
            server.wait_for(f"timestamp({name}) > {end_s}")
        yield Scene(live, server, windows + camera, camera, time.time())


@pytest.mark.parametrize(("key", "up"), [(ALICE, 1), ("", 0)], ids=["with", "without"])
def test_a_service_with_keys_is_scraped_with_one(tmp_path: Path, key: str, up: int) -> None:
    with (
        live_service(small_detector(), api_keys=ALICE_LINE) as live,
        prometheus(tmp_path, live.url.removeprefix("http://"), key) as server,
    ):
        server.wait_for("up")
        assert server.value("up") == up


def filled_in(expr: str) -> str:
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def test_promtool_accepts_the_configuration_and_the_rules(tmp_path: Path) -> None:
    run("promtool", "check", "config", configuration(tmp_path))
    run("promtool", "check", "rules", PROMETHEUS / "rules.yml")


def test_rules_fire_when_they_should_and_only_then() -> None:
    run("promtool", "test", "rules", "rules_test.yml", cwd=PROMETHEUS)


def test_promtool_finds_nothing_to_improve_in_the_metrics(scene: Scene) -> None:
    metrics = scene.live.http.get("/metrics").text
    run("promtool", "check", "metrics", input=metrics)


@pytest.mark.parametrize(("title", "legend", "expr"), expressions())
def test_query_of_the_dashboard_returns_data(scene: Scene, title: str, legend: str, expr: str) -> None:
    series = scene.prometheus.query(filled_in(expr), scene.at_s)
    assert series, f"{title}: no data"
    assert any(math.isfinite(float(one["value"][1])) for one in series), f"{title}: {series}"
    for label in re.findall(r"\{\{(\w+)\}\}", legend):
        assert all(one["metric"].get(label) for one in series), f"{title}: a legend without {label}"


@pytest.mark.parametrize("name", recorded())
def test_recording_rule_records(scene: Scene, name: str) -> None:
    (value, *_) = [float(one["value"][1]) for one in scene.prometheus.query(name, scene.at_s)]
    assert value > 0


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_what_an_alert_compares_is_there(scene: Scene, rule: dict[str, Any]) -> None:
    """With every threshold replaced by one that any number meets, it would fire."""
    always = re.sub(r"(?:==|[<>]) [\d.]+", ">= 0", rule["expr"])
    assert always != rule["expr"]
    assert scene.prometheus.query(always, scene.at_s), always


def test_recorded_power_is_the_energy_of_a_minute(scene: Scene) -> None:
    recorded = "instance_kind:spikewatch_power_watts:rate1m"
    (when,) = scene.prometheus.query(f"max(timestamp({recorded}))", scene.at_s)
    at_s = float(when["value"][1])  # the rule's own time: a scrape later the rate is another
    joules = scene.prometheus.query("sum by (kind) (rate(spikewatch_energy_joules_total[1m]))", at_s)
    watts = scene.prometheus.query(f"sum by (kind) ({recorded})", at_s)
    kinds = [{one["metric"]["kind"] for one in found} for found in (watts, joules)]
    assert kinds == [{"snn", "ann"}] * 2
    for one, other in zip(watts, joules, strict=True):
        assert float(one["value"][1]) == pytest.approx(float(other["value"][1]), rel=0.2)


def test_bounds_are_those_of_the_settings(scene: Scene) -> None:
    host = scene.live.manager
    assert scene.prometheus.value("spikewatch_max_sessions") == host.settings.max_sessions
    assert scene.prometheus.value("spikewatch_slice_seconds") == SLICE_US / 1e6
    assert scene.prometheus.value("spikewatch_memory_limit_bytes > process_resident_memory_bytes") > 0


def test_process_can_be_chosen(scene: Scene) -> None:
    (query,) = [v["query"]["query"] for v in dashboard()["templating"]["list"] if v["name"] == "instance"]
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query.replace("$job", VARIABLES["$job"]))
    assert found is not None, query
    selector, label = found.groups()
    values = scene.prometheus.get(f"label/{label}/values", **{"match[]": selector})
    assert values == [scene.live.url.removeprefix("http://")]


@pytest.mark.parametrize(
    ("expr", "of_window"),
    [
        ('spikewatch_windows_total{outcome="completed"}', lambda w: 1),
        ("spikewatch_window_latency_seconds_count", lambda w: 1),
        ("sum(spikewatch_window_latency_ratio_count)", lambda w: 1),
        ("spikewatch_events_total", lambda w: w["events"]),
        ("sum(spikewatch_detections_total)", lambda w: len(w["detections"])),
        ('spikewatch_energy_joules_total{kind="snn"}', lambda w: w["energy_mj"]["snn"] / 1000),
        ('spikewatch_energy_joules_total{kind="ann"}', lambda w: w["energy_mj"]["ann"] / 1000),
    ],
)
def test_prometheus_counts_what_clients_were_told(scene: Scene, expr: str, of_window: Any) -> None:
    told = math.fsum(of_window(window) for window in scene.windows)
    assert told > 0
    assert scene.prometheus.value(expr) == pytest.approx(told, rel=1e-9)


def test_lateness_is_counted_in_slices_of_the_session(scene: Scene) -> None:
    told = math.fsum(window["latency_ms"] / (SLICE_US / 1000) for window in scene.camera)
    of_camera = 'spikewatch_window_latency_ratio_sum{policy="drop_oldest"}'
    assert scene.prometheus.value(of_camera) == pytest.approx(told, rel=1e-3)


def test_alerts_are_evaluated_and_quiet(scene: Scene) -> None:
    deadline, health = time.monotonic() + LIMIT_S, {"unknown"}
    while "unknown" in health and time.monotonic() < deadline:
        time.sleep(0.1)
        found = [rule for group in scene.prometheus.get("rules")["groups"] for rule in group["rules"]]
        health = {rule["health"] for rule in found}
    assert health == {"ok"}, found
    assert len(found) == len(alerts()) + len(recorded())
    assert not [rule["name"] for rule in found if rule.get("state") == "firing"]


def test_health_check_of_the_image_tells_ready_from_gone(scene: Scene) -> None:
    python, *rest = probe()
    assert python == "python"
    command = [shutil.which("python3") or python, *rest]
    for port, healthy in ((scene.live.url.rsplit(":", 1)[1], True), (str(free_port()), False)):
        done = subprocess.run(
            command, env={"SPIKEWATCH_PORT": port}, capture_output=True, timeout=30, check=False
        )
        assert (done.returncode == 0) == healthy, done.stderr
