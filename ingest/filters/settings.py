"""Filters that remove events of noise before the network, and their settings."""

from dataclasses import dataclass

from spikewatch.ingest.errors import GeometryError

FILTER_NAMES = ("region", "hot_pixels", "refractory", "background")
"""Filters in the order in which they see an event. The first that removes the event counts it."""

Pixel = tuple[int, int]
Region = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Settings of the filters; None switches a filter off.

    Attributes:
        region: x, y, width, height in pixels; events outside are removed.
        hot_pixels: (x, y) of pixels whose events are removed.
        hot_hz: events a second above which a pixel may be hot, see `find_hot_pixels`.
        hot_window_us: time over which these rates are measured.
        refractory_us: remove events of a pixel that come earlier than this after its last one that passed.
        background_us: remove events for which none of the 8 neighbours had an event within this time.
    """

    region: Region | None = None
    hot_pixels: tuple[Pixel, ...] = ()
    hot_hz: float | None = None
    hot_window_us: int = 1_000_000
    refractory_us: int | None = None
    background_us: int | None = None

    def check_sensor(self, width: int, height: int) -> None:
        """Raise GeometryError if the region or a hot pixel is off the sensor."""
        if self.region is not None:
            x, y, region_width, region_height = self.region
            if x + region_width > width or y + region_height > height:
                raise GeometryError(
                    f"region {list(self.region)} (x, y, width, height) is off the {width}x{height} sensor"
                )
        for x, y in self.hot_pixels:
            if x >= width or y >= height:
                raise GeometryError(f"hot pixel [{x}, {y}] is off the {width}x{height} sensor")
