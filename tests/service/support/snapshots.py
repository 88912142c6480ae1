"""Services that keep snapshots, and what they saved."""

import json
import struct
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from spikewatch.model.detector import Detector
from tests.service.support.live import Live, live_service


def saved_meta(data: bytes) -> dict:
    header = json.loads(data[8 : 8 + struct.unpack_from("<Q", data)[0]])
    meta: dict = json.loads(header["__metadata__"]["session"])
    return meta


def service(detector: Detector, folder: Path, **settings: Any) -> AbstractContextManager[Live]:
    return live_service(detector, snapshot_dir=folder, **settings)


def resume(live: Live, session_id: str) -> dict:
    answer = live.http.post("/v1/sessions", json={"resume": session_id})
    assert answer.status_code == 201, answer.text
    info: dict = answer.json()
    assert info["session_id"] == session_id
    return info


def ended(live: Live, session_id: str) -> dict:
    rest: dict = live.http.delete(f"/v1/sessions/{session_id}").json()
    return rest
