"""Results of an outbox as plain values and back, exactly."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from spikewatch.model.detections import Detections
from spikewatch.model.energy.formulas import Energy
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.sessions.outbox import OutboxState


def outbox_to_dict(results: OutboxState) -> dict[str, Any]:
    """As `saved.OutboxSnapshot`; layers are left out, since only onlookers and sums want them."""
    return {
        "read": [_result_to_dict(result) for result in results.delivered],
        "unread": [_result_to_dict(result) for result in results.pending],
        "gone": results.first_available_seq,
        "dropped": results.dropped,
    }


def outbox_from_dict(saved: Mapping[str, Any]) -> OutboxState:
    """The inverse, of what was checked before."""
    return OutboxState(
        tuple(_result_from_dict(result) for result in saved["read"]),
        tuple(_result_from_dict(result) for result in saved["unread"]),
        saved["gone"],
        saved["dropped"],
    )


def _result_to_dict(result: WindowResult) -> dict[str, Any]:
    found = result.detections
    return {
        "seq": result.seq,
        "t_start_us": result.t_start_us,
        "t_end_us": result.t_end_us,
        "events": result.events,
        "xywh": found.xywh.tolist(),
        "confidence": found.confidence.tolist(),
        "class_id": found.class_id.tolist(),
        "firing_rate": result.firing_rate,
        "energy": asdict(result.energy),
        "latency_s": result.latency_s,
        "track_ids": None if result.track_ids is None else list(result.track_ids),
    }


def _result_from_dict(saved: Mapping[str, Any]) -> WindowResult:
    xywh = np.asarray(saved["xywh"], np.float32).reshape(-1, 4)
    confidence, class_id = (
        np.asarray(saved["confidence"], np.float32),
        np.asarray(saved["class_id"], np.int64),
    )
    return WindowResult(
        seq=saved["seq"],
        t_start_us=saved["t_start_us"],
        t_end_us=saved["t_end_us"],
        events=saved["events"],
        detections=Detections(xywh, confidence, class_id, saved["t_end_us"]),
        layer_rates={},
        firing_rate=saved["firing_rate"],
        energy=Energy(**saved["energy"]),
        layer_energy={},
        latency_s=saved["latency_s"],
        track_ids=None if saved["track_ids"] is None else tuple(saved["track_ids"]),
    )
