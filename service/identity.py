"""What two services must share for one to go on from the other's snapshot."""

import json
from dataclasses import asdict
from typing import Any

from spikewatch.model.checkpoints.checkpoint import weights_digest
from spikewatch.model.detector import Detector
from spikewatch.service.errors import BadSnapshot

VERSION = "spikewatch-session-2"

Identity = dict[str, Any]


def identity_of(detector: Detector) -> Identity:
    """That of a detector: version, weights, architecture, arithmetic."""
    spec = detector.spec
    identity = {
        "version": VERSION,
        "model": spec.name,
        "weights": weights_digest(detector.network),
        **asdict(spec.config),
        "representation": spec.representation,
        "count_cap": spec.count_cap,
        "time_order": spec.time_order,
        "runtime": detector.runtime,
        "input": (spec.input_height, spec.input_width),
    }
    as_read_back: Identity = json.loads(json.dumps(identity))
    return as_read_back


def check_same(theirs: Any, ours: Identity, whose: str) -> None:
    """Refuse a snapshot that differs, naming the first thing that does: BadSnapshot."""
    for key, value in ours.items():
        if dict(theirs).get(key) != value:
            raise BadSnapshot(f"the snapshot's {key} is {theirs.get(key)!r}, this {whose}'s {value!r}")
