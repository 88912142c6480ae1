"""A small detector in Python, and the bundled recording."""

from pathlib import Path

import numpy as np
import pytest

from spikewatch.ingest.events import Events
from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.service.pipeline.detector import EventDetector, load

STREET = Path(__file__).parents[3] / "service/assets/street_td.dat"
CLIP_EVENTS = 16_000


@pytest.fixture(scope="session")
def street() -> Path:
    """The bundled recording."""
    return STREET


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the bundled recording."""
    data = STREET.read_bytes()
    path = tmp_path_factory.mktemp("clip") / "clip_td.dat"
    path.write_bytes(data[: header_bytes(data) + 8 * CLIP_EVENTS])
    return path


def header_bytes(data: bytes) -> int:
    return data.index(b"\n\x00\x08") + 3


@pytest.fixture(scope="session")
def records(clip: Path) -> bytes:
    """The same without its header."""
    data = clip.read_bytes()
    return data[header_bytes(data) :]


@pytest.fixture(scope="session")
def clip_events(clip: Path) -> Events:
    with open_recording(clip) as recording:
        return np.concatenate(list(recording.chunks()))


@pytest.fixture(scope="session")
def weights(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dyadic weights of a small input."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_checkpoint(path, detector.network, detector.spec)
    return path


@pytest.fixture(scope="session")
def small(weights: Path) -> EventDetector:
    return load(weights)
