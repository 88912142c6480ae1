"""The sockets of the service, bound before anything else is done."""

import resource
import socket
from collections.abc import Sequence
from contextlib import suppress


def raise_descriptor_limit() -> None:
    """Let the process open as many files as the system allows: each connection needs one of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS accepts no infinite limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bind(host: str, port: int) -> list[socket.socket]:
    """Return a bound socket for each address of `host`; they do not listen yet. `::` takes IPv4 too.

    Raises:
        OSError: an address cannot be used, or its port is taken; the error names them.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sockets.append(listener := socket.socket(family, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                both = host == "::" and socket.has_dualstack_ipv6()
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
            listener.bind(address)
    except OSError as error:
        for opened in sockets:
            opened.close()
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot listen there: {reason}", f"{host} port {port}") from None
    return sockets


def display_address(host: str, sockets: Sequence[socket.socket]) -> str:
    """Return host and port as in a URL; the port that was chosen if the setting is 0."""
    port: int = sockets[0].getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
