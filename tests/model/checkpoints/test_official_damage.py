"""Damaged checkpoints are rejected with a one-line message, or read with the original tensors."""

import random
import sys
from pathlib import Path

import pytest
import torch

from spikewatch.model.checkpoints.official_file import read_official_checkpoint
from spikewatch.model.errors import CheckpointError
from spikewatch.model.network.config import SpikeYOLOConfig
from tests.model.support.official_files import edit_archive, official_tensors, random_network, write_official


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with the structure of a real one but few weights, so that most damage hits the structure."""
    tensors = official_tensors(random_network(SpikeYOLOConfig("t", 2, 3)))
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors))[:15]
    few = {
        name: tensor[tuple(slice(2) for _ in tensor.shape)]
        for name, tensor in tensors.items()
        if name.rpartition(".")[0] in modules
    }
    return write_official(tmp_path_factory.mktemp("fuzz") / "o.pt", few, "coco")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change random bytes, near either end or anywhere, and truncate every fourth copy."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        low, high = rng.choice(((0, 60_000), (len(out) - 60_000, len(out)), (0, len(out))))
        out[rng.randrange(max(low, 0), min(high, len(out)))] = rng.randrange(256)
    return bytes(out[: rng.randrange(len(out))]) if rng.random() < 0.25 else bytes(out)


def readable(path: Path) -> dict[str, torch.Tensor] | None:
    """Return the tensors of `path`, or None if it is rejected with one line."""
    try:
        return read_official_checkpoint(path).tensors
    except CheckpointError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


def test_damaged_files_are_rejected_or_equal(official: Path, tmp_path: Path) -> None:
    data, tensors = official.read_bytes(), read_official_checkpoint(official).tensors
    rng = random.Random(1)
    equal = 0
    for _ in range(300):
        path = tmp_path / "x.pt"
        path.write_bytes(mutated(data, rng))
        found = readable(path)
        if found is not None:
            equal += 1
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[n], tensors[n]) for n in tensors)
    assert equal < 100, "most damage is noticed; what is not lies between the entries"


def test_damaged_pickles_with_valid_checksums_are_handled(official: Path, tmp_path: Path) -> None:
    rng = random.Random(2)
    small = tmp_path / "small.pt"
    torch.save({"model": {f"w{i}": torch.ones(2, 3).half() for i in range(9)}, "epoch": 3}, small)
    outcomes = []
    for source, times in ((small, 400), (official, 20)):
        for _ in range(times):
            path = edit_archive(source, lambda data: mutated(data, rng), tmp_path / "x.pt")
            outcomes.append(readable(path) is None)
    assert 20 < sum(outcomes) < len(outcomes)


def test_reading_leaves_safe_globals_unchanged(official: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_official_checkpoint(official)
    assert set(torch.serialization.get_safe_globals()) == before
    assert not {"ultralytics", "spikingjelly"} & set(sys.modules)
