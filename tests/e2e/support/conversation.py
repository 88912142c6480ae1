"""Conversations with a service as docs/protocol.md describes them."""

import random
import threading
from typing import Any

from tests.e2e.support.protocol import Caller, Client, Message, record
from tests.service.support.live import Live

SLICE_US, HOP = 10_000, 2
SENSOR = {"width": 90, "height": 60}
LIVELY = SENSOR | {"slice_us": SLICE_US, "slices": HOP, "confidence": 0.001}
KEPT = 4
"""Results that wait, or may be read again."""


def events(slices: int, first: int = 0, per_slice: int = 200) -> bytes:
    """Random events, so many in each slice from the slice `first` on."""
    rng = random.Random(first)
    pieces = []
    for n in range(first, first + slices):
        times = sorted(rng.randrange(n * SLICE_US, (n + 1) * SLICE_US) for _ in range(per_slice))
        pieces += [record(t, rng.randrange(90), rng.randrange(60), rng.randrange(2)) for t in times]
    return b"".join(pieces)


def talk(caller: Caller, *payloads: bytes | str, **wanted: Any) -> tuple[list[Message], Client]:
    """Open, send all, read all."""
    _, client = caller.start(**LIVELY | wanted)
    client.send(*payloads)
    return [client.first, *client.rest()], client


def windows(messages: list[Message]) -> list[Message]:
    return [m for m in messages if m["type"] == "window"]


def same(messages: list[Message]) -> list[Message]:
    """Windows, but for what a clock makes."""
    return [{k: v for k, v in m.items() if k != "latency_ms"} for m in windows(messages)]


def split(data: bytes, seed: int) -> list[bytes]:
    rng, pieces = random.Random(seed), []
    while data:
        size = rng.choice((0, 1, 3, 8, 500, 5000))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def hold_back(live: Live) -> threading.Event:
    """Keep the detector from its work until the event is set."""
    held = threading.Event()
    live.model.submit(lambda _engine: held.wait(120))
    return held
