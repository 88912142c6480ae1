"""Errors of the ingest package.

IngestError
├── FormatError        the bytes are not the format they were taken for
├── TruncatedError     a header or file ends too early
├── GeometryError      the sensor size is missing or contradicts the events
├── TimeOrderError     time runs backwards further than any wrap or jitter explains
├── MissingDependencyError an HDF5 filter or an optional package is not installed
└── SimulationError    a film cannot be made: the plan is wrong, or what draws it is not installed
"""


class IngestError(ValueError):
    """Base of all errors raised for bad event data; `code` is stable and machine-readable."""

    code = "bad_recording"


class FormatError(IngestError):
    """The bytes are not a supported format, or not the one that was named."""

    code = "unsupported_format"


class TruncatedError(IngestError):
    """A header or a file ends before the data that it announces."""

    code = "truncated"


class GeometryError(IngestError):
    """The sensor size is unknown, out of bounds, or contradicts what was given."""

    code = "bad_geometry"


class TimeOrderError(IngestError):
    """Time runs backwards further than a counter wrap or jitter explains."""

    code = "time_order"


class MissingDependencyError(IngestError):
    """An HDF5 filter or an optional package is needed to read this file; the message names it."""

    code = "missing_filter"


class SimulationError(IngestError):
    """A simulated recording cannot be made; the message says what is wrong or what to install."""

    code = "simulation"
