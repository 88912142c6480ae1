"""Bounds of what a client may ask for; `model.spec.MAX_SLICES` bounds T and the hop."""

MIN_SLICE_US = 1_000
MAX_SLICE_US = 10_000_000

SESSION_ID_PATTERN = r"[A-Za-z0-9_-]{1,64}"
"""Ids that a client may propose; safe as a file's name and in a path."""

QUALIFIED_ID_PATTERN = r"[A-Za-z0-9_-]{1,128}"
"""Ids of sessions as they are kept; one that a client proposed may have a prefix."""
