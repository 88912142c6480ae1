"""Zones of streams and sessions: the same counts however the stream is split, saved or served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikewatch.ingest.events import EVENT_DTYPE
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.service.errors import InvalidSnapshot
from spikewatch.service.pipeline.detector import EventDetector, load
from spikewatch.service.zones.schema import load_zones
from tests.service.support.console import Done
from tests.service.support.live import Live, dat_file, dat_stream
from tests.service.support.streams import post

ZONES = [
    {"name": "left", "polygon": [[0, 0], [45, 0], [45, 60], [0, 60]], "anchor": "centre", "dwell_s": 0.02},
    {"name": "middle", "line": [[45, 0], [45, 60]], "anchor": "centre", "margin_px": 0},
]
OPTIONS: dict[str, Any] = {
    "confidence": 0.001,
    "slices": 4,
    "hop": 1,
    "slice_us": 10_000,
    "track": True,
    "zones": ZONES,
    "width": 90,
    "height": 60,
}


@pytest.fixture(scope="module")
def small(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> EventDetector:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return load(path)


def events() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(3)
    found = np.zeros(3000, EVENT_DTYPE)
    found["t"] = np.sort(rng.integers(0, 300_000, 3000))
    found["t"][2500:] += 20_000_000
    found["x"], found["y"] = rng.integers(0, 90, 3000), rng.integers(0, 60, 3000)
    return found


def zones_of(results: list[Any]) -> list[Any]:
    return [(r["zones"], r["zone_events"]) for r in (result.to_dict() for result in results)]


def test_any_split_and_snapshots_give_the_same_zones(small: EventDetector) -> None:
    whole = small.stream(**OPTIONS)
    expected = zones_of(whole.push(events()) + whole.finish())
    kinds = {event["event"] for _, found in expected for event in found}
    assert {"entered", "left", "dwelling"} <= kinds
    stream, results = small.stream(**OPTIONS), list[Any]()
    for part in np.array_split(events(), 9):
        stream = small.restore(stream.snapshot())
        results += stream.push(part)
    assert zones_of(results + stream.finish()) == expected
    last = expected[-1][0][0]
    assert {label: n - last["left"][label] for label, n in last["entered"].items()} == last["inside"]


def test_snapshot_with_other_counts_is_rejected(small: EventDetector) -> None:
    from safetensors.torch import load as load_tensors
    from safetensors.torch import save

    stream = small.stream(**OPTIONS)
    stream.push(events()[:2000])
    state = stream.snapshot()
    text = json.loads(state[8 : 8 + int.from_bytes(state[:8], "little")])["__metadata__"]["stream"]
    for change in ("entered", "stays"):
        metadata = json.loads(text)
        zone = metadata["window"]["zones"][0]
        zone[change] = zone[change][1:]
        with pytest.raises(InvalidSnapshot, match="zone left"):
            small.restore(save(load_tensors(state), metadata={"stream": json.dumps(metadata)}))


def test_session_reports_zones_and_counts_events(live: Live) -> None:
    session_id = live.open(zones=ZONES, track=True, confidence=0.0, hop=1)
    assert live.http.get(f"/v1/sessions/{session_id}").json()["zones"][0]["name"] == "left"
    windows = post(live, session_id, dat_stream(12)).json()["windows"]
    assert windows
    assert windows[-1]["zones"][0].keys() == {"zone", "entered", "left", "inside", "mean_dwell_s"}
    happened = [event for window in windows for event in window["zone_events"]]
    assert "entered" in {event["event"] for event in happened}
    counted = 0.0
    for line in live.http.get("/metrics").text.splitlines():
        if line.startswith("spikewatch_zone_events_total{"):
            counted += float(line.split()[-1])
    assert counted >= len(happened)


def test_zones_without_tracks_or_with_one_name_twice_are_rejected(live: Live) -> None:
    for fields in ({"zones": ZONES}, {"zones": [ZONES[0], ZONES[0]], "track": True}):
        assert live.http.post("/v1/sessions", json=fields).status_code == 422


def test_file_of_zones_is_read_or_rejected(tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    path.write_text(json.dumps(ZONES))
    assert [zone.name for zone in load_zones(path)] == ["left", "middle"]
    for text in ("{}", "[", json.dumps([ZONES[0]] * 2), json.dumps(ZONES * 5)):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"expected a list of zones|own name"):
            load_zones(path)
    with pytest.raises(ConfigError, match="No such file"):
        load_zones(tmp_path / "none.json")


def test_detect_with_a_file_of_zones_tracks_and_counts(
    run: Callable[..., Done], detector: Detector, tmp_path: Path
) -> None:
    weights, file, out = (tmp_path / name for name in ("w.safetensors", "zones.json", "out.ndjson"))
    save_checkpoint(weights, detector.network, detector.spec)
    file.write_text(json.dumps(ZONES))
    clip = tmp_path / "clip.dat"
    clip.write_bytes(dat_file(12))
    options = ["--weights", weights, "--confidence", 0.001, "--zones", file, "--out", out]
    done = run("detect", clip, *options)
    assert done.status == 0, done
    windows = [json.loads(line) for line in out.read_text().splitlines()[:-1]]
    assert windows
    assert all(window["zones"][0]["zone"] == "left" for window in windows)
    assert any(window["zone_events"] for window in windows)
    entered = sum(windows[-1]["zones"][0]["entered"].values())
    assert f"{entered} in" in done.out, done.out
    assert "zone left" in done.out
    file.write_text("{}")
    assert run("detect", clip, *options).status != 0
