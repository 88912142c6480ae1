"""The detector on arrays gives the numbers of `Detector` with the compiled runtime, to the last bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from spikewatch.model.array_detector import ArrayDetector, ArrayOutput
from spikewatch.model.checkpoints.arrays import load_array_detector
from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS, weights_path
from spikewatch.model.checkpoints.checkpoint import CHECKPOINT_FORMAT, load_detector, read_network
from spikewatch.model.compiled_detector import CompiledDetector
from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError, StateError
from tests.model.support.fakes import event_like_frames, small_detector


@pytest.fixture(scope="module")
def pair() -> tuple[Detector, CompiledDetector]:
    base = small_detector()
    tensors = {name: t.numpy() for name, t in base.network.state_dict().items()}
    return Detector(base.network, base.spec, runtime="compiled"), CompiledDetector(tensors, base.spec)


def equal(a: ArrayOutput, b: ArrayOutput) -> bool:
    same = all(map(np.array_equal, a.logits, b.logits)) and a.spikes.keys() == b.spikes.keys()
    return same and all(np.array_equal(n, b.spikes[name]) for name, n in a.spikes.items())


def test_streams_equal_those_of_the_torch_detector(pair: tuple[Detector, CompiledDetector]) -> None:
    banks = [detector.create_bank(3) for detector in pair]
    frames = event_like_frames(4, pair[0].spec).numpy()
    for slots in ([2, 0], [0, 1]):
        a, b = (d.step_arrays(frames[:2], bank, slots) for d, bank in zip(pair, banks, strict=True))
        assert equal(a, b)
        assert a.sample(1)[1] == b.sample(1)[1]
    assert sum(int(n.sum()) for n in a.spikes.values())
    for bank in banks:
        bank.reset([0, 1])
    a, b = (d.step_arrays(frames[2:3], bank, [1]) for d, bank in zip(pair, banks, strict=True))
    assert equal(a, b)
    assert pair[0].weights_digest() == pair[1].weights_digest()
    assert pair[0].layers == pair[1].layers


@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
def test_windows_equal_those_of_the_torch_detector(
    pair: tuple[Detector, CompiledDetector], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for detector in pair:
        monkeypatch.setattr(detector, "spec", replace(detector.spec, time_order=order))
    frames = event_like_frames(6, pair[0].spec).reshape(3, 2, *pair[0].blank_frames().shape[1:]).numpy()
    found = [detector.run_window_arrays(frames) for detector in pair]
    assert all(map(equal, *found))


def test_wrong_slots_are_rejected(pair: tuple[Detector, CompiledDetector]) -> None:
    detector, frames = pair[1], event_like_frames(2, pair[1].spec).numpy()
    bank = detector.create_bank(2)
    with pytest.raises(StateError, match="distinct"):
        detector.step_arrays(frames, bank, [0, 0])
    with pytest.raises(StateError, match="2 frames for 1"):
        detector.step_arrays(frames, bank, [0])
    assert bank.corrupted_slots == set()


def test_bundled_weights_load_without_torch_tensors() -> None:
    found, expected = load_array_detector(), load_detector(runtime="compiled")
    assert isinstance(found, CompiledDetector)
    assert found.weights_digest() == expected.weights_digest()
    assert (found.spec, found.layers) == (expected.spec, expected.layers)
    frames = event_like_frames(1, expected.spec).numpy()
    a, b = (d.step_arrays(frames, d.create_bank(1), [0]) for d in (found, expected))
    assert equal(a, b)


@pytest.mark.parametrize("options", [{"mode": "spike"}, {"runtime": "int8"}, {"weights": "untrained"}])
def test_other_choices_load_the_torch_detector(options: dict[str, str]) -> None:
    detector: ArrayDetector = load_array_detector(**options)  # type: ignore[arg-type]
    assert isinstance(detector, Detector)


def change_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["encoder.bn.bias"] = torch.zeros(3)


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["encoder.bn.bias"]


def add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["extra"] = torch.zeros(3)


def spoil(tensors: dict[str, torch.Tensor]) -> None:
    tensors["encoder.bn.bias"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_shape, r"encoder.bn.bias is \(3,\), expected"),
        (drop, "encoder.bn.bias is missing"),
        (add, "extra is unknown"),
        (spoil, "NaN or infinity"),
    ],
)
def test_tensors_that_do_not_fit_are_rejected(
    change: Callable[[dict[str, torch.Tensor]], None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = load_file(weights_path(DEFAULT_WEIGHTS))
    change(tensors)
    spec = read_network(weights_path(DEFAULT_WEIGHTS))[1]
    save_file(tensors, path, metadata={"format": CHECKPOINT_FORMAT, "spec": json.dumps(spec.to_json())})
    with pytest.raises(CheckpointError, match=words):
        load_array_detector(str(path))


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_damaged_files_are_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        load_array_detector(str(path))


def test_bfloat16_files_load_with_torch(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = load_file(weights_path(DEFAULT_WEIGHTS))
    tensors["encoder.bn.bias"] = tensors["encoder.bn.bias"].bfloat16()
    spec = read_network(weights_path(DEFAULT_WEIGHTS))[1]
    save_file(tensors, path, metadata={"format": CHECKPOINT_FORMAT, "spec": json.dumps(spec.to_json())})
    assert load_array_detector(str(path)).runtime == "compiled"
