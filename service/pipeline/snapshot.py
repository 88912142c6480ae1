"""A stream between two pushes, as bytes: open slice, membranes, window and tracks.

A stream restored from its snapshot gives the same results as one that was never interrupted.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, cast

import torch
from pydantic import ConfigDict, Field, PlainSerializer, TypeAdapter, with_config
from safetensors.torch import load
from torch import Tensor

from spikewatch.ingest.slicing.slicer import TimeSlicer
from spikewatch.model.detector import Detector
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.inference.options import SessionOptions, request_fields, stream_options
from spikewatch.service.inference.slice_runner import SliceRunner
from spikewatch.service.inference.window import WindowState
from spikewatch.service.model_catalog import ModelFingerprint, check_compatible
from spikewatch.service.schemas import StreamRequest
from spikewatch.service.snapshots.encoding import decode_text, encode, from_json, rejecting_malformed, to_json
from spikewatch.service.snapshots.filters import load_filter, save_filter
from spikewatch.service.snapshots.schema import BufferedSlice, SavedFilter, SavedSlicer
from spikewatch.service.snapshots.sequence import load_sequence, save_sequence
from spikewatch.service.snapshots.validation import check_sequence

OWNER = "stream"
"""Key of the metadata, other than that of the service's sessions: their snapshots hold more."""


@with_config(ConfigDict(strict=True, extra="forbid"))
@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """State of a stream, without its tensors.

    Attributes:
        fingerprint: of the model, see `compute_fingerprint`.
        options: how the stream was opened, with all defaults filled in.
        buffered: slices that wait for their window.
        event_filter: state of the filters, None without any.
    """

    fingerprint: Annotated[dict[str, Any], Field(alias="identity")]
    options: Annotated[StreamRequest, PlainSerializer(lambda options: options.model_dump(exclude_unset=True))]
    slicer: SavedSlicer
    window: WindowState
    buffered: Annotated[tuple[BufferedSlice, ...], Field(alias="held", max_length=MAX_SLICES)]
    event_filter: Annotated[SavedFilter | None, Field(exclude_if=lambda value: value is None)] = None


_ADAPTER = TypeAdapter(StreamSnapshot)


def encode_stream(
    slicer: TimeSlicer, runner: SliceRunner, options: SessionOptions, fingerprint: ModelFingerprint
) -> bytes:
    """Return the state of a stream between two pushes."""
    saved_slicer, frame = slicer.save()
    window, buffered, tensors = save_sequence(runner.engine, runner.sequence)
    if frame is not None:
        tensors["open_slice"] = torch.from_numpy(frame)
    event_filter, filter_tensors = save_filter(slicer.event_filter)
    request = StreamRequest.model_construct(**request_fields(options))
    metadata = StreamSnapshot(
        fingerprint, request, cast(SavedSlicer, saved_slicer), window, buffered, event_filter
    )
    return encode(OWNER, to_json(_ADAPTER, metadata), tensors | filter_tensors)


@dataclass(frozen=True, slots=True)
class DecodedStream:
    """A validated snapshot of a stream."""

    metadata: StreamSnapshot
    tensors: dict[str, Tensor]
    options: SessionOptions

    def load_slicer(self, slicer: TimeSlicer) -> None:
        """Restore open slice and filters. Raises ValueError or KeyError if they do not fit the options."""
        frame = self.tensors.get("open_slice")
        slicer.load(self.metadata.slicer, None if frame is None else frame.numpy())
        load_filter(slicer.event_filter, self.metadata.event_filter, self.tensors)

    def load_runner(self, runner: SliceRunner) -> None:
        """Restore membranes and window."""
        saved = self.metadata
        load_sequence(runner.engine, runner.sequence, saved.window, saved.buffered, self.tensors)


def decode_stream(data: bytes, detector: Detector, fingerprint: ModelFingerprint) -> DecodedStream:
    """Decode and validate a snapshot.

    Raises:
        InvalidSnapshot: `data` is corrupt, or of other weights, another runtime or another version.
    """
    with rejecting_malformed("snapshot of a stream"):
        tensors = load(bytes(data))
        text = decode_text(OWNER, data)
        check_compatible(json.loads(text)["identity"], fingerprint, "detector")
        metadata = from_json(_ADAPTER, text)
        request = metadata.options
        options = stream_options(
            request, detector.spec, "events", zones=request.zones, filters=request.filters
        )
        check_sequence(metadata.window, len(metadata.buffered), tensors, detector, options.window)
        decoded = DecodedStream(metadata, tensors, options)
        decoded.load_slicer(make_slicer(options))
    return decoded


def make_slicer(options: SessionOptions) -> TimeSlicer:
    """Return the slicer of a stream of event arrays. Raises ValueError without a sensor size."""
    if options.width is None or options.height is None:
        raise ValueError(f"the sensor size is {options.width}x{options.height}; expected pixels")
    return TimeSlicer(
        options.slice_us,
        options.width,
        options.height,
        options.representation,
        on_time_jump=options.on_time_jump,
        filters=None if options.filters is None else options.filters.settings(),
    )
