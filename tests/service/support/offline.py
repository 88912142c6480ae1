"""Windows of a recording without a service, to hold those of a service against."""

from pathlib import Path
from typing import Any

from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.service.inference.offline import OfflineRun
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.inference.window_result import WindowOptions
from tests.service.support.live import comparable


def offline_windows(recording: Path, weights: Path, options: WindowOptions) -> list[dict[str, Any]]:
    """As the command line computes them."""
    with open_recording(recording) as opened:
        detector = load_detector(str(weights), runtime="auto")
        source = RecordingSource(opened, detector.spec.slice_us, detector.spec.representation)
        seen = [window for part in OfflineRun(source, detector, options) for window in part.windows]
    return comparable([window.model_dump() for window in seen])
