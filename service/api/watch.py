"""Looking on at a session: what the viewer draws. A slow watcher misses slices and slows nobody down."""

import asyncio
import base64
import io

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from PIL import Image

from model.letterbox import Letterbox
from model.spec import ModelSpec
from service.api.sessions import get_caller, get_session
from service.api.stream import say_error
from service.errors import ServiceError, WatchersFull
from service.host import SessionHost
from service.session import Session
from service.window import InputSlice, WindowResult

router = APIRouter()

PALETTE = (14, 17, 22, 71, 133, 255, 255, 176, 59, 235, 235, 245)
"""RGB of: no event, OFF, ON, both."""


@router.websocket("/v1/sessions/{session_id}/watch")
async def watch(socket: WebSocket, session_id: str) -> None:
    """Send each slice as a small picture (PNG, base64) and each result with its firing rates by layer."""
    host: SessionHost = socket.app.state.host
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
    gone = asyncio.create_task(_until_gone(socket))
    show = asyncio.create_task(_show(socket, session, host.detector.spec))
    await asyncio.wait({gone, show}, return_when=asyncio.FIRST_COMPLETED)
    for task in (gone, show):
        task.cancel()
    _, shown = await asyncio.gather(gone, show, return_exceptions=True)
    if isinstance(shown, Exception) and not isinstance(shown, WebSocketDisconnect):
        raise shown  # the guard tells the client


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _show(socket: WebSocket, session: Session, spec: ModelSpec) -> None:
    with session.watchers.subscribe() as queue:
        while (item := await queue.get()) is not None:
            if isinstance(item, WindowResult):
                window = session.window(item).model_dump()
                await socket.send_json({"type": "window", **window, "layer_rates": item.layer_rates})
            elif session.lane is not None:
                box = Letterbox.fit(*session.lane.sensor, spec)
                png = await asyncio.to_thread(picture, item, box, spec)
                await socket.send_json(
                    {
                        "type": "slice",
                        "t0_us": item.t0_us,
                        "t1_us": item.t1_us,
                        "events": item.n_events,
                        "sensor": session.lane.sensor,
                        "png": base64.b64encode(png).decode(),
                    }
                )
    try:
        await socket.send_json({"type": "closed", "reason": session.reason, "detail": str(session.closed)})
        await socket.close(1000)
    except (RuntimeError, WebSocketDisconnect):
        return


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
