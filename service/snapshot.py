"""A session's state as bytes: membranes, logits held for averaging, position. Taken between two slices."""

import json
import struct
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, Strict
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from model.checkpoint import weights_digest
from model.detector import Detector
from model.errors import StateError
from model.head import STRIDES, output_channels
from model.spec import MAX_SLICES
from model.state import check_state
from service.engine import Engine, Lane
from service.errors import BadSnapshot
from service.options import SessionOptions

VERSION = "spikewatch-session-1"
MAX_TRACKS = 100_000


Count = Annotated[int, Field(ge=0, le=2**53)]
TimeUs = Annotated[int, Field(ge=-(2**53), le=2**53)]
Operations = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Pair = Annotated[tuple[Coordinate, Coordinate], Strict(False)]
"""x and y; a list, where it comes from JSON."""


class Saved(BaseModel):
    """Base of what is read back; nothing is converted, nothing unknown taken."""

    model_config = ConfigDict(strict=True, extra="forbid")


class SavedEnergy(Saved):
    """`model.energy.Energy`."""

    ac: Operations
    mac: Operations
    ann_mac: Operations


class SavedPending(Saved):
    """Sums of the window under way."""

    slices: Annotated[int, Field(ge=0, le=MAX_SLICES)]
    events: Count
    energy: SavedEnergy
    spikes: dict[str, Count]
    t0_us: TimeUs
    t1_us: TimeUs
    ready_s: float


class SavedTrack(Saved):
    """`service.tracker.Track`."""

    id: Annotated[int, Field(ge=1, le=2**32 - 1)]
    class_id: Count
    centre_px: Pair
    size_px: Pair
    velocity_px_s: Pair | None
    t_us: TimeUs
    missed: Count


class SavedTracks(Saved):
    """`service.tracker.Tracks`."""

    next_id: Annotated[int, Field(ge=1, le=2**32 - 1)]
    known: Annotated[list[SavedTrack], Field(max_length=MAX_TRACKS)]


class SavedWindow(Saved):
    """What `WindowBuilder.save` gives."""

    seq: Count
    position_us: TimeUs | None
    logit_t0_us: list[TimeUs]
    pending: SavedPending
    tracks: SavedTracks | None = None


def _check_logits(
    saved: SavedWindow, tensors: dict[str, Tensor], detector: Detector, options: SessionOptions
) -> None:
    """Refuse logits or sums that this network and these options could not have made.

    Raises:
        ValueError: says which.
    """
    spec, pending = detector.spec, saved.pending
    spiking = {layer.name for layer in detector.layers if layer.spiking}
    if pending.slices >= options.window.hop or len(saved.logit_t0_us) > options.window.slices:
        raise ValueError("more slices than a window holds")
    if pending.slices and (not saved.logit_t0_us or pending.spikes.keys() != spiking):
        raise ValueError("a window under way without its logits or spikes")
    channels = output_channels(spec.config)
    for i in range(len(saved.logit_t0_us)):
        for level, stride in enumerate(STRIDES):
            tensor = tensors[f"logits.{i}.{level}"]
            shape = (1, channels, spec.input_height // stride, spec.input_width // stride)
            if tensor.dtype != torch.float32 or tensor.shape != shape or not torch.isfinite(tensor).all():
                raise ValueError(f"logits.{i}.{level} is not finite float32 {shape}")


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
    window, logits = lane.windows.save()
    window["position_us"] = lane.position_us
    meta = {"identity": _identity(engine.detector, lane, options), "window": window}
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
        saved = SavedWindow.model_validate(meta["window"])
        _check_logits(saved, tensors, engine.detector, options)
        state = {
            name.removeprefix("state."): t[None] for name, t in tensors.items() if name.startswith("state.")
        }
        check_state(state, engine.detector.state_shapes, 1)
    except (
        SafetensorError,
        StateError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise BadSnapshot(f"not a usable snapshot: {str(error)[:500]}") from error
    lane.held = []
    lane.windows.load(saved.model_dump(), tensors)
    engine.bank.scatter([lane.slot], state)
    return lane.windows.position_us


def _metadata(data: bytes) -> dict[str, Any]:
    """The JSON that `take_snapshot` stored (safetensors format: u64 length, then a JSON header)."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    meta: dict[str, Any] = json.loads(header["__metadata__"]["session"])
    return meta
