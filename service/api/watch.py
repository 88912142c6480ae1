"""The WebSocket of watchers: slices and results for the viewer. Slow watchers miss slices."""

import base64
import io
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from numpy.typing import NDArray
from PIL import Image

from spikewatch.model.letterbox import Letterbox
from spikewatch.model.spec import ModelSpec
from spikewatch.service.api.dependencies import get_client, get_session
from spikewatch.service.api.stream import refuse, send_error, session_message
from spikewatch.service.errors import BadRequest, ServiceError, TooManyWatchers
from spikewatch.service.inference.event_counts import pack_counts
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.tracker import Tracks, update_tracks
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.output.drawing import BACKGROUND, BOTH_COLOUR, OFF_COLOUR, ON_COLOUR
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session
from spikewatch.service.sessions.watchers import SharedSlice, Subscription
from spikewatch.service.tasks import run_beside

router = APIRouter()

PNG_COMPRESSION = 1
"""Of zlib: a fifth of the default's time for an eighth more bytes in dense scenes."""


def _palette() -> list[int]:
    """Return a colour for each packed count: green ends in four bits of OFF events, blue of ON events."""
    colours: list[int] = []
    for counts in range(256):
        off, on = counts & 15, counts >> 4
        red, green, blue = ((BACKGROUND, OFF_COLOUR), (ON_COLOUR, BOTH_COLOUR))[on > 0][off > 0]
        colours += red, green & 0xF0 | off, blue & 0xF0 | on
    return colours


PALETTE = _palette()


@router.websocket("/v1/sessions/{session_id}/watch")
async def watch(socket: WebSocket, session_id: str) -> None:
    """Send the session, then each slice as an image and each result with the rates of its layers."""
    manager: SessionManager = socket.app.state.manager
    await socket.accept()
    try:
        session = await get_session(session_id, manager, get_client(socket))
        if len(session.watchers) >= manager.settings.max_watchers:
            raise TooManyWatchers(f"session {session_id} already has {len(session.watchers)} watchers")
    except ServiceError as error:
        await refuse(socket, error, manager)
        return
    viewer = ViewerConnection(socket, session, manager)
    on_miss = manager.metrics.missed_slices.inc
    with suppress(WebSocketDisconnect), session.watchers.subscribe(on_miss) as subscription:
        try:
            await run_beside(viewer.run(subscription), _raise_on_message(socket))
        except BadRequest as error:
            manager.metrics.refused.labels(error.code).inc()
            await send_error(socket, error)
            await socket.close(1003, error.code)


async def _raise_on_message(socket: WebSocket) -> None:
    """Wait for the end of the connection.

    Raises:
        BadRequest: the watcher has sent data.
        WebSocketDisconnect: the connection has ended.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    size = len(message.get("bytes") or message.get("text") or "")
    raise BadRequest(f"watchers may send control frames only; this one sent a message of {size} bytes")


class ViewerConnection:
    """Connection of one watcher. Tracks boxes itself if the session does not track them."""

    def __init__(self, socket: WebSocket, session: Session, manager: SessionManager) -> None:
        self._socket = socket
        self._session = session
        self._manager = manager
        self._spec = session.model.spec
        self._tracks = Tracks()
        self._last_end_us: int | None = None

    async def run(self, subscription: Subscription) -> None:
        """Send slices and results until the session ends, then the reason of its end."""
        info = session_message(self._session, self._manager)
        await self._send("session", {**info, "class_names": self._spec.class_names})
        while (item := await subscription.get()) is not None:
            if isinstance(item, WindowResult):
                await self._send("window", self._window_message(item))
            elif self._session.sequence is not None:
                message = await self._slice_message(item, self._session.sequence.sensor_size)
                await self._send("slice", {**message, "missed_slices": subscription.missed_slices})
        try:
            await self._send("closed", self._closed_message())
            await self._socket.close(1000)
        except (RuntimeError, WebSocketDisconnect):
            return

    def _closed_message(self) -> dict[str, Any]:
        resumable = self._manager.snapshots.has_snapshot(self._session.id)
        return {
            "reason": self._session.lifecycle.reason,
            "detail": str(self._session.close_error),
            "resumable": resumable,
        }

    def _window_message(self, result: WindowResult) -> dict[str, Any]:
        ids = result.track_ids
        if ids is None:
            self._tracks, ids = update_tracks(self._tracks, result.detections)
        labels, dropped = self._spec.class_names, self._session.dropped_windows
        window = window_message(replace(result, track_ids=ids), labels, self._spec.training, dropped)
        return {**window.model_dump(), "layer_rates": result.layer_rates}

    async def _slice_message(self, shared: SharedSlice, sensor_size: tuple[int, int]) -> dict[str, Any]:
        slice_ = shared.slice_
        if slice_.discontinuity or slice_.t0_us < (self._last_end_us or slice_.t0_us):
            self._tracks = self._tracks.reset()
        self._last_end_us = slice_.t1_us
        letterbox = Letterbox.fit(*sensor_size, self._spec)
        return {
            "t0_us": slice_.t0_us,
            "t1_us": slice_.t1_us,
            "events": slice_.n_events,
            "sensor": sensor_size,
            "png": await shared.picture(lambda part: slice_png(part, letterbox, self._spec)),
        }

    async def _send(self, type_name: str, content: dict[str, Any]) -> None:
        await self._socket.send_json({"type": type_name, **content})


def slice_png(slice_: InputSlice, letterbox: Letterbox, spec: ModelSpec) -> str:
    """Return the events of a slice as a PNG in base64, in PALETTE's colours.

    At the sensor's resolution. Of slices prepared before anybody watched, only the network's input is left.
    """
    counts = slice_.counts
    image = Image.fromarray(_input_counts(slice_, letterbox, spec) if counts is None else counts, mode="P")
    image.putpalette(PALETTE)
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=PNG_COMPRESSION)
    return base64.b64encode(file.getvalue()).decode()


def _input_counts(slice_: InputSlice, letterbox: Letterbox, spec: ModelSpec) -> NDArray[np.uint8]:
    """Return the counts of the network's input, without its border."""
    rows = slice(letterbox.top, letterbox.top + letterbox.height)
    columns = slice(letterbox.left, letterbox.left + letterbox.width)
    frame = slice_.frame[:, rows, columns]
    if spec.representation == "latest_polarity":
        return pack_counts(np.rint(frame[:1] * 255))
    return pack_counts(np.ceil(frame * spec.count_cap))
