"""Filters as they are given with a session, a call or on the command line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikewatch.ingest.events import MAX_SENSOR_PX
from spikewatch.ingest.filters.settings import FilterSettings
from spikewatch.model.errors import ConfigError

MAX_HOT_PIXELS = 4096
MAX_FILTER_US = 1_000_000
MAX_FILE_BYTES = 1 << 20

Coordinate = Annotated[int, Field(ge=0, lt=MAX_SENSOR_PX)]
Length = Annotated[int, Field(ge=1, le=MAX_SENSOR_PX)]


class Filters(BaseModel):
    """Filters that remove events before the network, in the order of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: tuple[Coordinate, Coordinate, Length, Length] | None = Field(
        None, description="x, y, width, height in pixels; events outside are removed"
    )
    hot_pixels: tuple[tuple[Coordinate, Coordinate], ...] = Field(
        (), max_length=MAX_HOT_PIXELS, description="[x, y] of pixels whose events are removed"
    )
    hot_hz: float | None = Field(
        None, gt=0, le=1e6, description="learn hot pixels: single ones that fire faster than this"
    )
    hot_window_us: int = Field(
        1_000_000, ge=1_000_000, le=60_000_000, description="time over which their rates are measured"
    )
    refractory_us: int | None = Field(
        None,
        ge=1,
        le=MAX_FILTER_US,
        description="remove events of a pixel that come earlier than this after its last one that passed",
    )
    background_us: int | None = Field(
        None,
        ge=1,
        le=MAX_FILTER_US,
        description="remove events of a pixel if none of its 8 neighbours had one within this time",
    )

    @model_validator(mode="after")
    def _check_window(self) -> "Filters":
        if "hot_window_us" in self.model_fields_set and self.hot_hz is None:
            raise ValueError(f"hot_window_us is {self.hot_window_us} without hot_hz; give both")
        return self

    def settings(self) -> FilterSettings:
        """Return the same as settings of the filters themselves."""
        return FilterSettings(**self.model_dump())


def parse_filters(texts: Sequence[str] | None) -> Filters | None:
    """Return the filters of `--filter NAME=VALUE` options, None without any.

    The value of `hot_pixels` is the path of a JSON file with a list of [x, y]; that of `region` is
    X,Y,WIDTH,HEIGHT. Raises ConfigError for anything else.
    """
    values: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or name not in Filters.model_fields:
            names = ", ".join(Filters.model_fields)
            raise ConfigError(f"--filter {text}: expected NAME=VALUE, with a name out of {names}")
        if name in values:
            raise ConfigError(f"--filter {name} is given twice: {values[name]!r:.40} and {value}; give one")
        values[name] = _parse_value(name, value)
    try:
        return Filters.model_validate(values) if values else None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "filters"
        raise ConfigError(f"--filter {place}: {first['msg']}; got {first['input']!r:.80}") from error


def _parse_value(name: str, value: str) -> object:
    if name == "region":
        return value.split(",")
    if name != "hot_pixels":
        return value
    path = Path(value)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"has {path.stat().st_size} bytes; expected at most {MAX_FILE_BYTES}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"--filter hot_pixels={value}: {error}; expected a JSON list of [x, y]") from error
