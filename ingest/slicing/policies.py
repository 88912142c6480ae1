"""Names of policies; apart from the slicer, because the command line and schemas load it without numba."""

from typing import Literal

OnTimeJump = Literal["resync", "fail"]
"""Policy for an event more than max_late_us earlier than the open slice: go back to its time, or raise."""
