"""Several models in one service: which there are, who asks for them how, and what they answer."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.client import connect

from spikewatch.model.checkpoints.checkpoint import save_checkpoint, untrained_network
from spikewatch.model.detector import Detector
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.service.app import create_app
from spikewatch.service.errors import InvalidSettings
from spikewatch.service.settings import Settings
from tests.service.support.console import Done
from tests.service.support.http_client import problem
from tests.service.support.live import SENSOR, Live, comparable, dat_file, dat_stream, upload
from tests.service.support.many import (
    LOW,
    ask,
    at_once,
    listing,
    loaded,
    many,
    offline,
    other_detector,
    save,
    third_detector,
    whole,
)
from tests.service.support.process import process

pytestmark = pytest.mark.slow

DEFAULT = "spikewatch-t-untrained"
SLICES = 9


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights"), other=other_detector(), third=third_detector())


def test_requestable_models_are_listed(detector: Detector, weights: Path) -> None:
    with many(detector, weights, "spikewatch-t-sim", f"night={weights / 'other.safetensors'}") as live:
        answer = live.http.get("/v1/models").json()
        names = [model["name"] for model in answer["models"]]
        assert names == [DEFAULT, "other", "third", "spikewatch-t-sim"]
        of = listing(live)
        assert [of[name]["default"] for name in names] == [True, False, False, False]
        assert of["other"]["aliases"] == ["night"]
        assert (of["other"]["scale"], of["other"]["slices"], of["other"]["slice_us"]) == ("n", 2, 50_000)
        assert (of["other"]["input_height"], of["other"]["input_width"]) == (64, 64)
        assert of["spikewatch-t-sim"]["training"] == "trained on simulated recordings"
        assert of["third"]["digest"] == of[DEFAULT]["digest"] != of["other"]["digest"]
        assert loaded(live) == {DEFAULT}
        assert answer["memory_bytes"] == of[DEFAULT]["memory_bytes"] < answer["memory_limit_bytes"]
        for model in answer["models"]:
            assert model["memory_bytes"] == model["weights_bytes"] + 4 * model["state_bytes"]

        session = ask(live, "night").json()
        assert (session["model"], session["digest"]) == ("other", of["other"]["digest"])
        assert (session["slices"], session["slice_us"], session["training"]) == (2, 50_000, "untrained")
        assert (listing(live)["other"]["loaded"], listing(live)["other"]["sessions"]) == (True, 1)
        assert live.metric('spikewatch_sessions{model="other"}') == 1


def test_unknown_model_error_lists_available_ones(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        for name in ("gpt", str(weights / "other.safetensors"), "other.safetensors", "../other", ""):
            for answer in (
                ask(live, name),
                live.http.post("/v1/detections", params={"weights": name}, content=dat_file(1)),
            ):
                assert problem(answer) == (404, "model_unknown")
                assert answer.json()["known"] == [DEFAULT, "other", "third"]
                assert "available: spikewatch-t-untrained, other, third" in answer.json()["detail"]
        assert loaded(live) == {DEFAULT}


def test_inference_protocol_separates_ready_from_known(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        assert live.http.get("/v2/models/other").json()["inputs"][0]["shape"] == [-1, 2, 64, 64]
        assert live.http.get("/v2/models/other/ready").status_code == 503
        assert live.http.get(f"/v2/models/{DEFAULT}/ready").status_code == 200
        ask(live, "other")
        assert live.http.get("/v2/models/other/ready").json() == {"name": "other", "ready": True}


def test_concurrent_models_equal_offline_results(detector: Detector, weights: Path, tmp_path: Path) -> None:
    detectors = {DEFAULT: detector, "other": other_detector(), "third": third_detector()}
    expected = {name: offline(each, SLICES, tmp_path) for name, each in detectors.items()}
    with many(detector, weights, max_sessions=6) as live:
        sessions = [(name, ask(live, name).json()["session_id"]) for name in (*detectors, *detectors)]
        found = at_once(*(lambda id=id: whole(live, id, SLICES) for _, id in sessions))
        assert loaded(live) == set(detectors)
        for (name, _), windows in zip(sessions, found, strict=True):
            assert windows == expected[name], name
        assert len({json.dumps(windows) for windows in expected.values()}) == 3, "they differ"
        for name in detectors:
            windows, summary = upload(live, dat_file(SLICES), weights=name, **LOW)
            assert comparable(windows) == expected[name]
            assert (summary["model"], summary["digest"]) == (name, listing(live)[name]["digest"])


def test_websocket_and_watcher_receive_the_model_name(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        session_id = ask(live, "other", hop=1).json()["session_id"]
        with connect(f"{live.ws_url}/v1/sessions/{session_id}/watch") as watcher:
            assert json.loads(watcher.recv())["model"] == "other"
            with connect(f"{live.ws_url}/v1/sessions/{session_id}/stream", compression=None) as client:
                ready = json.loads(client.recv())
                assert (ready["model"], ready["digest"]) == ("other", listing(live)["other"]["digest"])
                client.send(dat_stream(3))
                assert json.loads(client.recv())["type"] == "window"
            seen = json.loads(watcher.recv())
            assert seen["type"] == "slice"


def test_session_limit_counts_all_models(detector: Detector, weights: Path) -> None:
    with many(detector, weights, max_sessions=2) as live:
        first = ask(live, "other").json()["session_id"]
        live.open()
        assert problem(ask(live, "third")) == (503, "sessions_full")
        assert loaded(live) == {DEFAULT, "other"}, "nothing is loaded for who is turned away"
        live.http.delete(f"/v1/sessions/{first}")
        assert ask(live, "third").status_code == 201


def test_session_limit_counts_requests_waiting_for_load(detector: Detector, weights: Path) -> None:
    """All of them found room before the load; there is room for two."""
    with many(detector, weights, max_sessions=2) as live:
        answers = at_once(*[lambda: ask(live, "other")] * 4)
        assert sorted(answer.status_code for answer in answers) == [201, 201, 503, 503]


def test_session_resumes_with_its_weights(detector: Detector, weights: Path, tmp_path: Path) -> None:
    kept, data = tmp_path / "kept", dat_stream(SLICES)
    expected = offline(other_detector(), SLICES, tmp_path)
    with many(detector, weights, snapshot_dir=kept) as live:
        ask(live, "other", session_id="cam")
        answer = live.http.post("/v1/sessions/cam/events", content=data[:9000]).json()
        foreign = live.open()
        state = live.http.get("/v1/sessions/cam/state").content
        refused = live.http.put(f"/v1/sessions/{foreign}/state", content=state)
        assert problem(refused) == (409, "snapshot_mismatch")
    with many(detector, "spikewatch-t-sim", snapshot_dir=kept) as live:
        refused = live.http.post("/v1/sessions", json={"resume": "cam"})
        assert problem(refused) == (409, "snapshot_mismatch")
        assert "'spikewatch-n-untrained'" in refused.json()["detail"]
        assert "(spikewatch-t-sim)" in refused.json()["detail"]
        assert loaded(live) == {DEFAULT}
    with many(detector, f"renamed={weights / 'other.safetensors'}", snapshot_dir=kept) as live:
        resumed = live.http.post("/v1/sessions", json={"resume": "cam"}).json()
        assert (resumed["model"], resumed["accepted_bytes"]) == ("renamed", 9000)
        rest = live.http.post("/v1/sessions/cam/events", content=data[9000:]).json()["windows"]
        last = live.http.delete("/v1/sessions/cam").json()["windows"]
        assert comparable(answer["windows"] + rest + last) == expected


def refusal(detector: Detector, *models: object, **settings: object) -> str:
    with pytest.raises(InvalidSettings) as refused:
        create_app(Settings(models=tuple(map(str, models)), runtime="eager", **settings), detector)  # type: ignore[arg-type]
    return str(refused.value)


def test_invalid_model_settings_fail_at_start(detector: Detector, weights: Path, tmp_path: Path) -> None:
    file = weights / "other.safetensors"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:5000])
    assert "expected untrained, spikewatch-t-sim, spikewatch-t, NAME=FILE or a folder" in refusal(
        detector, "gpt"
    )
    assert "gone: weights '/nowhere.safetensors': no such file" in refusal(
        detector, "gone=/nowhere.safetensors"
    )
    assert "damaged" in refusal(detector, tmp_path)
    assert "two different weights are named 'a'" in refusal(
        detector, f"a={file}", f"a={weights / 'third.safetensors'}"
    )
    third = weights / "third.safetensors"
    assert "two different weights are named 'a'" in refusal(detector, f"a={file}", f"b={third}", f"a={third}")
    assert "invalid name 'a b'" in refusal(detector, f"a b={file}")
    assert "other never fits" in refusal(detector, weights, model_memory_bytes=20 << 20)


def test_picture_weights_in_folder_are_skipped(detector: Detector, tmp_path: Path) -> None:
    config = SpikeYOLOConfig(in_channels=3)
    stills = replace(detector.spec, name="stills", config=config, representation="image")
    file = tmp_path / "stills.safetensors"
    save_checkpoint(file, untrained_network(config), stills)
    with many(detector, tmp_path) as live:
        assert [model for model in listing(live) if model != "default"] == [DEFAULT]
    assert "input is events, but stills takes images" in refusal(detector, f"stills={file}")


def test_command_line_serves_and_requests_models(
    weights: Path, tmp_path: Path, run: Callable[..., Done]
) -> None:
    third = f"third={weights / 'third.safetensors'}"
    with process(["--models", "untrained", "--models", third], {}, tmp_path / "log") as running:
        names = [model["name"] for model in running.http.get("/v1/models").json()["models"]]
        assert names == ["spikewatch-t", "untrained", "third"]
        street, url = "service/assets/street_td.dat", f"http://127.0.0.1:{running.port}"
        done = run("stream", street, "--url", url, "--weights", "third", "--speed", "0", "--json")
        assert done.status == 0, done.err
        ready = json.loads(done.out.splitlines()[0])
        assert (ready["model"], ready["slices"], ready["training"]) == ("third", 3, "untrained")
    bad = process([], {"SPIKEWATCH_MODELS": "untrained, gpt"}, tmp_path / "bad")
    with pytest.raises(AssertionError, match="spikewatch: models: 'gpt' not found; expected "), bad:
        pass


def test_default_under_any_name_is_loaded_once(tmp_path: Path, detector: Detector) -> None:
    folder = save(tmp_path, mine=detector)
    shutil.copy(folder / "mine.safetensors", folder / "copy.safetensors")
    with many(detector, folder) as live:
        assert listing(live)["default"]["aliases"] == ["copy", "mine"]
        assert ask(live, "mine").json()["model"] == DEFAULT
        assert loaded(live) == {DEFAULT}


def test_upload_continues_with_its_weights_only(live: Live) -> None:
    half = live.http.post(
        "/v1/detections",
        params={"job_id": "a", "length": len(dat_file(4)), "weights": DEFAULT},
        content=dat_file(4)[:3000],
    )
    assert half.status_code == 200
    query = {"job_id": "a", "length": len(dat_file(4)), "offset": 3000}
    other = live.http.post("/v1/detections", params=query, content=dat_file(4)[3000:])
    assert problem(other) == (400, "bad_request")
    rest = live.http.post("/v1/detections", params=query | {"weights": DEFAULT}, content=dat_file(4)[3000:])
    assert '"summary"' in rest.text
    assert live.http.post("/v1/sessions", json=SENSOR | {"weights": DEFAULT}).status_code == 201
