"""Results as COCO dictionaries and as `supervision.Detections`."""

import builtins
import io
import json
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest

from spikewatch.model.energy.formulas import Energy
from spikewatch.model.errors import MissingExtraError
from spikewatch.model.spec import GEN1_CLASSES, ModelSpec
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.pipeline.results import DetectionResult
from tests.model.support.fakes import small_detector

XYWH = np.array([[10, 20, 30, 40], [1, 2, 3, 4.5]], np.float32)


def result(track_ids: tuple[int, ...] | None = (7, 9), boxes: int = 2) -> DetectionResult:
    spec: ModelSpec = small_detector().spec
    window = WindowResult(
        seq=3,
        t_start_us=0,
        t_end_us=50_000,
        events=12,
        xywh=XYWH[:boxes],
        confidence=np.array([0.75, 0.5], np.float32)[:boxes],
        class_id=np.array([1, 0])[:boxes],
        firing_rate=0.125,
        energy=Energy(ac=1e9, mac=0, ann_mac=1e9),
        latency_s=0.25,
        track_ids=track_ids,
    )
    return DetectionResult.from_window(window, spec)


def test_labels_name_the_classes() -> None:
    assert result().labels == [GEN1_CLASSES[1], GEN1_CLASSES[0]]


def test_dictionary_is_the_message_of_the_service() -> None:
    message = json.loads(json.dumps(result().to_dict()))
    assert message["detections"][0] == {
        "x": 10.0,
        "y": 20.0,
        "w": 30.0,
        "h": 40.0,
        "class_id": 1,
        "label": GEN1_CLASSES[1],
        "confidence": 0.75,
        "track_id": 7,
    }
    assert (message["energy_mj"], message["latency_ms"]) == ({"snn": 0.9, "ann": 4.6}, 250)


def test_coco_dictionaries_are_scored_by_the_coco_evaluator() -> None:
    """Equal boxes as annotations give an average precision of one."""
    coco = pytest.importorskip("faster_coco_eval", reason="the extra `eval` is not installed")
    rows = result().to_coco(image_id=5)
    assert rows[0] == {"image_id": 5, "category_id": 2, "bbox": [10.0, 20.0, 30.0, 40.0], "score": 0.75}
    assert json.loads(json.dumps(rows)) == rows
    annotations: dict[str, Any] = {
        "images": [{"id": 5, "width": 90, "height": 60}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "pedestrian"}],
        "annotations": [
            {
                "id": i + 1,
                "image_id": 5,
                "category_id": row["category_id"],
                "bbox": row["bbox"],
                "area": row["bbox"][2] * row["bbox"][3],
                "iscrowd": 0,
            }
            for i, row in enumerate(rows)
        ],
    }
    with redirect_stdout(io.StringIO()):
        truth = coco.COCO(annotations)
        evaluator = coco.COCOeval_faster(truth, truth.loadRes(rows), "bbox")
        evaluator.run()
    assert evaluator.stats[0] == pytest.approx(1.0)


def test_coco_categories_begin_where_asked() -> None:
    assert [row["category_id"] for row in result().to_coco(1, first_category_id=0)] == [1, 0]
    assert result(None, boxes=0).to_coco(1) == []


def test_supervision_receives_boxes_tracks_and_names() -> None:
    supervision = pytest.importorskip("supervision", reason="the extra `supervision` is not installed")
    found = result().to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.xyxy.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6.5]]
    assert found.tracker_id.tolist() == [7, 9]
    assert found["class_name"].tolist() == [GEN1_CLASSES[1], GEN1_CLASSES[0]]
    assert found[found.confidence > 0.6].class_id.tolist() == [1]
    assert found.area.tolist() == [1200, 13.5]
    untracked = result(None).to_supervision()
    assert untracked.tracker_id is None
    assert len(result(None, boxes=0).to_supervision()) == 0


def test_missing_supervision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fake(name: str, *arguments: Any) -> Any:
        if name == "supervision":
            raise ImportError("No module named 'supervision'")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(MissingExtraError, match=r"pip install 'spikewatch\[supervision\]'"):
        result().to_supervision()
