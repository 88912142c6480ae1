"""Child process of `ingest.aedat4.recording`: reads one file with `aedat` and writes its events to stdout.

On some damaged files, `aedat` aborts its process or fills all memory, and neither can be caught. It
therefore runs in its own process, under limits.

    python -m spikewatch.ingest.aedat4.worker open|read FILE

Output of `open`: one message (see `ingest.child_process`), OPENED with JSON: streams by their id, the number
of complete packets, and whether the file is truncated. Output of `read`: one message for each packet, its
type the packet's stream id, with rows of ROW_DTYPE (none if the packet has no events). On failure: FAILED
with JSON, code and message, or ERROR with the text of the package.
"""

import json
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spikewatch.ingest.aedat4.packets import scan_packets
from spikewatch.ingest.child_process import MESSAGE_HEADER, set_resource_limits
from spikewatch.ingest.errors import IngestError

ROW_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
ERROR = -(1 << 31)
OPENED = ERROR + 1
FAILED = ERROR + 2


def main(task: str, path: str, out: BinaryIO) -> None:
    """Write all messages for the file at `path` to `out`."""
    set_resource_limits(Path(path).stat().st_size)
    try:
        if task == "open":
            _send_description(path, out)
            return
        import aedat

        for packet in aedat.Decoder(path):
            rows = packet.get("events")
            _send(out, packet["stream_id"], b"" if rows is None else rows.astype(ROW_DTYPE).tobytes())
    except BrokenPipeError:
        raise
    except IngestError as error:
        _send(out, FAILED, json.dumps({"code": error.code, "message": str(error)}).encode())
    except BaseException as error:  # a panic of the package's Rust code is not an Exception
        _send(out, ERROR, str(error).encode())


def _send_description(path: str, out: BinaryIO) -> None:
    scan = scan_packets(Path(path))
    import aedat

    streams = {str(key): stream for key, stream in aedat.Decoder(path).id_to_stream().items()}
    opened = {"streams": streams, "packets": scan.complete_packets, "truncated": scan.truncated}
    _send(out, OPENED, json.dumps(opened).encode())


def _send(out: BinaryIO, stream: int, payload: bytes) -> None:
    out.write(MESSAGE_HEADER.pack(stream, len(payload)))
    out.write(payload)
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.stdout.buffer)
