"""Child process of `ingest.aedat4.recording`: reads one file with `aedat` and writes its events to stdout.

On some damaged files, `aedat` aborts its process or fills all memory, and neither can be caught. It
therefore runs in its own process, under limits.

    python -m spikewatch.ingest.aedat4.worker FILE

Output: messages (see `ingest.child_process`). First STREAMS with JSON; then one message for each packet,
its type the packet's stream id, with rows of ROW_DTYPE (none if the packet has no events). On failure: ERROR
with text.
"""

import json
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spikewatch.ingest.child_process import MESSAGE_HEADER, set_resource_limits

ROW_DTYPE = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
ERROR = -(1 << 31)
STREAMS = ERROR + 1


def main(path: str, out: BinaryIO) -> None:
    """Write all messages for the file at `path` to `out`."""
    set_resource_limits(Path(path).stat().st_size)
    try:
        import aedat

        decoder = aedat.Decoder(path)
        streams = {str(key): stream for key, stream in decoder.id_to_stream().items()}
        _send(out, STREAMS, json.dumps(streams).encode())
        for packet in decoder:
            rows = packet.get("events")
            _send(out, packet["stream_id"], b"" if rows is None else rows.astype(ROW_DTYPE).tobytes())
    except BrokenPipeError:
        raise
    except BaseException as error:  # a panic of the package's Rust code is not an Exception
        _send(out, ERROR, str(error).encode())


def _send(out: BinaryIO, stream: int, payload: bytes) -> None:
    out.write(MESSAGE_HEADER.pack(stream, len(payload)))
    out.write(payload)
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdout.buffer)
