"""The rules by which recordings are scored: which boxes count, and which detections meet which label."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from spikewatch.model.training.datasets.prophesee_labels import GEN1_FILTER, BoxFilter

ProtocolName = Literal["gen1", "1mpx", "none"]

POOL_US = 50_000
"""Detections this near a label's time, either side, are scored against it (Prophesee's toolbox)."""

ONE_MPX_WIDTH, ONE_MPX_HEIGHT = 1280, 720
"""From this size of a sensor on, boxes are filtered as for the 1 Megapixel set."""


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """One protocol.

    Attributes:
        name: a key of RULES.
        box_filter: which boxes count, ground truth and detections alike.
        pool_us: how near a label's time a detection must be, inclusive.
    """

    name: ProtocolName
    box_filter: BoxFilter
    pool_us: int


PROTOCOLS: Mapping[ProtocolName, EvaluationProtocol] = MappingProxyType(
    {
        "gen1": EvaluationProtocol("gen1", GEN1_FILTER, POOL_US),
        "1mpx": EvaluationProtocol("1mpx", BoxFilter(500_000, 60, 20), POOL_US),
        "none": EvaluationProtocol("none", BoxFilter(-1, 0, 0), 0),
    }
)
"""By name. `none`: every box from time 0 on, and only detections of exactly the label's time."""


def protocol_for_sensor(width: int, height: int) -> EvaluationProtocol:
    """Those of papers for a sensor of this size in pixels.

    A 1 Megapixel set that was halved to 640x360 has boxes of half the size, hence Gen1's limits.
    """
    large = width >= ONE_MPX_WIDTH and height >= ONE_MPX_HEIGHT
    return PROTOCOLS["1mpx" if large else "gen1"]
