"""Child process of `ingest.hdf5.isolated`: reads one HDF5 file and writes its events to stdout.

    python -m spikewatch.ingest.hdf5.worker FILE '{"width": null, "height": null, "camera": null}'

Output: messages (see `ingest.child_process`). First OPENED with JSON: format, width, height. Each line of
stdin is a request, JSON `{"max_events", "from_us"}`; the answer has, for each chunk, PROGRESS with JSON and
EVENTS with rows of EVENT_DTYPE, and ends with DONE with JSON. On failure: FAILED with JSON, code and message.
"""

import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

from spikewatch.ingest.child_process import MESSAGE_HEADER, set_resource_limits
from spikewatch.ingest.errors import FormatError, IngestError
from spikewatch.ingest.hdf5.attributes import read_attributes
from spikewatch.ingest.hdf5.recording import Hdf5Recording

OPENED, PROGRESS, EVENTS, DONE, FAILED = range(5)


def main(path: Path, options: dict[str, Any], out: BinaryIO) -> None:
    """Open the file at `path` and answer every request on stdin."""
    set_resource_limits(path.stat().st_size)
    try:
        with Hdf5Recording(path, **options, attribute_reader=read_attributes) as recording:
            opened = {
                "format": recording.format,
                "width": recording.width,
                "height": recording.height,
                "camera": recording.camera,
                "other_cameras": recording.other_cameras,
            }
            _send(out, OPENED, json.dumps(opened).encode())
            for line in sys.stdin:
                _handle_request(recording, json.loads(line), out)
    except BrokenPipeError:
        raise
    except IngestError as error:
        _send_error(out, error.code, str(error))
    except Exception as error:
        _send_error(out, FormatError.code, f"{path} is a damaged HDF5 file: {type(error).__name__}: {error}")


def _handle_request(recording: Hdf5Recording, request: dict[str, Any], out: BinaryIO) -> None:
    if request["from_us"] is not None:
        recording.seek(request["from_us"])
    for events in recording.chunks(request["max_events"]):
        _send(out, PROGRESS, _encode_progress(recording))
        _send(out, EVENTS, events.data)
    _send(out, DONE, _encode_progress(recording))


def _encode_progress(recording: Hdf5Recording) -> bytes:
    stats = recording.stats
    report = {"progress": recording.progress(), "events": stats.events, "dropped": stats.dropped}
    return json.dumps(report).encode()


def _send_error(out: BinaryIO, code: str, message: str) -> None:
    _send(out, FAILED, json.dumps({"code": code, "message": message}).encode())


def _send(out: BinaryIO, message_type: int, payload: bytes | memoryview) -> None:
    out.write(MESSAGE_HEADER.pack(message_type, memoryview(payload).nbytes))
    out.write(payload)
    out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.stdout.buffer)
