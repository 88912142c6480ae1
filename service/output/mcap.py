"""MCAP with Foxglove's schemas: pictures of the events, boxes as image annotations, and scalars."""

import io
from pathlib import Path
from types import TracebackType

import foxglove
from foxglove.channels import CompressedImageChannel, ImageAnnotationsChannel
from foxglove.messages import (
    Color,
    CompressedImage,
    ImageAnnotations,
    Point2,
    PointsAnnotation,
    PointsAnnotationType,
    TextAnnotation,
    Timestamp,
)
from PIL import Image

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.inference.offline import OfflineStep
from spikewatch.service.output.drawing import event_image, label_colour
from spikewatch.service.output.writers import FileWriter
from spikewatch.service.schemas import Detection, Summary, Window

EVENTS_TOPIC, BOXES_TOPIC = "/events", "/boxes"
SCALAR_TOPICS = {
    "/firing_rate": ("rate", "spikes for each neuron and virtual step, 0 to 1"),
    "/energy_snn": ("millijoules", "estimated energy of the result, spiking"),
    "/energy_ann": ("millijoules", "estimated energy of the same network as an ANN"),
    "/latency": ("milliseconds", "from the last byte of the window to its result"),
}
"""Topic -> field of its messages, and the meaning of the field."""

FRAME_ID = "camera"
FONT_PX = 12.0


class McapWriter(FileWriter):
    """Times are those of the recording: messages carry its microseconds as nanoseconds since 1970."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # channels of a context that is collected are closed
        self._context = context = foxglove.Context()
        self._mcap = foxglove.open_mcap(self._file, context=context)
        self._images = CompressedImageChannel(EVENTS_TOPIC, context=context)
        self._boxes = ImageAnnotationsChannel(BOXES_TOPIC, context=context)
        self._scalars = {
            topic: foxglove.Channel(topic, schema=_scalar_schema(*field), context=context)
            for topic, field in SCALAR_TOPICS.items()
        }

    def write(self, step: OfflineStep) -> None:
        """Append the picture of the slice, then its results."""
        if step.slice_ is not None:
            image = CompressedImage(
                timestamp=_timestamp(step.slice_.t1_us),
                frame_id=FRAME_ID,
                data=_png(step.slice_),
                format="png",
            )
            self._images.log(image, log_time=step.slice_.t1_us * 1000)
        for window in step.windows:
            self._write_window(window)

    def _write_window(self, window: Window) -> None:
        log_time = window.t_end_us * 1000
        stamp = _timestamp(window.t_end_us)
        annotations = ImageAnnotations(
            timestamp=stamp,
            points=[_outline(box, stamp) for box in window.detections],
            texts=[_label(box, stamp) for box in window.detections],
        )
        self._boxes.log(annotations, log_time=log_time)
        values = (window.firing_rate, window.energy_mj.snn, window.energy_mj.ann, window.latency_ms)
        for (topic, (name, _)), value in zip(SCALAR_TOPICS.items(), values, strict=True):
            self._scalars[topic].log({name: value}, log_time=log_time)

    def finish(self, summary: Summary) -> None:
        """Nothing is left to write: the index comes with the end of the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the index, and close the file; delete it after an error."""
        self._mcap.close()
        super().__exit__(kind, error, trace)


def _scalar_schema(name: str, words: str) -> dict[str, object]:
    number = {"type": "number", "description": words}
    return {"type": "object", "title": f"spikewatch.{name}", "properties": {name: number}}


def _timestamp(t_us: int) -> Timestamp:
    return Timestamp(sec=t_us // 1_000_000, nsec=t_us % 1_000_000 * 1000)


def _png(slice_: Slice) -> bytes:
    file = io.BytesIO()
    Image.fromarray(event_image(slice_.frame, 1)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _colour(label: str) -> Color:
    red, green, blue = (part / 255 for part in label_colour(label))
    return Color(r=red, g=green, b=blue, a=1)


def _outline(box: Detection, stamp: Timestamp) -> PointsAnnotation:
    right, bottom = box.x + box.w, box.y + box.h
    corners = [(box.x, box.y), (right, box.y), (right, bottom), (box.x, bottom)]
    return PointsAnnotation(
        timestamp=stamp,
        type=PointsAnnotationType.LineLoop,
        points=[Point2(x=x, y=y) for x, y in corners],
        outline_color=_colour(box.label),
        thickness=1,
    )


def _label(box: Detection, stamp: Timestamp) -> TextAnnotation:
    track = "" if box.track_id is None else f" #{box.track_id}"
    return TextAnnotation(
        timestamp=stamp,
        position=Point2(x=box.x, y=box.y),
        text=f"{box.label}{track} {box.confidence:.2f}",
        font_size=FONT_PX,
        text_color=_colour(box.label),
        background_color=Color(r=0, g=0, b=0, a=0.6),
    )
