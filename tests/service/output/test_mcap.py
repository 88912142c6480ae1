"""MCAP files, read back by the library `mcap` and by protobuf, with the schemas that the file carries."""

import io
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from tests.service.support.console import Done
from tests.service.support.live import HEIGHT, WIDTH, dat_file

pytest.importorskip("foxglove", reason="needs the extra mcap")
pytest.importorskip("google.protobuf", reason="needs protobuf, as the extra export brings it")
mcap_reader = pytest.importorskip("mcap.reader", reason="needs the extra mcap")


def test_mcap_holds_pictures_boxes_and_scalars(
    detector: Detector, tmp_path: Path, run: Callable[..., Done]
) -> None:
    recording, weights = tmp_path / "street_td.dat", tmp_path / "small.safetensors"
    recording.write_bytes(dat_file(10))
    save_checkpoint(weights, detector.network, detector.spec)
    files = [tmp_path / name for name in ("clip.mcap", "w.ndjson")]
    outs = [option for file in files for option in ("--out", file)]
    done = run("detect", recording, "--weights", weights, "--confidence", 0.001, "--track", *outs)
    assert done.status == 0, done.err
    *windows, _summary = map(json.loads, files[1].read_text().splitlines())

    read: dict[str, list[tuple[str, int, Any]]] = defaultdict(list)
    with files[0].open("rb") as file:
        for schema, channel, message in mcap_reader.make_reader(file, validate_crcs=True).iter_messages():
            content = decode(schema, message.data) if schema.encoding == "protobuf" else message.data
            read[channel.topic].append((schema.name, message.log_time, content))

    times = [window["t_end_us"] * 1000 for window in windows]
    assert [schema for schema, _, _ in read["/events"]] == ["foxglove.CompressedImage"] * 10
    for _, time, image in read["/events"]:
        assert image.timestamp.seconds * 10**9 + image.timestamp.nanos == time
        assert image.format == "png"
        pixels = np.asarray(Image.open(io.BytesIO(image.data)))
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1

    assert {schema for schema, _, _ in read["/boxes"]} == {"foxglove.ImageAnnotations"}
    assert [time for _, time, _ in read["/boxes"]] == times
    boxes = [annotation for _, _, annotation in read["/boxes"]]
    for annotation, window in zip(boxes, windows, strict=True):
        corners = [[(p.x, p.y) for p in outline.points] for outline in annotation.points]
        assert corners == [corners_of(box) for box in window["detections"]]
        assert [text.text for text in annotation.texts] == [label_of(box) for box in window["detections"]]
    assert sum(len(annotation.points) for annotation in boxes) > 0

    def values(topic: str, name: str) -> list[float]:
        return [json.loads(data)[name] for _, _, data in read[topic]]

    assert values("/firing_rate", "rate") == [window["firing_rate"] for window in windows]
    assert values("/energy_snn", "millijoules") == [window["energy_mj"]["snn"] for window in windows]
    assert values("/energy_ann", "millijoules") == [window["energy_mj"]["ann"] for window in windows]
    assert values("/latency", "milliseconds") == [window["latency_ms"] for window in windows]


def decode(schema: Any, data: bytes) -> Any:
    """Decode with the description of the messages in the file, as any viewer does."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(schema.data).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(schema.name)).FromString(data)


def corners_of(box: dict[str, Any]) -> list[Any]:
    left, top, right, bottom = box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"]
    return [pytest.approx(corner) for corner in ((left, top), (right, top), (right, bottom), (left, bottom))]


def label_of(box: dict[str, Any]) -> str:
    track = f" #{box['track_id']}" if "track_id" in box else ""
    return f"{box['label']}{track} {box['confidence']:.2f}"
