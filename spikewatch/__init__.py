"""Object detection for event cameras with a stateful spiking network: the public Python interface.

    for result in spikewatch.detect("drive.raw"):
        print(result.t_us, result.detections)

docs/python.md describes it. Names are loaded on first use: `import spikewatch` does not import torch.
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
    from spikewatch.model.checkpoints.bundled import bundled_weights
    from spikewatch.model.checkpoints.checkpoint import load_detector
    from spikewatch.model.detections import Detections
    from spikewatch.model.detector import Detector
    from spikewatch.model.errors import ModelError
    from spikewatch.service.client.async_client import AsyncClient
    from spikewatch.service.client.client import Client
    from spikewatch.service.errors import InvalidSnapshot, ServiceError
    from spikewatch.service.pipeline.detector import DetectionRun, EventDetector, detect, load
    from spikewatch.service.pipeline.results import DetectionResult
    from spikewatch.service.pipeline.stream import DetectionStream

__version__ = version("spikewatch")

__all__ = [
    "EVENT_DTYPE",
    "AsyncClient",
    "Client",
    "DetectionResult",
    "DetectionRun",
    "DetectionStream",
    "Detections",
    "Detector",
    "EventDetector",
    "IngestError",
    "InvalidSnapshot",
    "ModelError",
    "Recording",
    "ServiceError",
    "Slice",
    "TimeSlicer",
    "__version__",
    "bundled_weights",
    "detect",
    "load",
    "load_detector",
    "open_recording",
]

_MODULES = {
    "AsyncClient": "spikewatch.service.client.async_client",
    "Client": "spikewatch.service.client.client",
    "DetectionResult": "spikewatch.service.pipeline.results",
    "DetectionRun": "spikewatch.service.pipeline.detector",
    "DetectionStream": "spikewatch.service.pipeline.stream",
    "Detections": "spikewatch.model.detections",
    "Detector": "spikewatch.model.detector",
    "EVENT_DTYPE": "spikewatch.ingest.events",
    "EventDetector": "spikewatch.service.pipeline.detector",
    "IngestError": "spikewatch.ingest.errors",
    "InvalidSnapshot": "spikewatch.service.errors",
    "ModelError": "spikewatch.model.errors",
    "Recording": "spikewatch.ingest.recording",
    "ServiceError": "spikewatch.service.errors",
    "Slice": "spikewatch.ingest.slicing.slicer",
    "TimeSlicer": "spikewatch.ingest.slicing.slicer",
    "bundled_weights": "spikewatch.model.checkpoints.bundled",
    "detect": "spikewatch.service.pipeline.detector",
    "load": "spikewatch.service.pipeline.detector",
    "load_detector": "spikewatch.model.checkpoints.checkpoint",
    "open_recording": "spikewatch.ingest.open",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'spikewatch' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
