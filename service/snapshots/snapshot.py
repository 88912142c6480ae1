"""A session between two slices, as bytes: decoder, open slice, membranes, window, results, counters.

A session that goes on from its snapshot gives the results of one that was never interrupted.
"""

import asyncio
import json
import struct
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from spikewatch.ingest.errors import IngestError
from spikewatch.model.detector import Detector
from spikewatch.model.errors import StateError
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import BadRequest, InvalidSnapshot, ServiceError, SnapshotFailed
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.options import SessionOptions, session_options
from spikewatch.service.inference.sources import LiveSource
from spikewatch.service.inference.window import InputSlice
from spikewatch.service.model_catalog import ModelFingerprint, check_compatible
from spikewatch.service.schemas import SessionRequest
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.results import outbox_from_dict, outbox_to_dict
from spikewatch.service.snapshots.schema import SessionSnapshot
from spikewatch.service.snapshots.validation import check_tensors, membranes

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at one byte of its stream.

    Attributes:
        metadata: plain values, as `saved.SessionSnapshot`.
        tensors: `state.<layer>` [C,H,W], `logits.<i>.<level>` [1,K,H,W], `held.<i>` [P,h,w] and
            `open_slice` [P,H,W].
    """

    metadata: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def accepted_bytes(self) -> int:
        """Offset of the next byte of the stream."""
        return int(self.metadata["accepted_bytes"])

    @property
    def next_seq(self) -> int:
        """Of the first result that is not in it."""
        return int(self.metadata["window"]["seq"])

    @property
    def position_us(self) -> int | None:
        """Time up to which events were run; None before the first slice."""
        held = self.metadata["held"]
        position: int | None = held[0]["t0_us"] if held else self.metadata["window"]["position_us"]
        return position

    def options(self, spec: ModelSpec) -> SessionOptions:
        """What the session was opened with."""
        return session_options(SessionRequest(**self.metadata["options"]), spec)

    def encode(self) -> bytes:
        """Safetensors bytes; megabytes, so not on the event loop."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        return save(tensors, metadata={"session": json.dumps(self.metadata)})


async def with_timeout(timeout_s: float, awaitable: Awaitable[A]) -> A:
    """Wait for `settle` or `take` for so long; SnapshotFailed if that is not enough."""
    try:
        return await asyncio.wait_for(awaitable, timeout_s)
    except TimeoutError:
        raise SnapshotFailed(f"what was accepted could not be run within {timeout_s:g} s") from None


async def wait_until_processed(session: Session) -> None:
    """Wait until all that was accepted has been run; copies nothing, however long it takes.

    Raises:
        IngestError: the bytes accepted are bad.
    """
    await session.checkpoint(lambda: None, lambda _engine: None)


async def take_snapshot(session: Session) -> Snapshot:
    """A snapshot at the end of the bytes accepted, once their slices have been run.

    Raises:
        BadRequest: the session reads a recording, or its sensor size is not known yet.
        IngestError: the bytes accepted are bad.
    """
    (ahead, frame), (behind, tensors) = await session.checkpoint(
        lambda: _loop_side(session), lambda engine: _worker_side(engine, session)
    )
    behind["totals"]["dropped"] = ahead.pop("retired")
    if frame is not None:
        tensors["open_slice"] = frame
    facts = {"identity": session.model.fingerprint, "session_id": session.id}
    return Snapshot(facts | ahead | behind, tensors)


def read_fingerprint(data: bytes) -> ModelFingerprint:
    """Whose snapshot it says it is; InvalidSnapshot if it is none."""
    try:
        return dict(json.loads(_read_metadata_text(data))["identity"])
    except _MALFORMED_ERRORS as error:
        raise InvalidSnapshot(f"not a usable snapshot: {str(error)[:500]}") from error


def read_snapshot(data: bytes, detector: Detector, fingerprint: ModelFingerprint) -> Snapshot:
    """A snapshot from its bytes, checked; megabytes, so not on the event loop.

    Raises:
        InvalidSnapshot: not a snapshot, damaged, or of other weights, geometry or version; says which.
    """
    try:
        tensors = load(data)
        text = _read_metadata_text(data)
        check_compatible(json.loads(text)["identity"], fingerprint, "service")
        snapshot = Snapshot(SessionSnapshot.model_validate_json(text).model_dump(), tensors)
        check_tensors(snapshot.metadata, tensors, detector, snapshot.options(detector.spec))
        make_source(snapshot, detector.spec)
    except InvalidSnapshot:
        raise
    except (SafetensorError, StateError, IngestError, ServiceError, *_MALFORMED_ERRORS) as error:
        raise InvalidSnapshot(f"not a usable snapshot: {str(error)[:500]}") from error
    return snapshot


