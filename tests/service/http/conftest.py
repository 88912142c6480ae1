"""A service with short timeouts, shared by the tests of HTTP and of WebSocket limits."""

from collections.abc import Iterator

import pytest

from spikewatch.model.detector import Detector
from tests.service.support.live import Live, live_service
from tests.service.support.sockets import HEAD_S, IDLE_S, send_through_small_buffers


@pytest.fixture(scope="package")
def hasty(detector: Detector) -> Iterator[Live]:
    """A service with little patience."""
    limits = {"header_timeout_s": HEAD_S, "idle_timeout_s": IDLE_S, "max_header_bytes": 8192}
    with live_service(detector, min_body_bytes_per_s=100_000, **limits) as live:
        send_through_small_buffers(live)
        yield live
