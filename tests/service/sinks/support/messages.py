"""Messages for sinks."""

from spikewatch.service.schemas import Detection, EnergyMj, Window, ZoneEventMessage
from spikewatch.service.sinks.message import SinkMessage


def make_message(session: str = "gate", seq: int = 0, events: tuple[str, ...] = ()) -> SinkMessage:
    """A result with one box, and with zone events of these kinds."""
    box = Detection(x=1, y=2, w=3, h=4, class_id=0, label="car", confidence=0.5, track_id=7)
    window = Window(
        seq=seq,
        t_start_us=seq * 50_000,
        t_end_us=(seq + 1) * 50_000,
        events=100,
        detections=[box],
        firing_rate=0.1,
        energy_mj=EnergyMj(snn=0.5, ann=5),
        latency_ms=4,
        dropped_windows=0,
        training="untrained",
        zones=[] if events else None,
        zone_events=[
            ZoneEventMessage(
                event=kind,
                zone="door",
                t_us=seq,
                track_id=7,
                label="car",
                direction="in" if kind == "crossed" else None,
                dwell_s=None,
                lost=False,
            )
            for kind in events
        ]
        or None,
    )
    return SinkMessage(session, lambda: window)
