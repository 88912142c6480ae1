"""Send a recording and print what is seen: python examples/client.py service/assets/street_td.dat"""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import websockets


async def send(socket: websockets.ClientConnection, data: bytes, piece_bytes: int = 16_384) -> None:
    """Pieces, split anywhere; waits while the service is busy."""
    for start in range(0, len(data), piece_bytes):
        await socket.send(data[start : start + piece_bytes])
    await socket.send("close")


def show(message: dict[str, Any]) -> None:
    if message["type"] == "window":
        boxes = message["detections"]
        first = "".join(f", a {b['label']} at {b['x']:.0f},{b['y']:.0f}" for b in boxes[:1])
        print(f"{message['t_end_us'] / 1e6:7.3f} s {message['events']:7} events {len(boxes):3} boxes{first}")
    elif message["type"] == "error" or message.get("reason", "client") != "client":
        raise SystemExit(f"{message.get('code', 'closed')}: {message['detail']}")
    elif message["type"] == "closed":
        windows, spent = message["totals"]["windows"], message["totals"]["energy_mj"]
        print(f"{windows} windows, estimated {spent['snn']:.1f} mJ; as an ANN {spent['ann']:.1f} mJ")


async def main(data: bytes, url: str, wanted: dict[str, Any]) -> None:
    """Open a session; then send and read at the same time."""
    key = {"X-API-Key": os.environ["SPIKEWATCH_KEY"]} if "SPIKEWATCH_KEY" in os.environ else {}
    answer = httpx.post(f"{url}/v1/sessions", json=wanted, headers=key)
    if answer.is_error:
        raise SystemExit(answer.text)
    address = url.replace("http", "ws", 1) + answer.json()["stream_url"]
    async with websockets.connect(address, ping_interval=None, additional_headers=key) as socket:
        sending = asyncio.create_task(send(socket, data))
        try:
            async for text in socket:
                show(json.loads(text))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("recording", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service (make serve)")
    parser.add_argument("--format", default="dat", help="dat, evt2, evt21 or evt3")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.recording.read_bytes(), given.url, {"format": given.format}))
    except (OSError, httpx.HTTPError, websockets.WebSocketException) as error:
        raise SystemExit(str(error)) from None
