"""Results as the messages that are sent."""

from collections.abc import Sequence

from spikewatch.model.detections import Detections
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import Detection, EnergyMj, Window, ZoneCount, ZoneEventMessage
from spikewatch.service.zones.state import ZoneCounts, ZoneEvent

US_PER_S = 1_000_000

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
        zones=[_count_message(counts, labels) for counts in result.zones] or None,
        zone_events=[_event_message(event, labels) for event in result.zone_events] if result.zones else None,
    )


def _count_message(counts: ZoneCounts, labels: tuple[str, ...]) -> ZoneCount:
    entered, left, inside = (
        dict(zip(labels, numbers, strict=True)) for numbers in (counts.entered, counts.left, counts.inside)
    )
    return ZoneCount(
        zone=counts.zone, entered=entered, left=left, inside=inside, mean_dwell_s=counts.mean_dwell_s
    )


def _event_message(event: ZoneEvent, labels: tuple[str, ...]) -> ZoneEventMessage:
    return ZoneEventMessage(
        event=event.kind,
        zone=event.zone,
        t_us=event.t_us,
        track_id=event.track_id,
        label=labels[event.class_id],
        direction=event.direction,
        dwell_s=None if event.dwell_us is None else event.dwell_us / US_PER_S,
        lost=event.lost,
    )
