"""Snapshots of streams: damaged ones, and those of other weights, options or owners, are rejected."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load, save

from spikewatch.service.errors import InvalidSnapshot
from spikewatch.service.pipeline.detector import EventDetector
from spikewatch.service.pipeline.detector import load as load_detector
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, dat_stream
from tests.service.support.streams import post

Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def state(small: EventDetector) -> bytes:
    """Of a stream with an open slice, an unfinished window and tracks."""
    stream = small.stream(90, 60, slices=4, hop=3, slice_us=10_000, confidence=0.001, track=True)
    t = np.arange(0, 89_000, 100)
    stream.push(t, t // 100 % 90, t // 300 % 60, t // 100 % 2)
    return stream.snapshot()


def header(state: bytes) -> dict[str, Any]:
    length = int.from_bytes(state[:8], "little")
    text = json.loads(state[8 : 8 + length])["__metadata__"]["stream"]
    return dict(json.loads(text))


def comparable_header(state: bytes) -> dict[str, Any]:
    """Without the clock of the process."""
    metadata = header(state)
    del metadata["window"]["pending"]["ready_s"]
    return metadata


def changed(state: bytes, change: Change, tensors: Change = lambda _: None) -> bytes:
    metadata, values = header(state), load(state)
    change(metadata)
    tensors(values)
    return save(values, metadata={"stream": json.dumps(metadata)})


def test_snapshot_holds_every_part(small: EventDetector, state: bytes) -> None:
    saved = header(state)
    assert saved["window"]["pending"]["slices"] == 2
    assert saved["window"]["tracks"]["known"]
    assert saved["slicer"]["open"]["n_events"] == 90
    names = set(load(state))
    assert {"open_slice", "logits.3.2"} < names
    assert len([name for name in names if name.startswith("state.")]) > 10
    again = small.restore(state).snapshot()
    assert comparable_header(again) == comparable_header(state)
    assert {name: t.tolist() for name, t in load(again).items()} == {
        name: t.tolist() for name, t in load(state).items()
    }
    assert small.restore(changed(state, lambda _: None)).position_us == 80_000, "the reason why changes fail"


@pytest.mark.parametrize("size", [0, 7, 8, 100, -1, -1000])
def test_truncated_snapshot_is_rejected(small: EventDetector, state: bytes, size: int) -> None:
    with pytest.raises(InvalidSnapshot, match="not a usable snapshot"):
        small.restore(state[:size])


def test_every_missing_or_added_key_is_rejected(small: EventDetector, state: bytes) -> None:
    for place in ("", "slicer", "window", "window.pending", "slicer.stats", "slicer.open"):
        target: Any = header(state)
        for name in filter(None, place.split(".")):
            target = target[name]
        for key in [*target, "another"]:

            def change(metadata: dict[str, Any], place: str = place, key: str = key) -> None:
                inner = metadata
                for name in filter(None, place.split(".")):
                    inner = inner[name]
                if key in inner:
                    del inner[key]
                else:
                    inner[key] = 0

            with pytest.raises(InvalidSnapshot):
                small.restore(changed(state, change))


def set_value(path: str, value: Any) -> Change:
    def change(metadata: dict[str, Any]) -> None:
        *outer, last = path.split(".")
        for name in outer:
            metadata = metadata[name]
        metadata[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("identity.weights", "0" * 16),
        ("identity.runtime", "eager"),
        ("options.width", 91),
        ("options.slice_us", 9_999),
        ("options.slices", 3),
        ("options.hop", 2),
        ("options.confidence", 1.5),
        ("window.seq", -1),
        ("window.seq", "2"),
        ("window.pending.slices", 3),
        ("window.pending.spikes", {}),
        ("window.logit_t0_us", []),
        ("slicer.open.t0_us", 80_001),
        ("slicer.open", None),
    ],
)
def test_value_that_does_not_fit_is_rejected(
    small: EventDetector, state: bytes, path: str, value: Any
) -> None:
    if path == "slicer.open":
        restored = small.restore(changed(state, set_value(path, value)))
        assert restored.stats.events_in == 890, "a stream between two slices"
        return
    with pytest.raises(InvalidSnapshot):
        small.restore(changed(state, set_value(path, value)))


@pytest.mark.parametrize("name", ["state", "logits.0.1", "open_slice"])
@pytest.mark.parametrize("how", ["missing", "shape", "type", "nan"])
def test_tensor_that_does_not_fit_is_rejected(
    small: EventDetector, state: bytes, name: str, how: str
) -> None:
    def change(tensors: dict[str, Any]) -> None:
        key = next(key for key in sorted(tensors) if key.startswith(name))
        match how:
            case "missing":
                del tensors[key]
            case "shape":
                tensors[key] = tensors[key][..., 1:].contiguous()
            case "type":
                tensors[key] = tensors[key].double() if key != "open_slice" else tensors[key].float()
            case _:
                tensors[key] = tensors[key] * float("nan")

    with pytest.raises(InvalidSnapshot):
        small.restore(changed(state, lambda _: None, change))


def test_snapshot_of_other_weights_is_rejected(state: bytes) -> None:
    detector = small_detector()
    detector.network.load_state_dict({k: v + v for k, v in detector.network.state_dict().items()})
    with pytest.raises(InvalidSnapshot, match="the snapshot's weights is"):
        EventDetector(detector).restore(state)


def test_snapshot_of_a_session_is_no_stream(small: EventDetector, live: Live) -> None:
    session_id = live.open()
    post(live, session_id, dat_stream(2))
    data = live.http.get(f"/v1/sessions/{session_id}/state").content
    with pytest.raises(InvalidSnapshot, match="stream"):
        small.restore(data)


def test_snapshot_is_restored_by_a_detector_loaded_anew(weights: Any, state: bytes) -> None:
    stream = load_detector(weights).restore(state)
    assert stream.position_us == 80_000
    assert len(stream.finish()) == 1
