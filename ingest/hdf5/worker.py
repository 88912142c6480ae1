"""Child process of `ingest.hdf5_isolated`: opens one HDF5 file and sends its events to stdout.

    python -m spikewatch.ingest.hdf5.worker FILE '{"width": null, "height": null, "camera": null}'

Output: frames (see `ingest.child`). First OPENED with JSON: format, width, height. Then for each line of
stdin, JSON `{"max_events", "from_us"}`: for each chunk PROGRESS with JSON, then EVENTS with rows of
EVENT_DTYPE; at the end DONE with JSON. On failure FAILED with JSON: code and message.
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
    """Answer all lines of stdin."""
    set_resource_limits(path.stat().st_size)
    try:
        with Hdf5Recording(path, **options, attribute_reader=read_attributes) as recording:
            shown = {"format": recording.format, "width": recording.width, "height": recording.height}
            _send(out, OPENED, json.dumps(shown).encode())
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
    shown = {"progress": recording.progress(), "events": stats.events, "dropped": stats.dropped}
    return json.dumps(shown).encode()


def _send_error(out: BinaryIO, code: str, message: str) -> None:
    _send(out, FAILED, json.dumps({"code": code, "message": message}).encode())


def _send(out: BinaryIO, message_type: int, payload: bytes | memoryview) -> None:
    out.write(MESSAGE_HEADER.pack(message_type, memoryview(payload).nbytes))
    out.write(payload)
    out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.stdout.buffer)
