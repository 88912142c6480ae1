"""Checks of snapshots against a network and the options of a session: tensors, sums and size."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from spikewatch.model.detector import Detector
from spikewatch.model.network.plan import STRIDES, output_channels
from spikewatch.model.network.state import check_state
from spikewatch.model.nms import MAX_DETECTIONS
from spikewatch.model.spec import ModelSpec
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.tracker import Tracks, check_tracks
from spikewatch.service.inference.window import WindowState
from spikewatch.service.inference.window_result import WindowOptions
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.schema import SessionSnapshot
from spikewatch.service.zones.state import check_states


def membranes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the membranes [1,C,H,W] of a snapshot by layer."""
    return {k.removeprefix("state."): t[None] for k, t in tensors.items() if k.startswith("state.")}


def check_snapshot(
    metadata: SessionSnapshot, tensors: Mapping[str, Tensor], detector: Detector, options: SessionOptions
) -> None:
    """Check all that the types of the schema cannot express; raise as `check_sequence`."""
    check_sequence(metadata.window, len(metadata.buffered), tensors, detector, options.window)
    _check_results(metadata, detector.spec)
    totals, layers = metadata.totals, {layer.name for layer in detector.layers}
    if unknown := sorted((totals.layer_rates.keys() | totals.layer_energy.keys()) - layers):
        raise ValueError(f"layers {unknown[:3]} are none of the {len(layers)} layers of the network")


def check_sequence(
    window: WindowState,
    buffered: int,
    tensors: Mapping[str, Tensor],
    detector: Detector,
    options: WindowOptions,
) -> None:
    """Check the window, its tracks, the membranes and the frames of the buffered slices.

    Raises:
        ValueError: a value or a tensor does not fit the network or the options.
        KeyError: a tensor is missing.
        StateError: the membranes are of another network.
    """
    check_state(membranes(tensors), detector.state_shapes, 1)
    _check_window(window, buffered, detector, options)
    _check_logits(len(window.logit_t0_us), tensors, detector)
    spec = detector.spec
    frame = (spec.config.in_channels, spec.input_height, spec.input_width)
    for i in range(buffered):
        _check_floats(f"held.{i}", tensors, frame)
    tracks = window.tracks or Tracks()
    check_tracks(tracks, window.position_us, len(spec.class_names))
    check_states(window.zones, options.zones, len(spec.class_names), tracks.next_id)


def _check_results(metadata: SessionSnapshot, spec: ModelSpec) -> None:
    """Check that the numbers of results rise, and that each has boxes that this network could give."""
    next_seq = 0
    for result in (*metadata.outbox.delivered, *metadata.outbox.pending):
        if not next_seq <= result.seq < metadata.window.seq:
            raise ValueError(
                f"result {result.seq} follows {next_seq - 1}; expected rising numbers below "
                f"{metadata.window.seq}"
            )
        next_seq = result.seq + 1
        highest = max(result.class_id, default=0)
        if highest >= len(spec.class_names) or len(result.class_id) > MAX_DETECTIONS:
            raise ValueError(
                f"result {result.seq} has {len(result.class_id)} boxes of classes up to {highest}; expected "
                f"at most {MAX_DETECTIONS} of {spec.class_names}"
            )
        sizes = {len(n) for counts in result.zones for n in (counts.entered, counts.left, counts.inside)}
        classes = {event.class_id for event in result.zone_events}
        if sizes - {len(spec.class_names)} or max(classes, default=0) >= len(spec.class_names):
            raise ValueError(
                f"result {result.seq} has zones of {sizes} classes; expected {len(spec.class_names)}"
            )


def _check_window(window: WindowState, buffered: int, detector: Detector, options: WindowOptions) -> None:
    sums, logits = window.pending, len(window.logit_t0_us)
    most = max(sums.slices, buffered)
    if most >= options.hop or logits > options.window_slices:
        raise ValueError(
            f"{most} slices wait and {logits} are kept; expected fewer than {options.hop} and at most "
            f"{options.window_slices}"
        )
    spiking = {layer.name for layer in detector.layers if layer.spiking}
    if sums.slices and (not logits or sums.spikes.keys() != spiking):
        raise ValueError(
            f"{sums.slices} slices of a window have {logits} logits and spikes of {len(sums.spikes)} layers; "
            f"expected spikes of {len(spiking)}"
        )


def _check_logits(count: int, tensors: Mapping[str, Tensor], detector: Detector) -> None:
    spec = detector.spec
    channels = output_channels(spec.config)
    for i in range(count):
        for level, stride in enumerate(STRIDES):
            shape = (1, channels, spec.input_height // stride, spec.input_width // stride)
            _check_floats(f"logits.{i}.{level}", tensors, shape)


def _check_floats(name: str, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> None:
    tensor = tensors[name]
    if tensor.dtype != torch.float32 or tensor.shape != shape or not torch.isfinite(tensor).all():
        raise ValueError(
            f"tensor {name} is {tensor.dtype} {tuple(tensor.shape)}; expected finite float32 {shape}"
        )


FLOAT_BYTES = 4

BOX_BYTES = 192
"""One box of a result as JSON: six numbers of up to 20 digits, and a track."""

ZONE_BYTES = 4096
"""Counts and events of one zone at one result as JSON, on average over the results kept."""

FILTER_PIXEL_BYTES = 13
"""State of the event filters: a time, a count and a flag."""

RESULT_BYTES = 1024 + MAX_DETECTIONS * BOX_BYTES

TEXT_BYTES = 8 << 20
"""All other text: header of the recording, decoder, counters, tracks, names and offsets of tensors."""


def max_snapshot_bytes(session: Session) -> int:
    """Return the size of the largest snapshot that a session could be restored from."""
    spec, window = session.detector.spec, session.options.window
    planes = spec.config.in_channels
    width, height = session.source.sensor_size
    cells = sum(spec.input_height // s * (spec.input_width // s) for s in STRIDES)
    numbers = sum(map(math.prod, session.detector.state_shapes.values()))
    numbers += window.window_slices * output_channels(spec.config) * cells
    numbers += window.hop * planes * spec.input_height * spec.input_width
    numbers += planes * (width or 0) * (height or 0)
    result_bytes = RESULT_BYTES + ZONE_BYTES * len(window.zones)
    filter_bytes = FILTER_PIXEL_BYTES * (width or 0) * (height or 0) if session.options.filters else 0
    return filter_bytes + FLOAT_BYTES * numbers + result_bytes * session.outbox.limit + TEXT_BYTES
