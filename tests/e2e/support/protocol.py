"""docs/protocol.md as data, and a client that knows nothing else."""

import json
import re
from contextlib import ExitStack, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
(SCHEMA,) = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
VALIDATOR = Draft202012Validator(SCHEMA)
KNOWN = set(SCHEMA["$defs"]["other"]["properties"]["type"]["not"]["enum"])
ANSWER_S = 240.0

Message = dict[str, Any]


def table(first_column: str) -> list[dict[str, str]]:
    """Rows of the page's table with this first column, by column."""
    lines = [line.strip() for line in PAGE.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    head, _, *rows = ([cell.strip() for cell in row.strip("|").split("|")] for row in table_at(lines[start:]))
    return [dict(zip(head, row, strict=True)) for row in rows]


def table_at(lines: list[str]) -> list[str]:
    return list(takewhile(lambda line: line.startswith("|"), lines))


def codes(text: str) -> list[str]:
    """What stands in a cell `so`."""
    return re.findall(r"`(\w+)`", text)


def record(t_us: int, x: int, y: int, polarity: int) -> bytes:
    """One event of the format `dat`."""
    return t_us.to_bytes(4, "little") + (x | y << 14 | polarity << 28).to_bytes(4, "little")


class Client:
    """One connection; checks every message against the schema."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.first = self.next()

    def next(self) -> Message:
        """The next message of a type that the page knows."""
        while True:
            message: Message = json.loads(self.socket.recv(ANSWER_S))
            VALIDATOR.validate(message)
            if message["type"] in KNOWN:
                return message

    def rest(self) -> list[Message]:
        """All messages until the service closes the connection."""
        messages = []
        try:
            while True:
                messages.append(self.next())
        except ConnectionClosed:
            return messages

    def until(self, kind: str) -> list[Message]:
        """All messages up to one of this type, that included."""
        messages = [self.next()]
        while messages[-1]["type"] != kind:
            messages.append(self.next())
        return messages

    @property
    def ending(self) -> tuple[int | None, str | None]:
        """Code and text of the service's close frame."""
        return self.socket.close_code, self.socket.close_reason

    def send(self, *payloads: bytes | str) -> None:
        """Send messages."""
        for payload in payloads:
            self.socket.send(payload)


class Caller(ExitStack):
    """Opens sessions and connections at one service; leaves none behind."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.http = self.enter_context(httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False))

    def open(self, **wanted: Any) -> Message:
        """Step 1 of the page."""
        answer = self.http.post("/v1/sessions", json=wanted)
        assert answer.status_code == 201, answer.text
        session: Message = answer.json()
        self.callback(self._end, session["session_id"])
        return session

    def _end(self, session_id: str) -> None:
        """Free its slot; the service may have been stopped meanwhile."""
        with suppress(httpx.TransportError):
            self.http.delete(f"/v1/sessions/{session_id}")

    def connect(self, stream_url: str) -> Client:
        """Steps 2 and 3."""
        address = self.url.replace("http", "ws", 1) + stream_url
        return Client(
            self.enter_context(connect(address, compression=None, ping_interval=None, max_size=None))
        )

    def start(self, **wanted: Any) -> tuple[Message, Client]:
        """All steps."""
        session = self.open(**wanted)
        return session, self.connect(session["stream_url"])
