"""Writes the corpus from nothing but this code: python -m benchmarks.fuzz.corpus."""

import io
import json
import struct
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np

from benchmarks.fuzz.run import CORPUS
from benchmarks.fuzz.targets.states import session_text, tiny_detector
from spikewatch.model.prophesee_boxes import BBOX_DTYPE


def decoder_seeds() -> dict[str, list[bytes]]:
    """Return some words of each format, without and with a header."""
    dat = b"".join(struct.pack("<II", 1000 * k, k << 14 | 3 * k | (k & 1) << 28) for k in range(12))
    evt2 = struct.pack("<6I", 0x80000001, 0x00803005, 0x10C02004, 0x80000002, 0xA0000001, 0x01003006)
    evt21 = struct.pack("<4Q", 8 << 60 | 1 << 32, 1 << 60 | 5 << 32 | 0x8001, 9 << 43 | 7 << 32 | 3, 14 << 60)
    evt3 = struct.pack("<9H", 0x8001, 0x6010, 0x0005, 0x2807, 0x3020, 0x4FFF, 0x5081, 0x6020, 0x2009)
    streams = {"dat": dat, "evt2": evt2, "evt21": evt21, "evt3": evt3}
    headers = {
        "dat": b"% Data file containing CD events.\n% Version 2\n% Height 240\n% Width 304\n\x0c\x08",
        "evt2": b"% evt 2.0\n% geometry 320x240\n% end\n",
        "evt21": b"% evt 2.1\n% format EVT21;height=240;width=320\n% end\n",
        "evt3": b"% evt 3.0\n% format EVT3;height=240;width=320\n% endianness big\n% end\n",
    }
    return {
        name: [b"\x00" + body, b"\x07" + body * 3, b"\x02" + headers[name] + body]
        for name, body in streams.items()
    }


def ecf_seeds() -> list[bytes]:
    """Return chunks of eight events: coordinates packed, and coordinates as runs."""
    times = b"\x14\x23\x31"
    packed = struct.pack("<IQ", 8 << 2 | 2, 5) + times + struct.pack("<6I", *range(1000, 1006))
    runs = (
        struct.pack("<IQ", 8 << 2, 5) + times + struct.pack("<H", 7 << 5 | 8) + struct.pack("<H", 3 << 5 | 31)
    )
    return [packed, runs + struct.pack("<H", 20 << 5 | 3) + b"\x84\x04"]


def hdf5_seeds() -> Iterable[bytes]:
    """Yield files of three layouts with five events."""
    row = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    columns = {"x": np.arange(5, dtype="u2"), "y": np.arange(5, dtype="u2"), "p": np.ones(5, "u1")}
    columns["t"] = np.arange(5) * 100
    with TemporaryDirectory() as folder:
        for layout in ("columns", "group", "rows"):
            path = Path(folder) / layout
            with h5py.File(path, "w", libver="latest") as file:
                if layout == "rows":
                    file["CD/events"] = np.zeros(5, row)
                    file.attrs["geometry"] = "320x240"
                else:
                    group = file if layout == "columns" else file.create_group("events")
                    for name, values in columns.items():
                        group[name] = values
            yield path.read_bytes()


def aedat4_seeds() -> list[bytes]:
    """Return a file without packets, and one with two packets that hold nothing."""
    head = b"#!AER-DAT4.0\r\n" + struct.pack("<I", 24) + struct.pack("<IHHHHiq", 12, 8, 16, 4, 8, 8, -1)
    packet = struct.pack("<ii", 0, 8) + bytes(8)
    return [head, head + packet * 2]


def label_seeds() -> dict[str, list[bytes]]:
    """Return labels, times, COCO annotations and COCO results."""
    boxes, times = io.BytesIO(), io.BytesIO()
    np.save(boxes, np.ones(2, BBOX_DTYPE))
    np.save(times, np.arange(3))
    damaged = boxes.getvalue().replace(b"}", b" ", 1)
    result = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3.5, 4], "score": 0.5}
    annotations = {
        "images": [{"id": 1, "width": 32, "height": 32, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}],
    }
    return {
        "npy_labels": [boxes.getvalue(), times.getvalue(), damaged],
        "coco": [
            json.dumps([result]).encode(),
            json.dumps(annotations).encode(),
            json.dumps([result | {"score": 10**400}]).encode(),
            b"[" * 4000,
        ],
    }


def protocol_seeds() -> dict[str, list[bytes]]:
    """Return requests, and WebSocket frames after the handshake that the target sends."""

    def frame(first: int, payload: bytes) -> bytes:
        return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload

    get = b"\x00GET /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"\x06POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    chunked = b"\x03POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    frames = [
        frame(0x82, b"events"),
        frame(0x01, b"a") + frame(0x80, b"b"),
        frame(0x89, b""),
        frame(0x88, b"\x03\xe8"),
    ]
    handshake = b"\x00GET /w HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return {
        "http": [get, post, chunked],
        "websocket": [b"\x01" + b"".join(frames), b"\x05" + frames[1], handshake],
    }


def seeds() -> dict[str, list[bytes]]:
    """Return target -> inputs."""
    detector = tiny_detector()
    spec = json.dumps(detector.spec.to_json() | {"config": asdict(detector.spec.config)}).encode()
    empty = json.dumps({"__metadata__": {"format": "spikewatch-1", "spec": "{}"}}).encode()
    packets = aedat4_seeds()
    return {
        **decoder_seeds(),
        "ecf": ecf_seeds(),
        "hdf5": list(hdf5_seeds()),
        "aedat4_packets": packets,
        "aedat4": packets,
        **label_seeds(),
        "checkpoint": [spec, len(empty).to_bytes(8, "little") + empty],
        "snapshot": [session_text().encode()],
        **protocol_seeds(),
    }


def main() -> None:
    """Write each input to CORPUS/TARGET/seed-N."""
    for target, inputs in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
