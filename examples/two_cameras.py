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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import httpx
import numpy as np
import websockets

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording

PIECE_US = 20_000
NAMES = ("front", "rear")
KEY = {"X-API-Key": os.environ["SPIKEWATCH_KEY"]} if "SPIKEWATCH_KEY" in os.environ else {}


class Ended(Exception):
    """The service refused or ended a session; the message is its own."""


@dataclass
class Camera:
    """One recording, the session it feeds, and what came back."""

    name: str
    recording: Recording
    stream_url: str
    latencies_ms: list[float] = field(default_factory=list)
    totals: dict[str, Any] = field(default_factory=dict)

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

    async def send(self, socket: websockets.ClientConnection, start_s: float, laps: int) -> None:
        """Play the recording at its own pace."""
        for due_s, records in self.pieces(laps):
            await asyncio.sleep(max(0.0, start_s + due_s - time.monotonic()))
            await socket.send(records)
        await socket.send("close")

    async def drive(self, start_s: float, laps: int, out: TextIO) -> None:
        """Send and receive until the service has answered everything."""
        async with websockets.connect(
            self.stream_url, compression=None, ping_interval=None, additional_headers=KEY
        ) as socket:
            sending = asyncio.create_task(self.send(socket, start_s, laps))
            try:
                async for text in socket:
                    self.take(json.loads(text), out)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def take(self, message: dict[str, Any], out: TextIO) -> None:
        """Write a window, remember the end, stop at an error."""
        match message.pop("type"):
            case "window":
                line = {"camera": self.name, "received_s": round(time.time(), 3), **message}
                print(json.dumps(line), file=out, flush=True)
                self.latencies_ms.append(message["latency_ms"])
                self.show(message)
            case "error":
                raise Ended(f"{self.name}: {message['detail']}")
            case "closed":
                self.totals = message["totals"]
                if message["reason"] != "client":
                    raise Ended(f"{self.name}: {message['detail']}")

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


def mount(name: str, path: Path, url: str) -> Camera:
    """Open a recording, and a live session that takes it."""
    recording = open_recording(path)
    width, height = recording.sensor_size()
    wanted = {"format": "dat", "width": width, "height": height, "policy": "drop_oldest"}
    answer = httpx.post(f"{url}/v1/sessions", json=wanted, headers=KEY)
    if answer.is_error:
        raise Ended(answer.text)
    return Camera(name, recording, url.replace("http", "ws", 1) + answer.json()["stream_url"])


async def main(given: argparse.Namespace) -> None:
    """Drive until both recordings are over."""
    cameras = [mount(name, path, given.url) for name, path in zip(NAMES, given.recordings, strict=True)]
    start_s = time.monotonic()
    with given.out.open("w") as out:
        await asyncio.gather(*(camera.drive(start_s, given.laps, out) for camera in cameras))
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
    except (Ended, OSError, IngestError, httpx.HTTPError, websockets.WebSocketException) as error:
        raise SystemExit(f"two_cameras: {error}") from None
