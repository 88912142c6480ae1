"""`spikewatch.load` with official checkpoints, whose windows run as a whole, newest slice first."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikewatch
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.checkpoints.official_import import import_official
from spikewatch.model.errors import CheckpointError, ConfigError
from spikewatch.service.pipeline.detector import EventDetector
from spikewatch.service.pipeline.results import DetectionResult
from tests.model.support.official_files import COCO, GEN1, official_tensors, random_network, write_official
from tests.service.support.results import as_windows

T_US = np.arange(0, 95_000, 100)
EVENTS = T_US, T_US // 100 % 90, T_US // 300 % 60, T_US // 100 % 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An official Gen1 checkpoint with random weights."""
    path = tmp_path_factory.mktemp("official") / "gen1.pt"
    return write_official(path, official_tensors(random_network(GEN1)), "gen1")


@pytest.fixture(scope="module")
def official(checkpoint: Path) -> EventDetector:
    return spikewatch.load(checkpoint)


def test_official_checkpoint_equals_its_import(
    official: EventDetector, checkpoint: Path, tmp_path: Path
) -> None:
    imported = import_official(checkpoint, "gen1")
    save_checkpoint(tmp_path / "imported.safetensors", imported.network, imported.spec)
    again = spikewatch.load(tmp_path / "imported.safetensors", runtime=official.runtime)
    assert official.spec == again.spec
    runs = [
        as_windows(detector.detect(EVENTS, width=90, height=60, slice_us=10_000, confidence=0.0))
        for detector in (official, again)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 3
    assert sum(len(window["detections"]) for window in runs[0]) > 0


def test_windows_that_run_as_a_whole_survive_a_snapshot(official: EventDetector) -> None:
    """Slices that wait for their window are in the snapshot."""
    whole = as_windows(official.detect(EVENTS, width=90, height=60, slice_us=10_000, confidence=0.0))
    stream, results = official.stream(90, 60, slice_us=10_000, confidence=0.0), list[DetectionResult]()
    for part in np.array_split(np.arange(len(T_US)), 6):
        results += stream.push(*(column[part] for column in EVENTS))
        stream = official.restore(stream.snapshot())
    assert as_windows(results + stream.finish()) == whole


def test_length_that_looks_like_a_pickle_is_no_checkpoint(official: EventDetector, tmp_path: Path) -> None:
    """A safetensors file whose header has 128 bytes more than a multiple of 256."""
    detector = official._detector
    for length in range(0, 256, 8):
        path = tmp_path / "padded.safetensors"
        save_checkpoint(path, detector.network, replace(detector.spec, name="n" * (1 + length)))
        if path.read_bytes()[:1] == b"\x80":
            break
    else:
        pytest.fail("no header of such a length")
    assert spikewatch.load(path, runtime="eager").spec.name == "n" * (1 + length)


def test_checkpoint_of_still_images_is_rejected(tmp_path: Path) -> None:
    path = write_official(tmp_path / "coco.pt", official_tensors(random_network(COCO)), "coco")
    with pytest.raises(CheckpointError, match="pass variant coco"):
        spikewatch.load(path)
    with pytest.raises(ConfigError, match="takes images"):
        spikewatch.load(path, variant="coco")
