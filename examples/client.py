"""Send a recording and print what is seen: python examples/client.py service/assets/street_td.dat"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spikewatch


def pieces(path: Path, piece_bytes: int = 16_384) -> Iterator[bytes]:
    """The bytes of a recording, split anywhere."""
    with path.open("rb") as file:
        while piece := file.read(piece_bytes):
            yield piece


def show(window: Any) -> None:
    boxes = window["detections"]
    first = "".join(f", a {b['label']} at {b['x']:.0f},{b['y']:.0f}" for b in boxes[:1])
    print(f"{window['t_end_us'] / 1e6:7.3f} s {window['events']:7} events {len(boxes):3} boxes{first}")


def main(recording: Path, url: str, format: str) -> None:
    """Send and read at the same time; a broken connection is resumed."""
    with (
        spikewatch.Client(url, key=os.environ.get("SPIKEWATCH_KEY")) as client,
        client.session(format=format) as session,
    ):
        for window in session.stream(pieces(recording)):
            show(window)
    assert session.totals is not None
    windows, spent = session.totals["windows"], session.totals["energy_mj"]
    print(f"{windows} windows, estimated {spent['snn']:.1f} mJ; as an ANN {spent['ann']:.1f} mJ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service (make serve)")
    parser.add_argument("--format", default="dat", help="dat, evt2, evt21 or evt3")
    given = parser.parse_args()
    try:
        main(given.recording, given.url, given.format)
    except (spikewatch.ServiceError, spikewatch.IngestError) as error:
        raise SystemExit(f"{error.code}: {error}") from None
    except OSError as error:
        raise SystemExit(str(error)) from None
