"""A headless Chromium, driven over its DevTools protocol."""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)
START_S = 240.0
ANSWER_S = 240.0
POLL_S = 0.2


class Page:
    """One tab: evaluates JavaScript, remembers what the page complained of."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last_id = 0
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command of the protocol and give its result."""
        self._last_id += 1
        self._socket.send(json.dumps({"id": self._last_id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(ANSWER_S))
            if message.get("id") == self._last_id:
                assert "error" not in message, message["error"]
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        """Pretend to have a screen of this size in CSS pixels."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; promises are awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, limit_s: float) -> Any:
        """Evaluate until the value is truthy, and give it."""
        deadline = time.monotonic() + limit_s
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {expression}; {self.complaints}"
            time.sleep(POLL_S)
        return value

    def screenshot(self, path: Path) -> None:
        """Save what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def drop(self, files: list[Path], x: float = 300, y: float = 300) -> None:
        """Drag files onto the page and let go."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def _note(self, event: dict[str, Any]) -> None:
        what = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(what["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if what["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(what["args"]))
            case "Log.entryAdded" if what["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")


@contextmanager
def chromium_page(program: str, profile: Path) -> Iterator[Page]:
    """A blank page in a Chromium of its own; `profile` is an empty folder."""
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            port_file = profile / "DevToolsActivePort"
            _until(lambda: port_file.is_file() and "\n" in port_file.read_text(), "Chromium did not start")
            port = int(port_file.read_text().split()[0])
            with connect(_page_address(port), max_size=None, proxy=None, ping_interval=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()


def _page_address(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=ANSWER_S) as answer:
        targets = json.load(answer)
    return next(str(t["webSocketDebuggerUrl"]) for t in targets if t["type"] == "page")


def _until(done: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + START_S
    while not done():
        assert time.monotonic() < deadline, complaint
        time.sleep(POLL_S)
