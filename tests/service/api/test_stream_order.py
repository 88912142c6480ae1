"""The order of messages for a client that reads slowly."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.websockets import WebSocketState

from spikewatch.model.detector import Detector
from spikewatch.service.api.stream import StreamConnection
from spikewatch.service.auth.principal import Principal
from spikewatch.service.inference.options import session_options
from spikewatch.service.schemas import SessionRequest
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.settings import Settings
from tests.service.support.live import HEIGHT, WIDTH, dat_stream

SLICES = 12


class SlowSocket:
    """Socket of a client that sends its texts at once, and is slow to read each window."""

    def __init__(self, *messages: bytes | str) -> None:
        self._messages = list(messages)
        self.application_state = self.client_state = WebSocketState.CONNECTED
        self.taken: list[str] = []

    async def receive(self) -> dict[str, Any]:
        message = self._messages.pop(0)
        return {"type": "websocket.receive", "bytes" if isinstance(message, bytes) else "text": message}

    async def send_text(self, text: str) -> None:
        await asyncio.sleep(0.02)
        self.taken.append("window")

    async def send_json(self, content: dict[str, Any]) -> None:
        self.taken.append(content["type"])

    async def close(self, code: int, reason: str) -> None:
        self.taken.append(reason)


async def converse(socket: SlowSocket, detector: Detector) -> None:
    manager = SessionManager(detector, Settings(max_sessions=1), CollectorRegistry())
    await manager.start()
    wanted = SessionRequest(width=WIDTH, height=HEIGHT, hop=1)
    caller = Principal("anyone", None)
    session = await manager.create(
        manager.models.catalog.default, session_options(wanted, detector.spec), caller
    )
    await StreamConnection(socket, session, manager).run()  # type: ignore[arg-type]
    await manager.stop()


@pytest.mark.parametrize(("word", "answer"), [("flush", "flushed"), ("reset", "reset")])
def test_answer_follows_all_earlier_windows(detector: Detector, word: str, answer: str) -> None:
    socket = SlowSocket(dat_stream(SLICES), word, "close")
    asyncio.run(converse(socket, detector))
    windows = ["window"] * (len(socket.taken) - 4)
    assert len(windows) >= SLICES
    assert socket.taken == ["ready", *windows, answer, "closed", "client"]
