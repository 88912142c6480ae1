"""A way to a service that can be cut, as a network is."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Relay:
    """Passes bytes on between clients and a port of this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stalled: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections; new ones may be made."""
        pairs, self._pairs = self._pairs, []
        for side in (side for pair in pairs for side in pair):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()

    def stall(self) -> None:
        """Keep the connections open, and pass nothing on any more, as a dead router does; new ones work."""
        self._stalled |= {side for pair in self._pairs for side in pair}

    def close(self) -> None:
        """Accept no more, then break all connections: one accepted just now is among them."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(*pair, self._stalled), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, stalled: set[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            if sink not in stalled:
                sink.sendall(data)
    if sink in stalled:
        return
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    running = Relay(port)
    try:
        yield running
    finally:
        running.close()
