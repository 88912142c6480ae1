"""Results as the messages that are sent."""

from collections.abc import Sequence

from spikewatch.model.detections import Detections
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import Detection, EnergyMj, Window

PIXEL_DIGITS = 1
CONFIDENCE_DIGITS = 3


def detection_messages(
    detections: Detections, labels: tuple[str, ...], track_ids: Sequence[int | None] | None = None
) -> list[Detection]:
    """Return boxes as messages, rounded to what they can mean, each with its track where tracks are given."""
    ids = track_ids or [None] * len(detections)
    columns = (detections.xywh, detections.confidence, detections.class_id)
    rows = zip(*(column.tolist() for column in columns), ids, strict=True)
    return [
        Detection(
            **{side: round(value, PIXEL_DIGITS) for side, value in zip("xywh", xywh, strict=True)},
            class_id=c,
            label=labels[c],
            confidence=round(p, CONFIDENCE_DIGITS),
            track_id=track,
        )
        for xywh, p, c, track in rows
    ]


def window_message(
    result: WindowResult, labels: tuple[str, ...], training: str, dropped_windows: int = 0
) -> Window:
    """Return a result as a message."""
    return Window(
        seq=result.seq,
        t_start_us=result.t_start_us,
        t_end_us=result.t_end_us,
        events=result.events,
        detections=detection_messages(result.detections, labels, result.track_ids),
        firing_rate=result.firing_rate,
        energy_mj=EnergyMj(snn=result.energy.snn_mj, ann=result.energy.ann_mj),
        latency_ms=round(result.latency_s * 1000, 3),
        dropped_windows=dropped_windows,
        training=training,
    )
