"""Results as the messages that are sent."""

from collections.abc import Sequence

from spikewatch.model.detections import Detections
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import Detection, EnergyMj, Window


def detection_messages(
    detections: Detections, labels: tuple[str, ...], track_ids: Sequence[int | None] | None = None
) -> list[Detection]:
    """Return boxes as messages, each with its track where tracks are given."""
    ids = track_ids or [None] * len(detections)
    columns = (detections.xywh, detections.confidence, detections.class_id)
    rows = zip(*(column.tolist() for column in columns), ids, strict=True)
    return [
        Detection(x=x, y=y, w=w, h=h, class_id=c, label=labels[c], confidence=p, track_id=track)
        for (x, y, w, h), p, c, track in rows
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
