"""Child process of `ingest.aedat4`: runs the package `aedat` over one file, writes what it finds to stdout.

Over some damaged files `aedat` aborts its process or fills all memory, and neither can be caught. So it runs
where it can end nothing but itself, under limits.

    python -m spikewatch.ingest.aedat4.worker FILE

Output: frames (see `ingest.child`), their kind a stream: first STREAMS with JSON, then for each packet its
stream with rows of ROW, none where it holds no events; on failure ERROR with text.
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
    """Write all messages of the file at `path` to `out`."""
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
    except BaseException as error:  # a panic of the package's Rust code is no Exception
        _send(out, ERROR, str(error).encode())


def _send(out: BinaryIO, stream: int, payload: bytes) -> None:
    out.write(MESSAGE_HEADER.pack(stream, len(payload)))
    out.write(payload)
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdout.buffer)
