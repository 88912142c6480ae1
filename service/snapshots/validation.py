"""Refuses a snapshot whose tensors or sums this network and these options could not have made."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from spikewatch.model.detector import Detector
from spikewatch.model.network.head import STRIDES, output_channels
from spikewatch.model.network.state import check_state
from spikewatch.model.nms import MAX_DETECTIONS
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.sessions.session import Session


def membranes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The membranes [1,C,H,W] among a snapshot's tensors."""
    return {k.removeprefix("state."): t[None] for k, t in tensors.items() if k.startswith("state.")}


def check_tensors(
    metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], detector: Detector, options: SessionOptions
) -> None:
    """Check what types cannot say.

    Raises:
        ValueError: says which.
        KeyError: a tensor is missing.
        StateError: the membranes are not this network's.
    """
    check_state(membranes(tensors), detector.state_shapes, 1)
    _check_window(metadata, detector, options)
    _check_logits(len(metadata["window"]["logit_t0_us"]), tensors, detector)
    spec = detector.spec
    frame = (spec.config.in_channels, spec.input_height, spec.input_width)
    for i in range(len(metadata["held"])):
        _check_floats(f"held.{i}", tensors, frame)
    for result in (*metadata["outbox"]["read"], *metadata["outbox"]["unread"]):
        if any(class_id >= len(spec.class_names) for class_id in result["class_id"]):
            raise ValueError("a result of a class that this model does not know")


def _check_window(facts: Mapping[str, Any], detector: Detector, options: SessionOptions) -> None:
    window, pending = facts["window"], facts["window"]["pending"]
    spiking = {layer.name for layer in detector.layers if layer.spiking}
    most = max(pending["slices"], len(facts["held"]))
    if most >= options.window.hop or len(window["logit_t0_us"]) > options.window.window_slices:
        raise ValueError("more slices than a window holds")
    if pending["slices"] and (not window["logit_t0_us"] or pending["spikes"].keys() != spiking):
        raise ValueError("a window under way without its logits or spikes")


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
        raise ValueError(f"{name} is not finite float32 {shape}")


FLOAT_BYTES = 4


BOX_BYTES = 192
"""One box of a result as JSON: six numbers of up to 20 digits, and a track."""


RESULT_BYTES = 1024 + MAX_DETECTIONS * BOX_BYTES


TEXT_BYTES = 8 << 20
"""All else that is text: header of the recording, decoder, counters, tracks, names and places of tensors."""


def max_snapshot_bytes(session: Session) -> int:
    """The largest snapshot that a session could go on from."""
    spec, window = session.detector.spec, session.options.window
    planes = spec.config.in_channels
    width, height = session.source.sensor_size
    cells = sum(spec.input_height // s * (spec.input_width // s) for s in STRIDES)
    numbers = sum(map(math.prod, session.detector.state_shapes.values()))
    numbers += window.window_slices * output_channels(spec.config) * cells
    numbers += window.hop * planes * spec.input_height * spec.input_width
    numbers += planes * (width or 0) * (height or 0)
    results = session.outbox.capacity + session.outbox.max_retained
    return FLOAT_BYTES * numbers + RESULT_BYTES * results + TEXT_BYTES
