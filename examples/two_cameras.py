"""Two recordings as the two cameras of a car, played in real time; what both see, in one NDJSON file.

python examples/two_cameras.py service/assets/street_td.dat traffic.dat --out drive.ndjson

A line is a window of one camera as it came back, `camera` and `received_s` (Unix time) before its fields.
Where the service asks for a key, put it in SPIKEWATCH_KEY.
"""

import argparse
import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import spikewatch
from spikewatch.ingest.formats.dat import encode_dat

PIECE_US = 20_000
NAMES = ("front", "rear")


@dataclass
class Camera:
    """One recording, the session it feeds, and what came back."""

    name: str
    recording: spikewatch.Recording
    latencies_ms: list[float] = field(default_factory=list)
    totals: Mapping[str, Any] = field(default_factory=dict)

    def pieces(self, laps: int) -> Iterator[tuple[float, bytes]]:
        """When to send what: seconds from the start, and the events of 20 ms; each lap goes on in time."""
        first_us, shift_us, last_us = None, 0, 0
        for _ in range(laps):
            for events in self.recording.chunks():
                for part in np.split(events, np.flatnonzero(np.diff(events["t"] // PIECE_US)) + 1):
                    part = part.copy()
                    part["t"] += shift_us
                    last_us = int(part["t"][-1])
                    first_us = last_us if first_us is None else first_us
                    yield (last_us - first_us) / 1e6, encode_dat(part)
            shift_us = last_us + PIECE_US

    async def play(self, start_s: float, laps: int) -> AsyncIterator[bytes]:
        """The pieces at the recording's own pace."""
        for due_s, records in self.pieces(laps):
            await asyncio.sleep(max(0.0, start_s + due_s - time.monotonic()))
            yield records

    async def drive(self, client: spikewatch.AsyncClient, start_s: float, laps: int, out: TextIO) -> None:
        """Send and receive until the service has answered everything."""
        width, height = self.recording.sensor_size()
        wanted = {"format": "dat", "width": width, "height": height, "policy": "drop_oldest"}
        async with client.session(**wanted) as session:
            async for window in session.stream(self.play(start_s, laps)):
                self.take({name: value for name, value in window.items() if name != "type"}, out)
        self.totals = session.totals or {}

    def take(self, window: dict[str, Any], out: TextIO) -> None:
        """Write a window and remember its latency."""
        line = {"camera": self.name, "received_s": round(time.time(), 3), **window}
        print(json.dumps(line), file=out, flush=True)
        self.latencies_ms.append(window["latency_ms"])
        self.show(window)

    def show(self, window: dict[str, Any]) -> None:
        """A window in a line: which camera, recording time, latency, what it sees."""
        seen = Counter(box["label"] for box in window["detections"])
        words = ", ".join(f"{label} x{count}" for label, count in sorted(seen.items())) or "-"
        print(f"{self.name:>5} {window['t_end_us'] / 1e6:7.2f} s {window['latency_ms']:5.0f} ms  {words}")

    def summary(self) -> str:
        """How it went, in a line."""
        windows, lost = self.totals["windows"], self.totals["dropped_windows"]
        energy = self.totals["energy_mj"]
        middle_ms = float(np.median(self.latencies_ms)) if self.latencies_ms else 0.0
        return (
            f"{self.name:>5}: {windows} windows, {lost} dropped; median latency {middle_ms:.0f} ms;"
            f" estimated {energy['snn']:.1f} mJ, as an ANN {energy['ann']:.1f}"
        )


async def main(given: argparse.Namespace) -> None:
    """Drive until both recordings are over."""
    cameras = [
        Camera(name, spikewatch.open_recording(path))
        for name, path in zip(NAMES, given.recordings, strict=True)
    ]
    async with spikewatch.AsyncClient(given.url, key=os.environ.get("SPIKEWATCH_KEY")) as client:
        start_s = time.monotonic()
        with given.out.open("w") as out:
            async with asyncio.TaskGroup() as drives:
                for camera in cameras:
                    drives.create_task(camera.drive(client, start_s, given.laps, out))
    print(*(camera.summary() for camera in cameras), f"results in {given.out}", sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "recordings", type=Path, nargs=2, metavar="RECORDING", help="front and rear, any format"
    )
    parser.add_argument("--out", type=Path, default=Path("drive.ndjson"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--laps", type=int, default=1, help="play the recordings this often")
    try:
        asyncio.run(main(parser.parse_args()))
    except* (spikewatch.ServiceError, spikewatch.IngestError) as errors:
        first: Any = errors.exceptions[0]
        raise SystemExit(f"two_cameras: {first.code}: {first}") from None
    except* OSError as errors:
        raise SystemExit(f"two_cameras: {errors.exceptions[0]}") from None
