"""Checkpoints: round trip, untrained weights, and rejected files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spikewatch.model.checkpoints.bundled import UNTRAINED
from spikewatch.model.checkpoints.checkpoint import (
    load_checkpoint,
    load_detector,
    save_checkpoint,
    untrained_network,
    weights_digest,
)
from spikewatch.model.errors import CheckpointError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.spec import ModelSpec
from tests.model.support.fakes import event_like_frames, small_detector


def test_checkpoint_round_trip_is_exact(tmp_path: Path) -> None:
    detector = small_detector()
    save_checkpoint(tmp_path / "w.safetensors", detector.network, detector.spec)
    loaded = load_checkpoint(tmp_path / "w.safetensors")
    assert loaded.spec == detector.spec
    assert weights_digest(loaded.network) == weights_digest(detector.network)
    frames = event_like_frames(1, detector.spec)
    a, b = (d.step(frames, d.init_state()) for d in (detector, loaded))
    assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))


def test_untrained_weights_are_named_and_reproducible() -> None:
    detector = load_detector(UNTRAINED)
    assert "untrained" in detector.spec.name
    assert detector.spec.training == "untrained"
    assert weights_digest(detector.network) == weights_digest(load_detector(UNTRAINED).network)


def test_every_untrained_layer_fires() -> None:
    detector = small_detector()
    state = detector.init_state()
    for frame in event_like_frames(4, detector.spec):
        out = detector.step(frame[None], state)
        state = out.state
    assert min(int(count[0]) for count in out.spikes.values()) > 0


def test_missing_damaged_and_unknown_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "junk").write_bytes(b"PK\x03\x04 not weights")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path / "junk")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_checkpoint(tmp_path)
    header = json.dumps({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "four_bits").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    with pytest.raises(CheckpointError, match="four_bits: numbers of type 'F4'"):
        load_checkpoint(tmp_path / "four_bits")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="format None, expected 'spikewatch-1'"):
        load_checkpoint(tmp_path / "foreign")


def test_mismatched_tensors_are_rejected(tmp_path: Path) -> None:
    detector = small_detector()
    tensors = dict(detector.network.state_dict())
    del tensors["encoder.conv.weight"]
    metadata = {"format": "spikewatch-1", "spec": json.dumps(detector.spec.to_json())}
    save_file(tensors, tmp_path / "w", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"encoder\.conv\.weight"):
        load_checkpoint(tmp_path / "w")
    save_file(tensors, tmp_path / "w", metadata=metadata | {"spec": '{"name": "x"}'})
    with pytest.raises(CheckpointError, match="not a model specification"):
        load_checkpoint(tmp_path / "w")


def test_small_file_cannot_ask_for_a_large_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """453 million random parameters took ten seconds and two gigabytes before the file was rejected."""
    devices = set()

    def record(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        devices.add(tensor.device.type)
        return tensor

    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", record)
    config = SpikeYOLOConfig(scale="l", classes=1000, high_block="transformer", repeats=(32, 32, 32, 32))
    names = tuple(str(i) for i in range(config.classes))
    spec = ModelSpec("large", config, class_names=names)
    metadata = {"format": "spikewatch-1", "spec": json.dumps(spec.to_json())}
    save_file({"encoder.conv.weight": torch.zeros(1)}, tmp_path / "w", metadata=metadata)
    with pytest.raises(CheckpointError, match=r"lacks '[\w.]+' and \d+ more; expected exactly") as error:
        load_checkpoint(tmp_path / "w")
    assert devices == {"meta"}
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "config",
    [
        SpikeYOLOConfig(),
        SpikeYOLOConfig(in_channels=3),
        SpikeYOLOConfig("n", architecture="yolov8"),
        SpikeYOLOConfig("l"),
    ],
    ids=["two channels", "three channels", "yolov8", "wide"],
)
def test_untrained_network_has_nonzero_convolutions(config: SpikeYOLOConfig) -> None:
    state = untrained_network(config).state_dict()
    encoder = next(t for name, t in state.items() if t.ndim == 4)
    assert len(encoder.unique()) == 3
    convolutions = {name: t for name, t in state.items() if t.ndim == 4}
    assert [name for name, t in convolutions.items() if not t.any()] == []


def test_events_reach_every_layer_and_the_logits() -> None:
    detector = small_detector()
    events, state = event_like_frames(2, detector.spec), detector.init_state()
    seen, blank = (detector.step(f[None], state) for f in (events[0], detector.blank_frames()[0]))
    other = detector.step(events[1:], state)
    assert all(seen.spikes[name] != blank.spikes[name] for name in list(seen.spikes)[:10])
    assert sum(int(seen.spikes[n]) != int(blank.spikes[n]) for n in seen.spikes) > 80
    for a, b, c in zip(seen.logits, blank.logits, other.logits, strict=True):
        assert not torch.equal(a, b)
        assert not torch.equal(a, c)
