"""Spike degradation: layers that no longer carry information (paper, sections 1 and 3.2).

The paper's reason for its architecture is that deep layers of a directly converted YOLO almost stop firing.
A layer that always fires its maximum says as little.
"""

SILENT_BELOW = 0.001
"""Firing rate for each virtual step under which a layer hardly fires: one spike in a thousand chances."""

SATURATED_ABOVE = 0.9
"""Firing rate over which almost every neuron fires its maximum D."""

DEGRADATIONS = ("silent", "saturated")


def classify_degradation(firing_rate: float) -> str | None:
    """What is wrong with a layer that fires at this rate, one of DEGRADATIONS; None: nothing."""
    if firing_rate < SILENT_BELOW:
        return "silent"
    return "saturated" if firing_rate > SATURATED_ABOVE else None
