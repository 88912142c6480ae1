"""Preprocessing and decoding on arrays against torch's interpolation and decoder as oracles."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from spikewatch.model.decode import average_logits, decode
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.plan import STRIDES, output_channels
from spikewatch.model.nms import nms
from spikewatch.model.postprocess import find_boxes
from spikewatch.model.spec import ModelSpec

SPEC = ModelSpec("m", SpikeYOLOConfig(), count_cap=8)
GREY = ModelSpec("m", SpikeYOLOConfig(in_channels=3), representation="latest_polarity")


@pytest.mark.parametrize("size", [(1280, 720), (346, 260), (640, 480), (800, 333), (321, 257)])
def test_shrunk_frames_equal_those_of_torch(size: tuple[int, int]) -> None:
    width, height = size
    frame = np.random.default_rng(1).integers(0, 9, (2, height, width)).astype(np.uint16)
    box = Letterbox.fit(width, height, SPEC)
    area = F.interpolate(
        torch.from_numpy(frame.astype(np.float32))[None], (box.height, box.width), mode="area"
    )
    expected = (area[0] * (width * height / (box.width * box.height))).clamp_max(8) / 8
    found = preprocess(frame, box, SPEC)[:, box.top : box.top + box.height, box.left : box.left + box.width]
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("size", [(128, 128), (54, 61), (200, 31)])
def test_enlarged_frames_equal_those_of_torch(size: tuple[int, int]) -> None:
    width, height = size
    frame = np.random.default_rng(2).integers(0, 256, (1, height, width)).astype(np.uint8)
    box = Letterbox.fit(width, height, GREY)
    image = torch.from_numpy(frame.astype(np.float32))[None]
    scaled = F.interpolate(image, (box.height, box.width), mode="bilinear", align_corners=False)[0] / 255
    found = preprocess(frame, box, GREY)
    inside = found[:, box.top : box.top + box.height, box.left : box.left + box.width]
    np.testing.assert_allclose(inside, scaled.expand(3, -1, -1).numpy(), atol=2e-6)
    assert found.shape == (3, 256, 320)
    border = np.ones(found.shape, bool)
    border[:, box.top : box.top + box.height, box.left : box.left + box.width] = False
    np.testing.assert_allclose(found[border], 114 / 255, rtol=1e-6)


@pytest.mark.parametrize("head", ["anchor_free", "anchor_based"])
def test_boxes_equal_those_of_the_torch_decoder(head: str) -> None:
    spec = ModelSpec("m", SpikeYOLOConfig(head=head))
    rng, channels = np.random.default_rng(3), output_channels(spec.config)
    slices = [
        tuple(
            rng.normal(0, 2, (1, channels, 256 // s, 320 // s)).astype(np.float32).copy(order="F")
            for s in STRIDES
        )
        for _ in range(3)
    ]
    found = find_boxes(slices, spec, (304, 240), 7, 0.8, 0.45)  # type: ignore[arg-type]
    tensors = [tuple(map(torch.from_numpy, levels)) for levels in slices]
    corners, scores = decode(average_logits(tensors), head)  # type: ignore[arg-type]
    anchor, class_id = nms(corners[0].T.numpy(), scores[0].T.numpy(), 0.8, 0.45)
    assert len(found) == len(anchor) > 10
    assert found.t_us == 7
    np.testing.assert_array_equal(found.class_id, class_id)
    np.testing.assert_allclose(found.confidence, scores[0].T.numpy()[anchor, class_id], rtol=1e-6)
    box = Letterbox.fit(304, 240, spec)
    expected = box.boxes_to_sensor(corners[0].T.numpy()[anchor], 304, 240)
    np.testing.assert_allclose(found.xywh, expected, atol=1e-3)
