"""Loading on demand: once for all who ask, within a budget, off the event loop; unloading frees memory."""

import asyncio
import gc
import re
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.checkpoints.checkpoint import load_detector, save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.model.network.state import StateBank
from spikewatch.service.model_catalog import load_weights
from spikewatch.service.scheduling import model_pool
from spikewatch.service.scheduling.loaded_model import LoadedModel
from tests.model.support.fakes import small_detector
from tests.service.support.http_client import problem
from tests.service.support.live import Live, backwards, comparable, dat_file, upload
from tests.service.support.many import (
    LOW,
    ask,
    at_once,
    listing,
    loaded,
    many,
    memory_of,
    other_detector,
    save,
    variant,
    whole,
)
from tests.service.support.waiting import until

pytestmark = pytest.mark.slow

DEFAULT = "spikewatch-t-untrained"
MIB = 1 << 20


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    return save(folder, a=variant("a", 2), b=variant("b", 3), c=variant("c", 5))


@pytest.fixture(scope="module")
def room_for(detector: Detector, weights: Path) -> Callable[[int], int]:
    """The budget for so many models beside the default, all being of one size."""
    with many(detector, weights) as live:
        one = memory_of(live, "a")
    return lambda count: (count + 1) * one + MIB // 2


def closed(live: Live, session_id: str) -> None:
    live.http.delete(f"/v1/sessions/{session_id}").raise_for_status()


def test_least_recently_used_model_is_evicted(
    detector: Detector, weights: Path, room_for: Callable[[int], int]
) -> None:
    with many(detector, weights, model_memory_bytes=room_for(2)) as live:
        for name in ("a", "b", "a"):
            closed(live, ask(live, name).json()["session_id"])
        assert loaded(live) == {DEFAULT, "a", "b"}
        kept = ask(live, "c").json()["session_id"]
        assert loaded(live) == {DEFAULT, "a", "c"}
        assert live.metric('spikewatch_model_unloads_total{model="b"}') == 1
        ask(live, "b")
        assert loaded(live) == {DEFAULT, "b", "c"}
        used = live.http.get("/v1/models").json()
        assert used["memory_bytes"] <= used["memory_limit_bytes"] == room_for(2)

        full = ask(live, "a")
        assert problem(full) == (503, "model_memory")
        assert int(full.headers["Retry-After"]) > 0
        assert "weights a need" in full.json()["detail"]
        uploaded = live.http.post("/v1/detections", params={"weights": "a"}, content=dat_file(1))
        assert problem(uploaded) == (503, "model_memory")
        assert live.metric('spikewatch_model_loads_total{model="a",outcome="no_room"}') == 2
        assert loaded(live) == {DEFAULT, "b", "c"}, "nothing is unloaded in vain"
        closed(live, kept)
        assert ask(live, "a").status_code == 201


def test_default_model_is_never_evicted(
    detector: Detector, weights: Path, room_for: Callable[[int], int]
) -> None:
    with many(detector, weights, model_memory_bytes=room_for(1)) as live:
        for name in ("a", "b", "c"):
            closed(live, ask(live, name).json()["session_id"])
            assert loaded(live) == {DEFAULT, name}
        assert upload(live, dat_file(4))[1]["model"] == DEFAULT


class Loads:
    """Counts loads, and holds them up or breaks them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None
        monkeypatch.setattr(model_pool, "load_weights", self)

    def __call__(self, *arguments: Any) -> Detector:
        self.count += 1
        assert self.open.wait(120)
        if self.error is not None:
            raise self.error
        return load_weights(*arguments)


def test_concurrent_requests_share_one_load(
    detector: Detector, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with many(detector, weights) as live:
        loads = Loads(monkeypatch)
        answers = at_once(*[lambda: ask(live, "a")] * 3)
        assert [answer.status_code for answer in answers] == [201] * 3
        assert loads.count == 1
        assert listing(live)["a"]["sessions"] == 3


def test_slow_load_does_not_block_others(
    detector: Detector, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one waits for its model, others open sessions and get all their windows."""
    with many(detector, weights) as live:
        closed(live, ask(live, "b").json()["session_id"])
        loads = Loads(monkeypatch)
        loads.open.clear()
        answers: list[int] = []
        waiting = threading.Thread(target=lambda: answers.append(ask(live, "a").status_code))
        waiting.start()
        until(lambda: loads.count == 1)
        for name in (DEFAULT, "b"):
            session_id = ask(live, name).json()["session_id"]
            assert whole(live, session_id, 6)
        assert live.http.get("/v2/health/ready").status_code == 200
        assert not listing(live)["a"]["loaded"]
        assert answers == []
        loads.open.set()
        waiting.join()
        assert answers == [201]


