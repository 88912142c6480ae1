"""Fuzz targets by name. Each is made in the process that runs it, by a function without arguments."""

from collections.abc import Callable
from importlib import import_module

Target = Callable[[bytes], None]
"""Runs one input; any exception is a finding."""

TARGETS = {
    "dat": "decoders:dat",
    "evt2": "decoders:evt2",
    "evt21": "decoders:evt21",
    "evt3": "decoders:evt3",
    "ecf": "files:ecf",
    "hdf5": "files:hdf5",
    "aedat4_packets": "files:aedat4_packets",
    "aedat4": "files:aedat4",
    "npy_labels": "labels:npy_labels",
    "coco": "labels:coco",
    "checkpoint": "states:checkpoint",
    "snapshot": "states:snapshot",
    "http": "protocols:http",
    "websocket": "protocols:websocket",
}
"""Name -> module and function that makes the target."""


def make_target(name: str) -> Target:
    """Return the target `name`, one of TARGETS."""
    module, function = TARGETS[name].split(":")
    target: Target = getattr(import_module(f"{__name__}.{module}"), function)()
    return target
