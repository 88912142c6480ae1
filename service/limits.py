"""Bounds of what a client may ask for."""

MAX_SLICES = 64
"""Slices averaged for one result, and slices from result to result."""

MIN_SLICE_US = 1_000
MAX_SLICE_US = 10_000_000
