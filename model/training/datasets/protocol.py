"""Evaluation protocols: which boxes of recordings are scored, and which detections belong to a label."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from spikewatch.model.training.datasets.prophesee_labels import GEN1_FILTER, BoxFilter

ProtocolName = Literal["gen1", "1mpx", "none"]

POOL_US = 50_000
"""Detections within this time before or after a label are scored against it (Prophesee's toolbox)."""

ONE_MPX_WIDTH, ONE_MPX_HEIGHT = 1280, 720
"""Sensors of at least this size use the box filter of the 1 Megapixel data set."""


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """Evaluation protocol.

    Attributes:
        name: a key of PROTOCOLS.
        box_filter: filter of the scored boxes, of ground truth and detections.
        pool_us: maximum distance in time between a label and a detection, inclusive.
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
"""Name -> protocol. `none` scores every box from time 0 on, and only detections at the label's exact time."""


def protocol_for_sensor(width: int, height: int) -> EvaluationProtocol:
    """Return the protocol that papers use for a sensor of this size in pixels.

    Gen1's limits also apply to 1 Megapixel recordings downsampled to 640x360, whose boxes are half as large.
    """
    large = width >= ONE_MPX_WIDTH and height >= ONE_MPX_HEIGHT
    return PROTOCOLS["1mpx" if large else "gen1"]
