"""How many bytes a snapshot may have: what its session can hold, and no more."""

import math

from spikewatch.model.network.head import STRIDES, output_channels
from spikewatch.model.nms import MAX_DETECTIONS
from spikewatch.service.sessions.session import Session

FLOAT_BYTES = 4
BOX_BYTES = 192
"""One box of a result as JSON: six numbers of up to 20 digits, and a track."""

RESULT_BYTES = 1024 + MAX_DETECTIONS * BOX_BYTES
TEXT_BYTES = 8 << 20
"""All else that is text: header of the recording, decoder, counters, tracks, names and places of tensors."""


def most_bytes(session: Session) -> int:
    """The largest snapshot that a session could go on from."""
    spec, window = session.detector.spec, session.options.window
    planes = spec.config.in_channels
    width, height = session.source.size
    cells = sum(spec.input_height // s * (spec.input_width // s) for s in STRIDES)
    numbers = sum(map(math.prod, session.detector.state_shapes.values()))
    numbers += window.slices * output_channels(spec.config) * cells
    numbers += window.hop * planes * spec.input_height * spec.input_width
    numbers += planes * (width or 0) * (height or 0)
    results = session.outbox.capacity + session.outbox.most_kept
    return FLOAT_BYTES * numbers + RESULT_BYTES * results + TEXT_BYTES
