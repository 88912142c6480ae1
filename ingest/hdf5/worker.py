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

from spikewatch.ingest.child_process import MESSAGE, limit_this_process
from spikewatch.ingest.errors import FormatError, IngestError
from spikewatch.ingest.hdf5.attributes import read_attributes
from spikewatch.ingest.hdf5.recording import Hdf5Recording

OPENED, PROGRESS, EVENTS, DONE, FAILED = range(5)


def main(path: Path, options: dict[str, Any], out: BinaryIO) -> None:
    """Answer all lines of stdin."""
    limit_this_process(path.stat().st_size)
    try:
        with Hdf5Recording(path, **options, attributes=read_attributes) as recording:
            shown = {"format": recording.format, "width": recording.width, "height": recording.height}
            _send(out, OPENED, json.dumps(shown).encode())
            for line in sys.stdin:
                _answer(recording, json.loads(line), out)
    except BrokenPipeError:
        raise
    except IngestError as error:
        _fail(out, error.code, str(error))
    except Exception as error:
        _fail(out, FormatError.code, f"{path} is a damaged HDF5 file: {type(error).__name__}: {error}")


def _answer(recording: Hdf5Recording, wanted: dict[str, Any], out: BinaryIO) -> None:
    if wanted["from_us"] is not None:
        recording.seek(wanted["from_us"])
    for events in recording.chunks(wanted["max_events"]):
        _send(out, PROGRESS, _progress(recording))
        _send(out, EVENTS, events.data)
    _send(out, DONE, _progress(recording))


def _progress(recording: Hdf5Recording) -> bytes:
    stats = recording.stats
    shown = {"progress": recording.progress(), "events": stats.events, "dropped": stats.dropped}
    return json.dumps(shown).encode()


def _fail(out: BinaryIO, code: str, message: str) -> None:
    _send(out, FAILED, json.dumps({"code": code, "message": message}).encode())


def _send(out: BinaryIO, kind: int, payload: bytes | memoryview) -> None:
    out.write(MESSAGE.pack(kind, memoryview(payload).nbytes))
    out.write(payload)
    out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.stdout.buffer)
