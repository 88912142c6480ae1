"""Zones and lines as they are given with a session or in a JSON file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from spikewatch.ingest.events import MAX_SENSOR_PX
from spikewatch.model.errors import ConfigError

MAX_ZONES = 8
MAX_CORNERS = 64

Coordinate = Annotated[float, Field(ge=-MAX_SENSOR_PX, le=2 * MAX_SENSOR_PX, allow_inf_nan=False)]
Corner = tuple[Coordinate, Coordinate]
Anchor = Literal["centre", "foot"]
ZoneName = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,32}$")]


class Zone(BaseModel):
    """A polygon or a line in sensor pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ZoneName
    polygon: tuple[Corner, ...] | None = Field(
        None, min_length=3, max_length=MAX_CORNERS, description="corners [x, y]; closed by itself"
    )
    line: tuple[Corner, Corner] | None = Field(
        None, description="two ends [x, y]; `in`: from the left of the way from first to second to its right"
    )
    anchor: Anchor = Field("foot", description="point of a box: its centre, or the middle of its lower edge")
    margin_px: float = Field(
        4, ge=0, le=256, description="how far beyond the border a box must move before it counts as gone"
    )
    dwell_s: float | None = Field(
        None, gt=0, le=86_400, description="time inside after which `dwelling` is reported; polygons only"
    )

    @model_validator(mode="after")
    def _check_shape(self) -> "Zone":
        if (self.polygon is None) == (self.line is None):
            raise ValueError(f"zone {self.name} has polygon and line, or neither; give one of them")
        if self.line is not None and self.line[0] == self.line[1]:
            raise ValueError(f"line {self.name} has twice the end {list(self.line[0])}; give two ends")
        if self.line is not None and self.dwell_s is not None:
            raise ValueError(f"line {self.name} has dwell_s {self.dwell_s:g}; only polygons have dwell times")
        return self


Zones = Annotated[tuple[Zone, ...], Field(max_length=MAX_ZONES)]


def check_zones(zones: Sequence[Zone], track: bool) -> None:
    """Raise ValueError for names that repeat, or for zones without tracking."""
    names = [zone.name for zone in zones]
    if len(set(names)) != len(names):
        raise ValueError(f"zones are named {names}; give each zone its own name")
    if zones and not track:
        raise ValueError(f"{len(zones)} zones without tracking; zones count tracks, so set track")


def load_zones(path: Path) -> tuple[Zone, ...]:
    """Read a JSON file that holds a list of zones. Raises ConfigError for anything else."""
    try:
        zones = TypeAdapter(Zones).validate_json(path.read_bytes())
        check_zones(zones, track=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}; expected a list of zones") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return zones
