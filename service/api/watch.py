"""Looking on at a session: what the viewer draws. A slow watcher misses slices and slows nobody down."""

import asyncio
import base64
import io
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from PIL import Image

from spikewatch.model.letterbox import Letterbox
from spikewatch.model.spec import ModelSpec
from spikewatch.service.api.dependencies import get_caller, get_session
from spikewatch.service.api.sessions import session_info
from spikewatch.service.api.stream import say_error
from spikewatch.service.errors import ServiceError, WatchersFull
from spikewatch.service.inference.serialize import detection_messages
from spikewatch.service.inference.tracker import Tracks, follow
from spikewatch.service.inference.window import InputSlice, WindowResult
from spikewatch.service.output.drawing import BOTH, GROUND, OFF, ON
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session
from spikewatch.service.sessions.watchers import Sight

router = APIRouter()

PALETTE = (*GROUND, *OFF, *ON, *BOTH)


@router.websocket("/v1/sessions/{session_id}/watch")
async def watch(socket: WebSocket, session_id: str) -> None:
    """Say what the session is, then send each slice as a small picture and each result with its layers."""
    host: SessionHost = socket.app.state.manager
    await socket.accept()
    try:
        session = get_session(session_id, host, get_caller(socket))
        if len(session.watchers) >= host.settings.max_watchers:
            raise WatchersFull(f"{host.settings.max_watchers} already look on at this session")
    except ServiceError as error:
        host.metrics.refused.labels(error.code).inc()
        await say_error(socket, error)
        await socket.close(1008, error.code)
        return
    with session.watchers.subscribe(host.metrics.missed_slices.inc) as sight:
        gone = asyncio.create_task(_until_gone(socket))
        show = asyncio.create_task(Onlooker(socket, session, host).show(sight))
        await asyncio.wait({gone, show}, return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, show):
            task.cancel()
        _, shown = await asyncio.gather(gone, show, return_exceptions=True)
    if isinstance(shown, Exception) and not isinstance(shown, WebSocketDisconnect):
        raise shown  # the guard tells the client


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


class Onlooker:
    """One who watches; follows the boxes of a session that does not follow them itself."""

    def __init__(self, socket: WebSocket, session: Session, host: SessionHost) -> None:
        self._socket = socket
        self._session = session
        self._host = host
        self._spec = session.model.spec
        self._tracks = Tracks()
        self._end_us: int | None = None

    async def show(self, sight: Sight) -> None:
        """Send all there is to see until the session ends, and say why it did."""
        await self._say("session", self._info())
        while (item := await sight.get()) is not None:
            if isinstance(item, WindowResult):
                await self._say("window", self._window(item))
            elif self._session.lane is not None:
                shown = await self._slice(item, self._session.lane.sensor)
                await self._say("slice", {**shown, "missed_slices": sight.missed_slices})
        try:
            await self._say("closed", self._ending())
            await self._socket.close(1000)
        except (RuntimeError, WebSocketDisconnect):
            return

    def _info(self) -> dict[str, Any]:
        info = session_info(self._session, self._host).model_dump(exclude={"layer_rates", "layer_energy_mj"})
        return {**info, "class_names": self._spec.class_names}

    def _ending(self) -> dict[str, Any]:
        resumable = self._host.keeper.holds(self._session.id)
        return {
            "reason": self._session.reason,
            "detail": str(self._session.closed),
            "resumable": resumable,
        }

    def _window(self, result: WindowResult) -> dict[str, Any]:
        ids = result.track_ids
        if ids is None:
            self._tracks, ids = follow(self._tracks, result.detections)
        boxes = detection_messages(result.detections, self._spec.class_names, ids)
        window = self._session.window(result).model_dump()
        window["detections"] = [box.model_dump() for box in boxes]
        return {**window, "layer_rates": result.layer_rates}

    async def _slice(self, part: InputSlice, sensor: tuple[int, int]) -> dict[str, Any]:
        if part.discontinuity or part.t0_us < (self._end_us or part.t0_us):
            self._tracks = self._tracks.forget()
        self._end_us = part.t1_us
        png = await asyncio.to_thread(picture, part, Letterbox.fit(*sensor, self._spec), self._spec)
        return {
            "t0_us": part.t0_us,
            "t1_us": part.t1_us,
            "events": part.n_events,
            "sensor": sensor,
            "png": base64.b64encode(png).decode(),
        }

    async def _say(self, kind: str, content: dict[str, Any]) -> None:
        await self._socket.send_json({"type": kind, **content})


def picture(part: InputSlice, box: Letterbox, spec: ModelSpec) -> bytes:
    """What the network sees of a slice, without its border, as a PNG of four colours."""
    frame = part.frame[:, box.top : box.top + box.height, box.left : box.left + box.width].numpy()
    if spec.representation == "latest_polarity":
        off, on = frame[0] < 0.25, frame[0] > 0.75
    else:
        off, on = frame[0] > 0, frame[1] > 0
    image = Image.fromarray((off + 2 * on).astype(np.uint8), mode="P")
    image.putpalette(PALETTE)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
