"""The threads of uploads, and how many calls wait for them."""

import threading

from spikewatch.service.session_manager.upload_pool import UploadPool
from tests.service.support.live import Live
from tests.service.support.waiting import until


def test_calls_are_counted_until_they_end() -> None:
    with UploadPool(1) as pool:
        go_on = threading.Event()
        waiting = [pool.submit(go_on.wait) for _ in range(3)]
        assert pool.pending == 3
        assert waiting[2].cancel()
        assert pool.pending == 2
        go_on.set()
        until(lambda: pool.pending == 0)


def test_metrics_tell_threads_and_calls(live: Live) -> None:
    text = live.http.get("/metrics").text
    assert f"spikewatch_upload_threads {live.manager.settings.upload_threads:.1f}" in text
    go_on = threading.Event()
    live.manager.upload_pool.submit(go_on.wait)
    assert "spikewatch_upload_calls 1.0" in live.http.get("/metrics").text
    go_on.set()