_MALFORMED_ERRORS = (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error)


def make_source(snapshot: Snapshot, spec: ModelSpec) -> LiveSource:
    """Decoder and slicer as they were; IngestError or ValueError if they could not have been so."""
    source = LiveSource(snapshot.options(spec))
    frame = snapshot.tensors.get("open_slice")
    source.load(snapshot.metadata["stream"], None if frame is None else frame.numpy())
    return source


async def restore_session(session: Session, snapshot: Snapshot) -> None:
    """Let a session go on from a snapshot that was read before; its own stream is forgotten.

    Raises:
        InvalidSnapshot: the session was opened with another format, sensor or window; it is unchanged.
    """
    if session.ensure_sequence() is None:
        raise BadRequest("open the session with width and height before restoring a state into it")
    spec = session.model.spec
    check_compatible(
        _stream_parameters(snapshot.options(spec)),
        _stream_parameters(session.options, session.source.sensor_size),
        "session",
    )
    source = make_source(snapshot, spec)
    await session.restore_source(
        source, snapshot.accepted_bytes, lambda engine: _restore_worker_side(engine, session, snapshot)
    )


def _stream_parameters(
    options: SessionOptions, size: tuple[int | None, int | None] | None = None
) -> ModelFingerprint:
    """How a stream is cut, which a session cannot change on its way."""
    return {
        "format": options.format,
        "sensor": list(size or (options.width, options.height)),
        "slice_us": options.slice_us,
        "slices": options.window.window_slices,
        "hop": options.window.hop,
    }


def require_live_source(session: Session) -> LiveSource:
    """What cuts a session's bytes into slices; BadRequest if it reads a recording instead."""
    if not isinstance(session.source, LiveSource):
        raise BadRequest("a session that reads a recording cannot be saved")
    return session.source


def _loop_side(session: Session) -> tuple[dict[str, Any], Tensor | None]:
    """What the event loop knows: everything in front of the inbox."""
    source, options = require_live_source(session), session.options
    if session.ensure_sequence() is None:
        raise BadRequest("the session has no state before its sensor size is known")
    stream, frame = source.save()
    width, height = source.sensor_size
    facts = {
        "options": {
            "format": options.format,
            "width": width,
            "height": height,
            "slice_us": options.slice_us,
            "slices": options.window.window_slices,
            "hop": options.window.hop,
            "policy": options.policy,
            "confidence": options.window.confidence,
            "iou": options.window.iou,
            "track": options.window.track,
        },
        "accepted_bytes": session.accepted_bytes,
        "stream": stream,
        "retired": session.totals.carried_over_drops,
    }
    return facts, None if frame is None else torch.from_numpy(frame)


def _worker_side(engine: Engine, session: Session) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the worker thread knows: everything behind the inbox."""
    lane = _sequence_of(session)
    window, tensors = lane.window_builder.save()
    dropped_slices, dropped_events = session.inbox.dropped_before_command
    tensors |= {f"state.{name}": t[0] for name, t in engine.bank.gather([lane.slot]).items()}
    tensors |= {f"held.{i}": part.frame for i, part in enumerate(lane.buffered)}
    facts = {
        "window": window,
        "held": [{"t0_us": p.t0_us, "t1_us": p.t1_us, "n_events": p.n_events} for p in lane.buffered],
        "totals": session.totals.save(),
        "outbox": outbox_to_dict(session.outbox.save()),
        "dropped_slices": dropped_slices,
        "dropped_events": dropped_events,
    }
    return facts, tensors


def _restore_worker_side(engine: Engine, session: Session, snapshot: Snapshot) -> None:
    """The inverse of `_behind`, of what was checked before."""
    facts, tensors, lane, now_s = snapshot.metadata, snapshot.tensors, _sequence_of(session), time.monotonic()
    lane.buffered = [
        InputSlice(p["t0_us"], p["t1_us"], p["n_events"], False, tensors[f"held.{i}"], now_s)
        for i, p in enumerate(facts["held"])
    ]
    lane.window_builder.load(facts["window"], tensors)
    engine.bank.scatter([lane.slot], membranes(tensors))
    session.totals.load(facts["totals"])
    session.outbox.load(outbox_from_dict(facts["outbox"]))
    session.inbox.dropped_slices = facts["dropped_slices"]
    session.inbox.dropped_events = facts["dropped_events"]


def _sequence_of(session: Session) -> SequenceState:
    assert session.sequence is not None, "a session is saved only once its lane is there"
    return session.sequence


def _read_metadata_text(data: bytes) -> str:
    """The JSON that `encode` stored (safetensors format: u64 length, then a JSON header)."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    text: str = header["__metadata__"]["session"]
    return text
