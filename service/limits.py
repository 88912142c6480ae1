"""Bounds of client options; `model.spec.MAX_SLICES` bounds T and the hop."""

MIN_SLICE_US = 1_000
MAX_SLICE_US = 10_000_000

SESSION_ID_PATTERN = r"[A-Za-z0-9_-]{1,64}"
"""Ids that a client may choose; safe in file names and URL paths."""

QUALIFIED_ID_PATTERN = r"[A-Za-z0-9_-]{1,128}"
"""Internal ids of sessions: with API keys, the client's id has a prefix."""
