"""The clock of a recording that is played to a service."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.service.cli.stream_client import player
from spikewatch.service.cli.stream_client.player import PacedRecording

STEP_US = 100_000


class TenEvents:
    def chunks(self) -> Iterator[Events]:
        events = np.zeros(10, EVENT_DTYPE)
        events["t"] = np.arange(10) * STEP_US
        yield events


def test_feed_is_on_time_again_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 50.0
    sent: list[float] = []

    async def sleep(_self: PacedRecording, seconds: float) -> None:
        nonlocal now_s
        now_s += max(0.0, seconds)

    monkeypatch.setattr(player.time, "monotonic", lambda: now_s)
    monkeypatch.setattr(PacedRecording, "_sleep_or_stop", sleep)

    async def play() -> None:
        nonlocal now_s
        feed = PacedRecording(TenEvents(), 1.0, asyncio.Event())  # type: ignore[arg-type]
        async for _ in feed.read_from(0):
            sent.append(now_s)
            if len(sent) == 4:
                break
        now_s += 0.25  # without a connection; then again from the third event on
        sent.extend([now_s async for _ in feed.read_from(2 * 8)])

    asyncio.run(play())
    assert [round(at_s - 50, 6) for at_s in sent] == [
        0,
        0.1,
        0.2,
        0.3,
        0.55,
        0.55,
        0.55,
        0.55,
        0.6,
        0.7,
        0.8,
        0.9,
    ]
