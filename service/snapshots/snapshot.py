"""A session between two slices, as bytes: decoder, open slice, membranes, window, results, counters.

A session restored from its snapshot gives the same results as one that was never interrupted.
"""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import torch
from safetensors.torch import load
from torch import Tensor

from spikewatch.model.detector import Detector
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import BadRequest, SnapshotFailed
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.options import SessionOptions, request_fields, session_options
from spikewatch.service.inference.sources import LiveSource
from spikewatch.service.model_catalog import ModelFingerprint, check_compatible
from spikewatch.service.schemas import SessionRequest
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.encoding import decode_text, encode, rejecting_malformed
from spikewatch.service.snapshots.filters import load_filter, save_filter
from spikewatch.service.snapshots.schema import SavedFilter, SavedStream, SessionSnapshot
from spikewatch.service.snapshots.sequence import load_sequence, save_sequence
from spikewatch.service.snapshots.validation import check_snapshot

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at one byte of its stream.

    Attributes:
        metadata: all but the tensors.
        tensors: `state.<layer>` [C,H,W], `logits.<i>.<level>` [1,K,H,W], `held.<i>` [P,h,w],
            `open_slice` [P,H,W] and `filter.<name>` [H,W].
    """

    metadata: SessionSnapshot
    tensors: dict[str, Tensor]

    @property
    def accepted_bytes(self) -> int:
        """Offset of the next byte of the stream."""
        return self.metadata.accepted_bytes

    @property
    def next_seq(self) -> int:
        """Number of the first result that is not in the snapshot."""
        return self.metadata.window.seq

    @property
    def position_us(self) -> int | None:
        """Time up to which events were run; None before the first slice."""
        buffered = self.metadata.buffered
        return buffered[0].t0_us if buffered else self.metadata.window.position_us

    def options(self, spec: ModelSpec) -> SessionOptions:
        """Return the options that the session was opened with."""
        return session_options(self.metadata.options, spec)

    def encode(self) -> bytes:
        """Return the snapshot as safetensors bytes. Takes long (megabytes): call it in a helper thread."""
        return encode("session", self.metadata.to_json(), self.tensors)


async def with_timeout(timeout_s: float, awaitable: Awaitable[A]) -> A:
    """Wait for `wait_until_processed` or `take_snapshot`; raise SnapshotFailed after `timeout_s`."""
    try:
        return await asyncio.wait_for(awaitable, timeout_s)
    except TimeoutError:
        raise SnapshotFailed(
            f"the bytes accepted were not processed within {timeout_s:g} s; read pending results and retry"
        ) from None


async def wait_until_processed(session: Session) -> None:
    """Wait until all bytes accepted have been run. Copies nothing, so waiting needs no memory.

    Raises:
        IngestError: the bytes accepted are bad.
    """
    await session.checkpoint(lambda: None, lambda _engine, _: None)


async def take_snapshot(session: Session) -> Snapshot:
    """Return a snapshot at the end of the bytes accepted, once their slices have been run.

    Raises:
        BadRequest: the session reads a recording, or its sensor size is not known yet.
        IngestError: the bytes accepted are bad.
    """
    return await session.checkpoint(
        lambda: _save_feed_side(session), lambda engine, feed: _save_worker_side(engine, session, feed)
    )


def read_fingerprint(data: bytes) -> ModelFingerprint:
    """Return the model fingerprint stored in a snapshot. Raises InvalidSnapshot if there is none."""
    with rejecting_malformed("snapshot"):
        return dict(json.loads(decode_text("session", data))["identity"])


def read_snapshot(data: bytes, detector: Detector, fingerprint: ModelFingerprint) -> Snapshot:
    """Decode and validate a snapshot. Takes long (megabytes): call it in a helper thread.

    Raises:
        InvalidSnapshot: `data` is corrupt, or of other weights, geometry or version.
    """
    with rejecting_malformed("snapshot"):
        tensors = load(data)
        text = decode_text("session", data)
        check_compatible(json.loads(text)["identity"], fingerprint, "service")
        snapshot = Snapshot(SessionSnapshot.from_json(text), tensors)
        check_snapshot(snapshot.metadata, tensors, detector, snapshot.options(detector.spec))
        make_source(snapshot, detector.spec)
    return snapshot


def make_source(snapshot: Snapshot, spec: ModelSpec) -> LiveSource:
    """Return decoder and slicer as saved. Raises IngestError or ValueError if they are inconsistent."""
    source = LiveSource(snapshot.options(spec))
    frame = snapshot.tensors.get("open_slice")
    source.load(snapshot.metadata.stream, None if frame is None else frame.numpy())
    load_filter(source.event_filter, snapshot.metadata.event_filter, snapshot.tensors)
    return source


async def restore_session(session: Session, snapshot: Snapshot) -> None:
    """Restore a session from a validated snapshot. Discards its current stream state.

    Raises:
        InvalidSnapshot: the session was opened with another format, sensor or window; it is unchanged.
        BadRequest: the session has no sensor size yet.
    """
    if session.ensure_sequence() is None:
        raise BadRequest(
            f"session {session.id} has no sensor size; open it with width and height, then restore"
        )
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
    """Return how a stream is cut, which cannot change within a session."""
    return {
        "format": options.format,
        "sensor": list(size or (options.width, options.height)),
        "slice_us": options.slice_us,
        "slices": options.window.window_slices,
        "hop": options.window.hop,
        "zones": [zone.model_dump(mode="json") for zone in options.window.zones],
        "filters": None if options.filters is None else options.filters.model_dump(mode="json"),
    }


def require_live_source(session: Session) -> LiveSource:
    """Return the source of a session that is fed with bytes. Raises BadRequest if it reads a recording."""
    if not isinstance(session.source, LiveSource):
        raise BadRequest(f"session {session.id} reads a recording, so it cannot be saved")
    return session.source


@dataclass(frozen=True, slots=True)
class _FeedSide:
    """State in front of the inbox, read on the event loop."""

    options: SessionRequest
    accepted_bytes: int
    stream: SavedStream
    tensors: dict[str, Tensor]
    event_filter: SavedFilter | None
    carried_over_drops: dict[str, int]
    carried_over_filtered: dict[str, int]


def _save_feed_side(session: Session) -> _FeedSide:
    source, options = require_live_source(session), session.options
    if session.ensure_sequence() is None:
        raise BadRequest(f"session {session.id} has no state yet: its sensor size is not known; send bytes")
    stream, frame = source.save()
    event_filter, tensors = save_filter(source.event_filter)
    if frame is not None:
        tensors["open_slice"] = torch.from_numpy(frame)
    width, height = source.sensor_size
    fields = request_fields(options) | {"width": width, "height": height}
    request = SessionRequest.model_construct(format=options.format, policy=options.policy, **fields)
    return _FeedSide(
        request,
        session.accepted_bytes,
        cast(SavedStream, stream),
        tensors,
        event_filter,
        session.totals.carried_over_drops,
        session.totals.carried_over_filtered,
    )


def _save_worker_side(engine: Engine, session: Session, feed: _FeedSide) -> Snapshot:
    """Add the state behind the inbox, read on the worker thread."""
    window, buffered, tensors = save_sequence(engine, _sequence_of(session))
    dropped_slices, dropped_events = session.inbox.dropped_before_command
    metadata = SessionSnapshot(
        fingerprint=session.model.fingerprint,
        session_id=session.id,
        options=feed.options,
        accepted_bytes=feed.accepted_bytes,
        stream=feed.stream,
        window=window,
        buffered=buffered,
        totals=replace(
            session.totals,
            carried_over_drops=feed.carried_over_drops,
            carried_over_filtered=feed.carried_over_filtered,
        ),
        outbox=session.outbox.save(),
        dropped_slices=dropped_slices,
        dropped_events=dropped_events,
        event_filter=feed.event_filter,
    )
    return Snapshot(metadata, tensors | feed.tensors)


def _restore_worker_side(engine: Engine, session: Session, snapshot: Snapshot) -> None:
    """Restore what `_save_worker_side` saved, on the worker thread."""
    saved = snapshot.metadata
    load_sequence(engine, _sequence_of(session), saved.window, saved.buffered, snapshot.tensors)
    session.totals = replace(saved.totals)
    session.outbox.load(saved.outbox)
    session.inbox.dropped_slices = saved.dropped_slices
    session.inbox.dropped_events = saved.dropped_events


def _sequence_of(session: Session) -> SequenceState:
    assert session.sequence is not None, "sessions are saved only once their sensor size is known"
    return session.sequence
