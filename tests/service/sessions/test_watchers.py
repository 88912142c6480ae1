"""Watchers of a session, and uploads that wait for a watcher."""

import asyncio
import base64
import io
import json
import threading
from typing import Any

import numpy as np
import pytest
import websockets
from PIL import Image

from spikewatch.service.api import watch
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.sessions.watchers import SUBSCRIPTION_QUEUE_SIZE, Broadcast, SharedSlice
from tests.service.support.live import (
    HEIGHT,
    WIDTH,
    Live,
    comparable,
    dat_file,
    dat_stream,
    talk,
    upload,
)
from tests.service.support.shared import SharedServices
from tests.service.support.streams import watching

LOW = {"confidence": 0.001}
ID = "0123456789abcdef0123456789abcdef"


def watched_upload(live: Live, session_id: str, data: bytes) -> tuple[list[dict[str, Any]], Any]:
    """Return the messages of a watcher, and the response to the upload."""
    answers: list[Any] = []
    query = {"watched_as": session_id, "hop": 1, **LOW}
    post = threading.Thread(
        target=lambda: answers.append(live.http.post("/v1/detections", content=data, params=query))
    )
    post.start()
    while True:
        with watching(live, session_id) as socket:
            messages = talk(socket)
        if messages[0]["type"] != "error" or messages[0]["code"] != "session_unknown":
            break
    post.join()
    return messages, answers[0]


def test_watched_upload_starts_with_its_first_watcher(live: Live) -> None:
    messages, answer = watched_upload(live, ID, dat_file(10))
    assert messages[0]["type"] == "session"
    assert (messages[0]["session_id"], messages[0]["class_names"]) == (ID, ["car", "pedestrian"])
    kinds = [m["type"] for m in messages]
    assert kinds == ["session", *["slice", "window"] * 10, "closed"]
    assert messages[-1]["reason"] == "client"
    (line,) = answer.text.splitlines()
    assert json.loads(line)["summary"]["windows"] == 10

    expected, _ = upload(live, dat_file(10), hop=1, track=True, **LOW)
    seen = [m for m in messages if m["type"] == "window"]
    assert all(m.pop("layer_rates") for m in seen)
    assert comparable(seen) == comparable(expected), "followed for those who look on, asked for or not"


def test_slice_is_an_image_of_counts_in_four_hues(live: Live) -> None:
    messages, _ = watched_upload(live, ID[::-1], dat_file(1))
    (part,) = (m for m in messages if m["type"] == "slice")
    assert (part["events"], part["sensor"]) == (300, [WIDTH, HEIGHT])
    picture = Image.open(io.BytesIO(base64.b64decode(part["png"]))).convert("RGB")
    assert picture.size == (WIDTH, HEIGHT), "at the sensor's resolution"
    red, green, blue = np.moveaxis(np.asarray(picture), 2, 0)
    assert {int(value) for value in np.unique(red)} == {13, 58, 214, 250}
    off, on = green & 15, blue & 15
    assert int(off.sum()) + int(on.sum()) == part["events"]
    np.testing.assert_array_equal(
        red, np.array([[13, 58], [214, 250]])[(on > 0).astype(int), (off > 0).astype(int)]
    )


def test_watched_id_in_use_is_rejected(live: Live) -> None:
    used = live.open(session_id=ID[1:] + "0")
    answer = live.http.post("/v1/detections", content=dat_file(1), params={"watched_as": used})
    assert (answer.status_code, answer.json()["code"]) == (409, "session_exists")
    live.http.delete(f"/v1/sessions/{used}")


@pytest.mark.parametrize("wrong", ["", "short", ID.upper(), ID + "0", "../" + ID[3:]])
def test_malformed_watched_id_is_rejected(live: Live, wrong: str) -> None:
    answer = live.http.post("/v1/detections", content=dat_file(1), params={"watched_as": wrong})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_tracks_for_watchers_end_at_a_reset(live: Live) -> None:
    session_id = live.open(hop=1, **LOW)
    with watching(live, session_id) as watcher:
        socket = live.connect(session_id)
        for _ in range(2):
            socket.send(dat_file(1))
            socket.send("reset")
        socket.send("close")
        talk(socket)
        windows = [m for m in talk(watcher) if m["type"] == "window"]
    first, second = ([box["track_id"] for box in w["detections"]] for w in windows)
    assert first
    assert not set(first) & set(second)


def test_slices_missed_by_slow_watchers_are_counted() -> None:
    """Results may be missed too, but only missed slices are counted."""

    async def missed() -> tuple[int, int]:
        missed: list[int] = []
        watchers = Broadcast(asyncio.get_running_loop())
        part = SharedSlice(InputSlice(0, 1, 0, False, np.zeros(1, np.float32), 0.0))
        with watchers.subscribe(lambda: missed.append(1)) as subscription:
            for item in (None, *[part] * (SUBSCRIPTION_QUEUE_SIZE + 2)):
                subscription.offer(item)
            return subscription.missed_slices, len(missed)

    assert asyncio.run(missed()) == (2, 2)


def test_picture_of_a_slice_is_drawn_once_for_all_watchers() -> None:
    drawn: list[InputSlice] = []

    def draw(part: InputSlice) -> str:
        drawn.append(part)
        return "picture"

    async def pictures() -> list[str]:
        shared = SharedSlice(InputSlice(0, 1, 0, False, np.zeros(1, np.float32), 0.0))
        return await asyncio.gather(*(shared.picture(draw) for _ in range(16)))

    assert asyncio.run(pictures()) == ["picture"] * 16
    assert len(drawn) == 1


def test_slow_image_encoding_makes_a_watcher_miss_slices(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = threading.Event()
    monkeypatch.setattr(watch, "slice_png", lambda *_: (drawn.wait(120), "")[1])
    before, session_id = live.metric("spikewatch_missed_slices_total"), live.open()
    with watching(live, session_id) as watcher:
        watcher.recv()
        live.http.post(f"/v1/sessions/{session_id}/events", content=dat_stream(50)).raise_for_status()
        drawn.set()
        live.http.delete(f"/v1/sessions/{session_id}")
        missed = max(m["missed_slices"] for m in talk(watcher) if m["type"] == "slice")
    assert live.metric("spikewatch_missed_slices_total") - before == missed > 0


def test_simultaneous_watchers_are_counted(services: SharedServices) -> None:
    live = services(max_watchers=2)
    session_id = live.open()

    async def first_messages() -> list[str]:
        address = f"{live.ws_url}/v1/sessions/{session_id}/watch"
        sockets = await asyncio.gather(*(websockets.connect(address) for _ in range(10)))
        kinds = [json.loads(text)["type"] for text in await asyncio.gather(*(s.recv() for s in sockets))]
        await asyncio.gather(*(socket.close() for socket in sockets))
        return kinds

    assert sorted(asyncio.run(first_messages())) == ["error"] * 8 + ["session"] * 2
