"""A session's state as bytes: membranes, logits held for averaging, position. Taken between two slices."""

import json
import struct
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from model.checkpoint import weights_digest
from model.detector import Detector
from model.errors import StateError
from model.state import check_state
from service.engine import Engine, Lane
from service.errors import BadSnapshot
from service.options import SessionOptions

VERSION = "spikewatch-session-1"


def _identity(detector: Detector, lane: Lane, options: SessionOptions) -> dict[str, Any]:
    """What two sessions must share for one to go on from the other's snapshot."""
    return {
        "version": VERSION,
        "model": detector.spec.name,
        "weights": weights_digest(detector.network),
        "sensor": list(lane.sensor),
        "slice_us": options.slice_us,
        "slices": options.window.slices,
        "hop": options.window.hop,
    }


def take_snapshot(engine: Engine, lane: Lane, options: SessionOptions) -> bytes:
    """Safetensors bytes. Runs on the worker thread; events of the slice still open are not in it."""
    meta, logits = lane.windows.save()
    meta["identity"] = _identity(engine.detector, lane, options)
    membranes = {f"state.{name}": t[0].contiguous() for name, t in engine.bank.gather([lane.slot]).items()}
    tensors = membranes | {name: t.contiguous() for name, t in logits.items()}
    return save(tensors, metadata={"session": json.dumps(meta)})


def restore_snapshot(engine: Engine, lane: Lane, options: SessionOptions, data: bytes) -> int | None:
    """Put a snapshot into a lane. Runs on the worker thread; on an error the lane is unchanged.

    Returns:
        The time in microseconds from which events must be sent again; None: from the start.

    Raises:
        BadSnapshot: not a snapshot, damaged, or of other weights, geometry or version.
    """
    try:
        tensors = load(data)
        meta = _metadata(data)
        theirs = dict(meta["identity"])
        ours = _identity(engine.detector, lane, options)
        for key, value in ours.items():
            if theirs.get(key) != value:
                raise BadSnapshot(f"the snapshot's {key} is {theirs.get(key)!r}, this session's {value!r}")
        state = {
            name.removeprefix("state."): t[None] for name, t in tensors.items() if name.startswith("state.")
        }
        check_state(state, engine.detector.state_shapes, 1)
        lane.windows.load(meta, tensors)
    except (SafetensorError, StateError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSnapshot(f"not a usable snapshot: {error}") from error
    engine.bank.scatter([lane.slot], state)
    return lane.windows.position_us


def _metadata(data: bytes) -> dict[str, Any]:
    """The JSON that `take_snapshot` stored (safetensors format: u64 length, then a JSON header)."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    meta: dict[str, Any] = json.loads(header["__metadata__"]["session"])
    return meta