def test_warm_up_lets_other_models_run(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch size is a call of its own, between which slices run; the event loop waits for none."""
    turns: list[int] = []
    passed = 0

    def call(action: partial[None]) -> Future[None]:
        turns.append(passed)
        assert action.args == (live.model._largest_batch - len(turns) + 1,)
        done: Future[None] = Future()
        threading.Timer(0.05, done.set_result, [None]).start()
        return done

    async def warm_up() -> None:
        nonlocal passed
        task = asyncio.create_task(live.model.warm_up())
        while not task.done():
            passed += 1
            await asyncio.sleep(0.005)
        await task

    monkeypatch.setattr(live.model, "submit", call)
    asyncio.run(warm_up())
    assert len(turns) == len(set(turns)) > 1


def test_failed_load_affects_no_other_session(
    detector: Detector, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with many(detector, weights) as live:
        session_id = live.open(**LOW)
        loads = Loads(monkeypatch)
        loads.error = RuntimeError("/srv/secret: cannot allocate memory")
        answers = at_once(*[lambda: ask(live, "a")] * 3)
        assert [problem(answer) for answer in answers] == [(500, "model_failed")] * 3
        assert "secret" not in answers[0].text
        assert whole(live, session_id, 8) == comparable(upload(live, dat_file(8), **LOW)[0])
        assert live.metric('spikewatch_model_loads_total{model="a",outcome="failed"}') >= 1
        uploaded = live.http.post("/v1/detections", params={"weights": "a"}, content=dat_file(1))
        assert problem(uploaded) == (500, "model_failed")
        loads.error = None
        assert ask(live, "a").status_code == 201, "it is tried again"


def test_missing_or_changed_file_error_hides_its_path(detector: Detector, tmp_path: Path) -> None:
    folder = save(tmp_path / "secret", a=variant("a", 2), b=other_detector())
    with many(detector, folder) as live:
        (folder / "a.safetensors").unlink()
        changed = small_detector()
        save_checkpoint(folder / "b.safetensors", changed.network, changed.spec)
        gone, other = ask(live, "a"), ask(live, "b")
        assert problem(gone) == problem(other) == (500, "model_failed")
        assert gone.json()["detail"].startswith(
            "weights a cannot be loaded: weights 'the file': no such file"
        )
        assert "has changed since the service was started" in other.json()["detail"]
        assert "secret" not in gone.text + other.text


def test_cancelled_client_leaves_load_running(
    detector: Detector, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with many(detector, weights) as live:
        loads = Loads(monkeypatch)
        loads.open.clear()
        query = {"weights": "a", "job_id": "gone"}
        gone = threading.Thread(
            target=lambda: live.http.post("/v1/detections", params=query, content=dat_file(4))
        )
        gone.start()
        until(lambda: loads.count == 1)
        assert live.http.delete("/v1/detections/gone").status_code == 204
        gone.join()
        loads.open.set()
        assert ask(live, "a").status_code == 201
        assert loads.count == 1


def test_unloaded_model_frees_its_tensors(
    detector: Detector, weights: Path, room_for: Callable[[int], int]
) -> None:
    """Without the help of the garbage collector, and though a failed upload still remembers its session."""
    with many(detector, weights, model_memory_bytes=room_for(1)) as live:
        bad = backwards(20)
        query = {"weights": "a", "job_id": "bad", "format": "dat", "width": 90, "height": 60}
        query["on_time_jump"] = "fail"
        assert '"error"' in live.http.post("/v1/detections", params=query, content=bad).text
        model: LoadedModel = live.manager.models.get("a")
        alive = [weakref.ref(t) for t in model.engine.bank.membranes.values()]
        alive += [weakref.ref(t) for t in model.detector.network.parameters()]
        bank = weakref.ref(model.engine.bank)
        assert all(ref() is not None for ref in alive)
        del model
        gc.disable()
        try:
            closed(live, ask(live, "b").json()["session_id"])
            assert loaded(live) == {DEFAULT, "b"}
            assert [ref for ref in alive if ref() is not None] == []
        finally:
            gc.enable()
        assert bank() is None or not bank().membranes
        text = live.http.get("/metrics").text
        for name in (
            "firing_rate",
            "sessions",
            "queued_slices",
            "state_bytes",
            "weights_bytes",
            "model_info",
        ):
            series = [line for line in text.splitlines() if line.startswith(f"spikewatch_{name}{{")]
            of = {model for line in series for model in re.findall(r'[{,]model="(\w+)"', line)}
            assert "a" not in of, name
            assert "b" in of or name == "firing_rate"
        assert live.metric('spikewatch_events_total{model="a"}') > 0, "what was counted stays"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_process_memory_shrinks_after_unload(detector: Detector, weights: Path) -> None:
    """A bank of 200 MB goes back to the system."""
    full = load_detector("untrained")
    slots = 12
    assert isinstance(full.create_bank(1), StateBank)
    budget = slots * full.state_bytes + 100 * MIB
    with many(
        detector, weights, "untrained", max_sessions=slots, max_batch=1, model_memory_bytes=budget
    ) as live:
        before = resident_bytes()
        closed(live, ask(live, "untrained").json()["session_id"])
        grown = resident_bytes() - before
        assert grown > 0.9 * slots * full.state_bytes
        host = live.manager
        host.models._settings = host.settings.model_copy(
            update={"model_memory_bytes": memory_of(live, DEFAULT, "a")}
        )
        closed(live, ask(live, "a").json()["session_id"])
        assert loaded(live) == {DEFAULT, "a"}
        assert resident_bytes() - before < 0.35 * grown
