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
from spikewatch.service.errors import BadRequest, BadSnapshot, ServiceError, SnapshotFailed
from spikewatch.service.inference.engine import Engine, Lane
from spikewatch.service.inference.options import SessionOptions, session_options
from spikewatch.service.inference.sources import LiveSource
from spikewatch.service.inference.window import InputSlice
from spikewatch.service.model_catalog import Identity, check_same
from spikewatch.service.schemas import SessionRequest
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.results import load_results, save_results
from spikewatch.service.snapshots.schema import SavedSession
from spikewatch.service.snapshots.validation import check_tensors, membranes

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at one byte of its stream.

    Attributes:
        facts: plain values, as `saved.SavedSession`.
        tensors: `state.<layer>` [C,H,W], `logits.<i>.<level>` [1,K,H,W], `held.<i>` [P,h,w] and
            `open_slice` [P,H,W].
    """

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def accepted_bytes(self) -> int:
        """Offset of the next byte of the stream."""
        return int(self.facts["accepted_bytes"])

    @property
    def next_seq(self) -> int:
        """Of the first result that is not in it."""
        return int(self.facts["window"]["seq"])

    @property
    def position_us(self) -> int | None:
        """Time up to which events were run; None before the first slice."""
        held = self.facts["held"]
        position: int | None = held[0]["t0_us"] if held else self.facts["window"]["position_us"]
        return position

    def options(self, spec: ModelSpec) -> SessionOptions:
        """What the session was opened with."""
        return session_options(SessionRequest(**self.facts["options"]), spec)

    def encode(self) -> bytes:
        """Safetensors bytes; megabytes, so not on the event loop."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        return save(tensors, metadata={"session": json.dumps(self.facts)})


async def within(limit_s: float, work: Awaitable[A]) -> A:
    """Wait for `settle` or `take` for so long; SnapshotFailed if that is not enough."""
    try:
        return await asyncio.wait_for(work, limit_s)
    except TimeoutError:
        raise SnapshotFailed(f"what was accepted could not be run within {limit_s:g} s") from None


async def settle(session: Session) -> None:
    """Wait until all that was accepted has been run; copies nothing, however long it takes.

    Raises:
        IngestError: the bytes accepted are bad.
    """
    await session.between_feeds(lambda: None, lambda _engine: None)


async def take(session: Session) -> Snapshot:
    """A snapshot at the end of the bytes accepted, once their slices have been run.

    Raises:
        BadRequest: the session reads a recording, or its sensor size is not known yet.
        IngestError: the bytes accepted are bad.
    """
    (ahead, frame), (behind, tensors) = await session.between_feeds(
        lambda: _ahead(session), lambda engine: _behind(engine, session)
    )
    behind["totals"]["dropped"] = ahead.pop("retired")
    if frame is not None:
        tensors["open_slice"] = frame
    facts = {"identity": session.model.identity, "session_id": session.id}
    return Snapshot(facts | ahead | behind, tensors)


def identity_in(data: bytes) -> Identity:
    """Whose snapshot it says it is; BadSnapshot if it is none."""
    try:
        return dict(json.loads(_metadata(data))["identity"])
    except _MALFORMED as error:
        raise BadSnapshot(f"not a usable snapshot: {str(error)[:500]}") from error


def read_snapshot(data: bytes, detector: Detector, identity: Identity) -> Snapshot:
    """A snapshot from its bytes, checked; megabytes, so not on the event loop.

    Raises:
        BadSnapshot: not a snapshot, damaged, or of other weights, geometry or version; says which.
    """
    try:
        tensors = load(data)
        text = _metadata(data)
        check_same(json.loads(text)["identity"], identity, "service")
        snapshot = Snapshot(SavedSession.model_validate_json(text).model_dump(), tensors)
        check_tensors(snapshot.facts, tensors, detector, snapshot.options(detector.spec))
        make_source(snapshot, detector.spec)
    except BadSnapshot:
        raise
    except (SafetensorError, StateError, IngestError, ServiceError, *_MALFORMED) as error:
        raise BadSnapshot(f"not a usable snapshot: {str(error)[:500]}") from error
    return snapshot


_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error)


