"""OpenAPI, health, models, metrics, watchers and settings."""

import base64
import io
import json

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from websockets.sync.client import connect

from spikewatch.service.settings import Settings
from tests.service.support.live import HEIGHT, WIDTH, Live, dat_file, dat_stream, upload

ROUTES = {
    ("POST", "/v1/detections"),
    ("GET", "/v1/detections/{job_id}"),
    ("GET", "/v1/detections/{job_id}/results"),
    ("DELETE", "/v1/detections/{job_id}"),
    ("POST", "/v1/sessions"),
    ("GET", "/v1/sessions"),
    ("GET", "/v1/sessions/{session_id}"),
    ("DELETE", "/v1/sessions/{session_id}"),
    ("POST", "/v1/sessions/{session_id}/events"),
    ("GET", "/v1/sessions/{session_id}/state"),
    ("PUT", "/v1/sessions/{session_id}/state"),
    ("POST", "/v1/sessions/{session_id}/snapshot"),
    ("DELETE", "/v1/sessions/{session_id}/snapshot"),
    ("GET", "/v1/models"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/{name}"),
    ("GET", "/metrics"),
}
METRICS = {
    "spikewatch_events": "counter",
    "spikewatch_windows": "counter",
    "spikewatch_detections": "counter",
    "spikewatch_window_latency_seconds": "histogram",
    "spikewatch_step_duration_seconds": "histogram",
    "spikewatch_batch_size": "histogram",
    "spikewatch_sessions": "gauge",
    "spikewatch_queued_slices": "gauge",
    "spikewatch_state_bytes": "gauge",
    "spikewatch_firing_rate": "gauge",
    "spikewatch_spikes": "counter",
    "spikewatch_synaptic_operations": "counter",
    "spikewatch_energy_joules": "counter",
    "spikewatch_model_info": "gauge",
}


def test_openapi_describes_every_route(live: Live) -> None:
    document = live.http.get("/openapi.json").json()
    paths = document["paths"]
    found = {
        (method.upper(), path): entry for path, methods in paths.items() for method, entry in methods.items()
    }
    assert found.keys() >= ROUTES
    for route, entry in found.items():
        assert entry.get("description"), route
    body = document["components"]["schemas"]["SessionRequest"]
    assert body["properties"].keys() == {
        *("width", "height", "format", "slice_us", "window", "slices", "hop", "policy", "confidence", "iou"),
        *("track", "zones", "filters", "on_time_jump", "weights", "session_id", "resume"),
    }
    for path in ("/v1/detections", "/v1/sessions/{session_id}/events"):
        assert "application/octet-stream" in paths[path]["post"]["requestBody"]["content"]


def test_models_name_their_training(live: Live) -> None:
    (model,) = live.http.get("/v1/models").json()["models"]
    assert (model["training"], model["classes"]) == ("untrained", ["car", "pedestrian"])
    assert "untrained" in model["name"]
    metadata = live.http.get(f"/v2/models/{model['name']}").json()
    assert metadata["inputs"] == [{"name": "frames", "datatype": "FP32", "shape": [-1, 2, 64, 96]}]
    assert metadata["outputs"][0]["shape"] == [-1, 6, 8 * 12 + 4 * 6 + 2 * 3]
    assert live.http.get(f"/v2/models/{model['name']}/ready").json()["ready"] is True
    assert live.http.get("/v2/models/other").json()["code"] == "model_unknown"
    assert live.http.get("/v2/health/live").json() == {"live": True}
    assert live.http.get("/v2/health/ready").json() == {"ready": True}


def test_metrics_have_names_types_and_bounded_labels(live: Live) -> None:
    session_id = live.open()
    upload(live, dat_file(4))
    text = live.http.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: families[name].type for name in METRICS} == METRICS
    assert session_id not in text
    (info,) = families["spikewatch_model_info"].samples
    assert info.labels["training"] == "untrained"
    assert len(families["spikewatch_firing_rate"].samples) == len(live.model.engine.detector.state_shapes)
    live.http.delete(f"/v1/sessions/{session_id}")


def test_counters_agree_with_results(live: Live) -> None:
    names = {
        "events": "spikewatch_events_total",
        "windows": 'spikewatch_windows_total{outcome="completed"}',
        "snn": 'spikewatch_energy_joules_total{kind="snn"}',
        "ann": 'spikewatch_energy_joules_total{kind="ann"}',
        "ac": 'spikewatch_synaptic_operations_total{kind="ac"}',
        "mac": 'spikewatch_synaptic_operations_total{kind="mac"}',
    }
    before = {key: live.metric(name) for key, name in names.items()}
    _, summary = upload(live, dat_file(6))
    grown = {key: live.metric(name) - before[key] for key, name in names.items()}
    assert (grown["events"], grown["windows"]) == (summary["events"], summary["windows"]) == (1800, 2)
    assert grown["snn"] * 1e3 == pytest.approx(summary["energy_mj"]["snn"])
    assert grown["ann"] * 1e3 == pytest.approx(summary["energy_mj"]["ann"])
    assert grown["snn"] == pytest.approx((grown["ac"] * 0.9 + grown["mac"] * 4.6) * 1e-12)


def test_watcher_receives_slices_windows_and_end(live: Live) -> None:
    session_id = live.open(confidence=0.001)
    with connect(f"{live.ws_url}/v1/sessions/{session_id}/watch") as socket:
        while not len(live.manager.get(session_id).watchers):
            pass
        assert json.loads(socket.recv())["type"] == "session"
        live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(5))
        messages = [json.loads(socket.recv()) for _ in range(5)]
        live.http.delete(f"/v1/sessions/{session_id}")
        messages += [json.loads(socket.recv()) for _ in range(3)]
    assert [m["type"] for m in messages] == ["slice"] * 4 + ["window", "slice", "window", "closed"]
    assert messages[-1]["reason"] == "client"
    assert messages[0]["sensor"] == [WIDTH, HEIGHT]
    picture = Image.open(io.BytesIO(base64.b64decode(messages[0]["png"])))
    assert picture.size == (WIDTH, HEIGHT), "at the sensor's resolution"
    assert len(picture.convert("RGB").getchannel("R").getcolors()) == 4
    assert messages[4]["layer_rates"].keys() == live.model.engine.detector.state_shapes.keys()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEWATCH_MAX_SESSIONS", "3")
    assert Settings().max_sessions == 3
    assert Settings(max_sessions=5).max_sessions == 5
    monkeypatch.setenv("SPIKEWATCH_MAX_SESSIONS", "0")
    with pytest.raises(ValidationError, match="max_sessions"):
        Settings()
