"""Object detection for event cameras with a stateful spiking network: the public Python interface.

Names are loaded on first use: `import spikewatch` takes milliseconds and does not import torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikewatch.ingest.errors import IngestError
    from spikewatch.ingest.events import EVENT_DTYPE
    from spikewatch.ingest.open import open_recording
    from spikewatch.ingest.recording import Recording
    from spikewatch.ingest.slicing.slicer import Slice, TimeSlicer
    from spikewatch.model.checkpoints.checkpoint import load_detector
    from spikewatch.model.detections import Detections
    from spikewatch.model.detector import Detector
    from spikewatch.model.errors import ModelError

__version__ = version("spikewatch")

__all__ = [
    "EVENT_DTYPE",
    "Detections",
    "Detector",
    "IngestError",
    "ModelError",
    "Recording",
    "Slice",
    "TimeSlicer",
    "__version__",
    "load_detector",
    "open_recording",
]

_MODULES = {
    "EVENT_DTYPE": "spikewatch.ingest.events",
    "Detections": "spikewatch.model.detections",
    "Detector": "spikewatch.model.detector",
    "IngestError": "spikewatch.ingest.errors",
    "ModelError": "spikewatch.model.errors",
    "Recording": "spikewatch.ingest.open",
    "Slice": "spikewatch.ingest.slicing.slicer",
    "TimeSlicer": "spikewatch.ingest.slicing.slicer",
    "load_detector": "spikewatch.model.checkpoints.checkpoint",
    "open_recording": "spikewatch.ingest.open",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'spikewatch' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
