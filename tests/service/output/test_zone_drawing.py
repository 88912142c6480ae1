"""Zones over pictures: where they are, and what their captions count."""

import numpy as np

from spikewatch.service.output.zone_drawing import ZONE_COLOUR, draw_zones, zone_caption
from spikewatch.service.schemas import ZoneCount
from spikewatch.service.zones.schema import Zone

SCALE = 4
DARK = np.zeros((60 * SCALE, 80 * SCALE, 3), np.uint8)
POLYGON = Zone(name="crossing", polygon=((10, 30), (60, 30), (60, 50), (10, 50)))
LINE = Zone(name="gate", line=((40, 10), (40, 55)))


def count(zone: str) -> ZoneCount:
    return ZoneCount(
        zone=zone, entered={"car": 3, "pedestrian": 2}, left={"car": 1}, inside={"car": 2}, mean_dwell_s=None
    )


def coloured(image: np.ndarray) -> np.ndarray:
    """Rows and columns of the sensor that hold the zones' colour."""
    rows, columns = np.nonzero((image == ZONE_COLOUR).all(-1))
    return np.unique(np.stack([rows, columns], 1) // SCALE, axis=0)


def test_polygon_is_drawn_and_closed_at_its_corners() -> None:
    drawn = coloured(draw_zones(DARK, [POLYGON], [], SCALE)).tolist()
    assert [40, 10] in drawn, "the edge from the last corner to the first"
    assert [40, 60] in drawn
    assert [50, 35] in drawn
    assert [40, 35] not in drawn, "its inside stays free for events"


def test_line_is_drawn_from_end_to_end() -> None:
    drawn = coloured(draw_zones(DARK, [LINE], [count("gate")], SCALE)).tolist()
    assert [50, 40] in drawn
    assert [54, 40] in drawn


def test_zones_outside_the_sensor_and_without_counts_are_drawn_too() -> None:
    outside = Zone(name="a" * 32, polygon=((70, 50), (200, 50), (200, 200)))
    assert len(coloured(draw_zones(DARK, [outside], [], SCALE)))


def test_captions_sum_over_classes() -> None:
    assert zone_caption(POLYGON, count("crossing")) == "crossing: 2 inside, 5 in, 1 out"
    assert zone_caption(LINE, count("gate")) == "gate: 5 in, 1 out"
    assert zone_caption(LINE, None) == "gate"
