"""The results that Python programs receive, and their conversions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.detections import Detections
from spikewatch.model.energy.formulas import Energy
from spikewatch.model.errors import MissingExtraError
from spikewatch.model.spec import ModelSpec
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.window_result import WindowResult

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """Boxes of one window of a stream, and the cost of computing them.

    Attributes:
        seq: number of the result in its stream, from 0.
        t_start_us, t_us: span of the slices averaged; the boxes are valid at its end, `t_us`.
        events: events since the previous result.
        detections: N boxes in sensor pixels.
        track_ids: int64 [N], constant for an object; None without tracking.
        firing_rate: mean over all neurons and virtual steps, 0 to 1.
        energy: synaptic operations since the previous result: `.snn_mj`, and `.ann_mj` for the same network
            as an ANN.
        layer_rates, layer_energy: the same for each layer.
        latency_s: time from the last slice to this result.
        class_names: name of each `class_id`.
        training: origin of the weights.
    """

    seq: int
    t_start_us: int
    t_us: int
    events: int
    detections: Detections
    track_ids: NDArray[np.int64] | None
    firing_rate: float
    energy: Energy
    layer_rates: dict[str, float]
    layer_energy: dict[str, Energy]
    latency_s: float
    class_names: tuple[str, ...]
    training: str
    _window: WindowResult

    @classmethod
    def from_window(cls, window: WindowResult, spec: ModelSpec) -> "DetectionResult":
        """Return the result of a window of a stream that `spec` describes."""
        return cls(
            seq=window.seq,
            t_start_us=window.t_start_us,
            t_us=window.t_end_us,
            events=window.events,
            detections=window.detections,
            track_ids=None if window.track_ids is None else np.array(window.track_ids, np.int64),
            firing_rate=window.firing_rate,
            energy=window.energy,
            layer_rates=window.layer_rates,
            layer_energy=window.layer_energy,
            latency_s=window.latency_s,
            class_names=spec.class_names,
            training=spec.training,
            _window=window,
        )

    @property
    def labels(self) -> list[str]:
        """Class name of each box."""
        return [self.class_names[class_id] for class_id in self.detections.class_id.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as the service and `spikewatch detect --out FILE.ndjson` write it."""
        return window_message(self._window, self.class_names, self.training).model_dump()

    def to_coco(self, image_id: int, first_category_id: int = 1) -> list[dict[str, Any]]:
        """Return one dictionary a box, as in COCO's results files.

        Args:
            image_id: id of the image at `t_us` in the annotations.
            first_category_id: category of class 0; the others follow.
        """
        boxes = self.detections
        rows = zip(*(c.tolist() for c in (boxes.xywh, boxes.confidence, boxes.class_id)), strict=True)
        return [
            {
                "image_id": image_id,
                "category_id": first_category_id + class_id,
                "bbox": xywh,
                "score": confidence,
            }
            for xywh, confidence, class_id in rows
        ]

    def to_supervision(self) -> "supervision.Detections":
        """Return the boxes for the library `supervision`, with tracks and `class_name`.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise MissingExtraError(
                f"supervision cannot be imported ({error}); install it: pip install 'spikewatch[supervision]'"
            ) from error
        xywh = self.detections.xywh
        return supervision.Detections(
            xyxy=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
            confidence=self.detections.confidence,
            class_id=self.detections.class_id,
            tracker_id=self.track_ids,
            data={"class_name": np.array(self.labels, np.str_)},
        )
