"""Training preview: an image of training frames with labels and detections.

Shapes: B streams, P channels, h and w input pixels.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from spikewatch.model.decode import decode
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.nms import nms
from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION
from spikewatch.model.training.learner.unroll import StreamState, Unroll
from spikewatch.model.training.loader.batch import Batch

LABEL_COLOUR, DETECTION_COLOUR, IGNORE_COLOUR = (90, 220, 90), (255, 150, 40), (130, 130, 130)
CONFIDENCE, IOU = 0.25, 0.6
COLUMNS = 4


@torch.no_grad()
def save_preview(network: Network, slices: int, batch: Batch, streams: StreamState, path: Path) -> None:
    """Draw the last slice of at most 16 streams: labels green, ignore regions grey, detections orange.

    Args:
        network: network in evaluation mode.
        slices: T.
        batch: batch of event frames or images, on the network's device.
        streams: initial state of the streams.
        path: path of the PNG file.
    """
    outputs, _ = Unroll(network, slices)(batch.frames / batch.levels, batch.is_first, streams)
    count = min(batch.frames.shape[1], 16)
    tiles = [_draw_tile(batch, outputs[-1], index) for index in range(count)]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-count % COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    Image.fromarray(np.concatenate(rows, 0)).save(path)


def _draw_tile(batch: Batch, logits: HeadLogits, index: int) -> NDArray[np.uint8]:
    image = Image.fromarray(_to_rgb(batch.frames[-1, index].float() / batch.levels))
    canvas = ImageDraw.Draw(image)
    targets = batch.targets[-1]
    mine = targets.batch_index == index
    for box, class_id in zip(targets.xyxy[mine].tolist(), targets.class_id[mine].tolist(), strict=True):
        canvas.rectangle(box, outline=IGNORE_COLOUR if class_id == IGNORE_REGION else LABEL_COLOUR)
    corners, scores = decode(tuple(level[index : index + 1] for level in logits))  # type: ignore[arg-type]
    boxes, scores = corners[0].T.cpu(), scores[0].T.cpu()
    for anchor, class_id in zip(*nms(boxes.numpy(), scores.numpy(), CONFIDENCE, IOU), strict=True):
        x1, y1, x2, y2 = boxes[anchor].tolist()
        canvas.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=DETECTION_COLOUR)
        canvas.text((x1 + 2, y1), f"{class_id} {scores[anchor, class_id]:.2f}", fill=DETECTION_COLOUR)
    return np.asarray(image)


def _to_rgb(frame: Tensor) -> NDArray[np.uint8]:
    """Convert [P,h,w] in 0..1 to uint8 [h,w,3]: OFF blue, ON white; three channels are taken as RGB."""
    if len(frame) == 3:
        return np.ascontiguousarray((frame.permute(1, 2, 0) * 255).byte().cpu().numpy())
    off, on = (4 * frame).clamp(0, 1).cpu().numpy()
    rgb = np.stack((30 + 200 * on, 30 + 60 * off + 180 * on, 40 + 200 * np.maximum(on, off)), -1)
    return rgb.clip(0, 255).astype(np.uint8)