def make_source(snapshot: Snapshot, spec: ModelSpec) -> LiveSource:
    """Decoder and slicer as they were; IngestError or ValueError if they could not have been so."""
    source = LiveSource(snapshot.options(spec))
    frame = snapshot.tensors.get("open_slice")
    source.load(snapshot.facts["stream"], None if frame is None else frame.numpy())
    return source


async def restore(session: Session, snapshot: Snapshot) -> None:
    """Let a session go on from a snapshot that was read before; its own stream is forgotten.

    Raises:
        BadSnapshot: the session was opened with another format, sensor or window; it is unchanged.
    """
    if session.ensure_lane() is None:
        raise BadRequest("open the session with width and height before restoring a state into it")
    spec = session.model.spec
    check_same(_cut(snapshot.options(spec)), _cut(session.options, session.source.size), "session")
    source = make_source(snapshot, spec)
    await session.replace(source, snapshot.accepted_bytes, lambda engine: _put(engine, session, snapshot))


def _cut(options: SessionOptions, size: tuple[int | None, int | None] | None = None) -> Identity:
    """How a stream is cut, which a session cannot change on its way."""
    return {
        "format": options.format,
        "sensor": list(size or (options.width, options.height)),
        "slice_us": options.slice_us,
        "slices": options.window.slices,
        "hop": options.window.hop,
    }


def check_live(session: Session) -> LiveSource:
    """What cuts a session's bytes into slices; BadRequest if it reads a recording instead."""
    if not isinstance(session.source, LiveSource):
        raise BadRequest("a session that reads a recording cannot be saved")
    return session.source


def _ahead(session: Session) -> tuple[dict[str, Any], Tensor | None]:
    """What the event loop knows: everything in front of the inbox."""
    source, options = check_live(session), session.options
    if session.ensure_lane() is None:
        raise BadRequest("the session has no state before its sensor size is known")
    stream, frame = source.save()
    width, height = source.size
    facts = {
        "options": {
            "format": options.format,
            "width": width,
            "height": height,
            "slice_us": options.slice_us,
            "slices": options.window.slices,
            "hop": options.window.hop,
            "policy": options.policy,
            "confidence": options.window.confidence,
            "iou": options.window.iou,
            "track": options.window.track,
        },
        "accepted_bytes": session.accepted_bytes,
        "stream": stream,
        "retired": session.totals.retired,
    }
    return facts, None if frame is None else torch.from_numpy(frame)


def _behind(engine: Engine, session: Session) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the worker thread knows: everything behind the inbox."""
    lane = _lane(session)
    window, tensors = lane.windows.save()
    dropped_slices, dropped_events = session.inbox.dropped_before_control
    tensors |= {f"state.{name}": t[0] for name, t in engine.bank.gather([lane.slot]).items()}
    tensors |= {f"held.{i}": part.frame for i, part in enumerate(lane.held)}
    facts = {
        "window": window,
        "held": [{"t0_us": p.t0_us, "t1_us": p.t1_us, "n_events": p.n_events} for p in lane.held],
        "totals": session.totals.save(),
        "outbox": save_results(session.outbox.save()),
        "dropped_slices": dropped_slices,
        "dropped_events": dropped_events,
    }
    return facts, tensors


def _put(engine: Engine, session: Session, snapshot: Snapshot) -> None:
    """The inverse of `_behind`, of what was checked before."""
    facts, tensors, lane, now_s = snapshot.facts, snapshot.tensors, _lane(session), time.monotonic()
    lane.held = [
        InputSlice(p["t0_us"], p["t1_us"], p["n_events"], False, tensors[f"held.{i}"], now_s)
        for i, p in enumerate(facts["held"])
    ]
    lane.windows.load(facts["window"], tensors)
    engine.bank.scatter([lane.slot], membranes(tensors))
    session.totals.load(facts["totals"])
    session.outbox.load(load_results(facts["outbox"]))
    session.inbox.dropped_slices = facts["dropped_slices"]
    session.inbox.dropped_events = facts["dropped_events"]


def _lane(session: Session) -> Lane:
    assert session.lane is not None, "a session is saved only once its lane is there"
    return session.lane


def _metadata(data: bytes) -> str:
    """The JSON that `encode` stored (safetensors format: u64 length, then a JSON header)."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    text: str = header["__metadata__"]["session"]
    return text
