"""Decoding, NMS, letterboxing and preprocessing."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikewatch.model.decode import decode
from spikewatch.model.errors import ConfigError
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.nms import MAX_DETECTIONS, nms
from spikewatch.model.spec import ModelSpec
from tests.model.support.fakes import small_detector

SPEC = ModelSpec("m", SpikeYOLOConfig())


def corners(*boxes: tuple[float, float, float, float]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32)


def test_decode_gives_a_box_around_its_cell() -> None:
    """A certain distance of 2, 1, 3 and 4 cells around the centre of cell (row 1, column 2) of P4."""
    raw = [torch.zeros(1, 66, 64 // s, 96 // s) for s in (8, 16, 32)]
    for side, cells in enumerate((2, 1, 3, 4)):
        raw[1][0, side * 16 + cells, 1, 2] = 100.0
    raw[1][0, 65, 1, 2] = 100.0
    boxes, scores = decode(tuple(raw))
    anchor = 8 * 12 + 1 * 6 + 2
    assert boxes[0, :, anchor].tolist() == [(2.5 - 2) * 16, (1.5 - 1) * 16, (2.5 + 3) * 16, (1.5 + 4) * 16]
    assert scores[0, :, anchor].tolist() == [0.5, 1.0]
    assert scores.shape == (1, 2, 8 * 12 + 4 * 6 + 2 * 3)


def test_nms_suppresses_within_each_class_only() -> None:
    boxes = corners((0, 0, 10, 10), (1, 0, 11, 10), (0, 0, 10, 10), (50, 50, 60, 60))
    scores = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.2, 0.6]], np.float32)
    anchor, class_id = nms(boxes, scores, 0.1, 0.5)
    assert list(zip(anchor, class_id, strict=True)) == [(0, 0), (2, 1), (3, 1), (3, 0)]


def test_nms_threshold_is_exclusive_and_ties_keep_their_order() -> None:
    boxes = corners((0, 0, 10, 10), (0, 0, 10, 5))
    scores = np.array([[0.5], [0.5]], np.float32)
    assert nms(boxes, scores, 0.1, 0.5)[0].tolist() == [0, 1]
    assert nms(boxes, scores, 0.1, 0.49)[0].tolist() == [0]
    assert nms(boxes, scores, 0.5, 0.5)[0].tolist() == []


def test_nms_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 80, (60, 2))
    boxes = np.concatenate((start, start + rng.uniform(5, 40, (60, 2))), 1).astype(np.float32)
    scores = rng.random((60, 2)).astype(np.float32)
    kept: list[tuple[int, int]] = []
    for i, c in sorted(np.ndindex(60, 2), key=lambda ic: -scores[ic]):

        def overlap(j: int, i: int = i) -> float:
            a, b = boxes[i], boxes[j]
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            inter = max(w, 0) * max(h, 0)
            return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)

        if scores[i, c] > 0.2 and all(k != c or overlap(j) <= 0.4 for j, k in kept):
            kept.append((i, c))
    anchor, class_id = nms(boxes, scores, 0.2, 0.4)
    assert list(zip(anchor, class_id, strict=True)) == kept[:MAX_DETECTIONS]


@pytest.mark.parametrize(("width", "height"), [(304, 240), (346, 260), (1280, 720), (640, 480), (54, 61)])
def test_boxes_map_back_to_their_sensor_pixels(width: int, height: int) -> None:
    """A bright rectangle on the sensor, found again in the prepared input, maps back onto itself."""
    frame = np.zeros((2, height, width), np.uint16)
    x0, y0, x1, y1 = width // 4, height // 3, width // 4 * 3, height // 3 * 2
    frame[:, y0:y1, x0:x1] = 100
    box = Letterbox.fit(width, height, SPEC)
    ys, xs = np.nonzero(preprocess(frame, box, SPEC)[1] > 0.5)
    found = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
    tolerance = max(1.0, 2.02 / box.scale)
    np.testing.assert_allclose(
        box.boxes_to_sensor(found, width, height), [[x0, y0, x1 - x0, y1 - y0]], atol=tolerance
    )


def test_gen1_frame_is_padded_not_resampled() -> None:
    frame = np.random.default_rng(0).integers(0, 12, (2, 240, 304)).astype(np.uint16)
    picture = preprocess(frame, Letterbox.fit(304, 240, SPEC), SPEC)
    np.testing.assert_array_equal(picture[:, 8:248, 8:312], np.minimum(frame, 8) / 8)
    assert picture.sum() == pytest.approx((np.minimum(frame, 8) / 8).sum())


def test_large_sensor_keeps_its_event_counts() -> None:
    frame = np.zeros((2, 720, 1280), np.uint16)
    frame[0, 300, 700] = 3
    picture = preprocess(frame, Letterbox.fit(1280, 720, SPEC), SPEC)
    assert picture.sum().item() * SPEC.count_cap == pytest.approx(3)


def test_latest_polarity_is_grey_without_events() -> None:
    spec = ModelSpec("m", SpikeYOLOConfig(in_channels=3), representation="latest_polarity")
    frame = np.full((1, 240, 304), 127, np.uint8)
    picture = preprocess(frame, Letterbox.fit(304, 240, spec), spec)
    assert picture.shape == (3, 256, 320)
    assert picture[:, 128, 160].tolist() == pytest.approx([127 / 255] * 3)
    assert picture[0, 0, 0].item() == pytest.approx(114 / 255)


def test_boxes_are_clipped_to_the_sensor() -> None:
    box = Letterbox.fit(304, 240, SPEC)
    found = box.boxes_to_sensor(np.array([[-50, -50, 400, 400]], np.float32), 304, 240)
    assert found.tolist() == [[0, 0, 304, 240]]


def test_result_without_boxes_is_valid() -> None:
    detector = small_detector()
    out = detector.step(torch.zeros(1, 2, 64, 96), detector.init_state())
    found = detector.postprocess([out.logits], (90, 60), t_us=5, confidence=0.999)
    assert (len(found), found.xywh.shape, found.t_us) == (0, (0, 4), 5)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 480), (304, 240), (160, 128)])
def test_per_side_rule_keeps_the_brightness_of_an_edge(width: int, height: int) -> None:
    """A vertical edge of 1 pixel, one event a pixel: every row of the input holds one count in all."""
    frame = np.zeros((2, height, width), np.uint16)
    frame[1, :, width // 2] = 1
    spec = ModelSpec("m", SpikeYOLOConfig(), count_rule="per_side")
    box = Letterbox.fit(width, height, spec)
    found = preprocess(frame, box, spec)[1] * spec.count_cap
    rows = found[box.top : box.top + box.height].sum(1)
    enlarged = max(box.scale, 1.0)
    np.testing.assert_allclose(rows[2:-2], enlarged, rtol=0.02)
    summed = preprocess(frame, box, SPEC)[1] * SPEC.count_cap
    side = (width * height / (box.width * box.height)) ** 0.5 if box.scale < 1 else 1.0
    np.testing.assert_allclose(summed, found * np.float32(side), rtol=1e-5)


def test_per_side_rule_divides_by_four_at_1280x720() -> None:
    frame = np.random.default_rng(0).integers(0, 2, (2, 720, 1280)).astype(np.uint16)
    spec = ModelSpec("m", SpikeYOLOConfig(), count_rule="per_side")
    found = preprocess(frame, Letterbox.fit(1280, 720, spec), spec)[:, 38:218]
    blocks = frame.reshape(2, 180, 4, 320, 4).sum((2, 4))
    np.testing.assert_allclose(found, np.minimum(blocks / 4, 8) / 8, atol=1e-6)


def test_unknown_count_rule_is_rejected() -> None:
    with pytest.raises(ConfigError, match="count_rule 'mean' is unknown; known are sum, per_side"):
        ModelSpec("m", SpikeYOLOConfig(), count_rule="mean")


def test_specification_without_count_rule_sums() -> None:
    plain = SPEC.to_json()
    assert plain.pop("count_rule") == "sum"
    assert ModelSpec.from_json(plain).count_rule == "sum"
    assert ModelSpec.from_json(plain | {"count_rule": "per_side"}).count_rule == "per_side"
