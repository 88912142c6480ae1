"""Whole recordings sent to POST /v1/detections."""

import json
import socket
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np

from tests.service.support.live import HEIGHT, WIDTH, Live, dat_stream
from tests.service.support.streams import LOW
from tests.service.support.waiting import until


def send(live: Live, data: bytes, **query: Any) -> httpx.Response:
    return live.http.post("/v1/detections", content=data, params=LOW | query)


def lines(answer: httpx.Response) -> tuple[list[dict], dict]:
    """Windows, and the last line."""
    assert answer.status_code == 200, answer.text
    found = [json.loads(line) for line in answer.text.splitlines()]
    return found[:-1], found[-1]


def look(live: Live, job_id: str) -> dict:
    found: dict = live.http.get(f"/v1/detections/{job_id}").json()
    return found


def broken_off(live: Live, job_id: str, data: bytes, announced: int, **query: Any) -> None:
    """Announce more bytes than are sent, and break the connection without a word."""
    asked = "&".join(f"{k}={v}" for k, v in (LOW | query | {"job_id": job_id}).items())
    head = f"POST /v1/detections?{asked} HTTP/1.1\r\nHost: x\r\nContent-Length: {announced}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(live.url.rsplit(":", 1)[1]))) as raw:
        raw.sendall(head.encode() + data)
        until(lambda: job_at(live, job_id) >= len(data) + query.get("offset", 0))
        raw.shutdown(socket.SHUT_RDWR)
    until(lambda: look(live, job_id)["state"] != "receiving")


def job_at(live: Live, job_id: str) -> int:
    return int(look(live, job_id).get("accepted_bytes", -1))


def as_hdf5(folder: Path, slices: int) -> bytes:
    records = np.frombuffer(dat_stream(slices), "<u4").reshape(-1, 2)
    with h5py.File(folder / "r.h5", "w") as file:
        file["events/t"] = records[:, 0].astype("i8")
        file["events/x"] = (records[:, 1] & 0x3FFF).astype("u2")
        file["events/y"] = (records[:, 1] >> 14 & 0x3FFF).astype("u2")
        file["events/p"] = (records[:, 1] >> 28 & 1).astype("u1")
        file["events/height"], file["events/width"] = HEIGHT, WIDTH
    return (folder / "r.h5").read_bytes()
