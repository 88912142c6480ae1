"""Exception tree of the ingest package.

IngestError
├── FormatError             the bytes are no supported format, or not the declared one
├── TruncatedError          a header or file ends too early
├── GeometryError           the sensor size is missing or contradicts the events
├── NoEventsError           the recording has no events, or none of them can be used
├── TimeOrderError          timestamps run backwards further than a wrap or jitter explains
├── MissingDependencyError  an HDF5 filter or an optional package is not installed
└── SimulationError         a recording cannot be simulated: bad options, or no OpenGL renderer
"""


class IngestError(ValueError):
    """Base of all errors raised for bad event data; `code` is stable and machine-readable."""

    code = "bad_recording"


class FormatError(IngestError):
    """The bytes are not a supported format, or not the declared one."""

    code = "unsupported_format"


class TruncatedError(IngestError):
    """A header or a file ends before the data that it declares."""

    code = "truncated"


class GeometryError(IngestError):
    """The sensor size is unknown, out of bounds, or contradicts the size given by the caller."""

    code = "bad_geometry"


class NoEventsError(IngestError):
    """The recording has no events, or all of them were dropped."""

    code = "no_events"


class TimeOrderError(IngestError):
    """Timestamps run backwards further than a counter wrap or jitter explains."""

    code = "time_order"


class MissingDependencyError(IngestError):
    """An HDF5 filter or optional package that this file needs is not installed; the message names it."""

    code = "missing_filter"


class SimulationError(IngestError):
    """A recording cannot be simulated; the message names the bad option or the missing package."""

    code = "simulation"
