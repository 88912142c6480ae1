"""Child process that misbehaves like a reader taken over by a damaged file; the file names the behaviour."""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from spikewatch.ingest.child_process import MESSAGE_HEADER, set_resource_limits
from spikewatch.ingest.events import EVENT_DTYPE
from spikewatch.ingest.hdf5.worker import DONE, EVENTS, FAILED, OPENED, PROGRESS

PROGRESS_JSON = b'{"progress": 0.5, "events": 1, "dropped": {}}'
BAD_EVENTS = {"x": (0, 64, 0, 0), "y": (0, 0, 48, 0), "p": (0, 0, 0, 2), "t": (-1, 0, 0, 0)}


def send(message_type: int, payload: bytes) -> None:
    sys.stdout.buffer.write(MESSAGE_HEADER.pack(message_type, len(payload)) + payload)
    sys.stdout.buffer.flush()


def report_limits() -> None:
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)
    report = {"limits": [resource.getrlimit(kind)[0] for kind in kinds], "environment": sorted(os.environ)}
    send(FAILED, json.dumps({"code": "truncated", "message": json.dumps(report)}).encode())


def misbehave(behaviour: str) -> None:
    match behaviour:
        case "abort":
            os.abort()
        case "hang":
            time.sleep(60)
        case "memory":
            bytearray(8 << 30)
        case "huge":
            sys.stdout.buffer.write(MESSAGE_HEADER.pack(PROGRESS, 0xFFFFFFFF))
        case "garbage":
            send(PROGRESS, b"[1, 2")
        case "progress":
            send(PROGRESS, b'{"progress": null}')
        case "turn":
            send(OPENED, b"{}")
        case "empty":
            send(PROGRESS, PROGRESS_JSON)
            send(EVENTS, b"")
        case "ragged":
            send(PROGRESS, PROGRESS_JSON)
            send(EVENTS, b"abc")
        case _:
            send(PROGRESS, PROGRESS_JSON)
            send(EVENTS, np.array([BAD_EVENTS[behaviour]], EVENT_DTYPE).tobytes())
    send(DONE, PROGRESS_JSON)


if __name__ == "__main__":
    behaviour = Path(sys.argv[1]).read_text()
    set_resource_limits(3 << 20)
    if behaviour == "limits":
        report_limits()
    send(OPENED, b'{"format": "hdf5-rvt", "width": 64, "height": 48}')
    sys.stdin.readline()
    misbehave(behaviour)
