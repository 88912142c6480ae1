"""Spike degradation: layers that no longer carry information (paper, sections 1 and 3.2).

The paper motivates its architecture by this: deep layers of a directly converted YOLO almost stop firing.
A layer that always fires its maximum carries as little information.
"""

SILENT_BELOW = 0.001
"""Firing rate for each virtual step below which a layer is silent: less than one spike in 1,000 steps."""

SATURATED_ABOVE = 0.9
"""Firing rate above which a layer is saturated: almost every neuron fires its maximum D."""

DEGRADATIONS = ("silent", "saturated")


def classify_degradation(firing_rate: float) -> str | None:
    """Return the degradation of a layer with this firing rate, one of DEGRADATIONS, or None."""
    if firing_rate < SILENT_BELOW:
        return "silent"
    return "saturated" if firing_rate > SATURATED_ABOVE else None
