"""What is left of a model in the metrics once it has been unloaded."""

import threading
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.detector import Detector
from tests.service.support.live import dat_file
from tests.service.support.many import ask, loaded, many, memory_of, save, third_detector, variant
from tests.service.support.waiting import until

pytestmark = pytest.mark.slow


def test_batch_outliving_its_sessions_leaves_no_gauges(detector: Detector, tmp_path: Path) -> None:
    """An upload is forgotten at once, its batch runs on; a model unloaded meanwhile stays unloaded."""
    weights = save(tmp_path / "weights", a=variant("a", 2), third=third_detector())
    with many(detector, weights) as live:
        budget = memory_of(live, "default", "a") + 1000
    with many(detector, weights, model_memory_bytes=budget) as live:
        live.http.delete(f"/v1/sessions/{ask(live, 'a').json()['session_id']}")
        engine = live.manager.models.get("a").engine
        begun, on, run = threading.Event(), threading.Event(), engine.run

        def slow(batch: Any) -> Any:
            begun.set()
            assert on.wait(120)
            return run(batch)

        engine.run = slow
        query = {"weights": "a", "job_id": "gone"}
        uploading = threading.Thread(
            target=lambda: live.http.post("/v1/detections", params=query, content=dat_file(20))
        )
        uploading.start()
        assert begun.wait(120)
        assert live.http.delete("/v1/detections/gone").status_code == 204
        asking = threading.Thread(target=lambda: ask(live, "third"))
        asking.start()
        until(lambda: "a" not in loaded(live))
        on.set()
        asking.join()
        uploading.join()
        assert "third" in loaded(live)
        lines = [line for line in live.http.get("/metrics").text.splitlines() if 'model="a"' in line]
        gauges = ("spikewatch_firing_rate", "spikewatch_degraded_layers", "spikewatch_sessions{")
        assert [line for line in lines if line.startswith(gauges)] == []
        assert any(line.startswith("spikewatch_batch_size_count") for line in lines), "counters stay"
