"""Models beside each other: turns, failures, snapshots of one while the other streams."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.scheduling.round_robin import ModelRoundRobin
from spikewatch.service.scheduling.scheduler import Scheduler
from spikewatch.service.sessions.inbox import Inbox
from tests.service.support.http_client import problem
from tests.service.support.live import Live, comparable, dat_file, dat_stream, upload
from tests.service.support.many import LOW, ask, at_once, listing, loaded, many, save, third_detector, whole
from tests.service.support.scheduling import FakeSession, slice_at
from tests.service.support.waiting import until

SLICES = 8


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights"), third=third_detector())


def expected(live: Live, **query: Any) -> list[dict[str, Any]]:
    return comparable(upload(live, dat_file(SLICES), **LOW, **query)[0])


def rotation_of(*slices: int, max_batch: int = 2) -> tuple[ModelRoundRobin, dict[Scheduler, str]]:
    """Schedulers a, b, ... of one session each, with so many slices waiting."""
    rotation, names = ModelRoundRobin(), {}
    for name, count in zip("abc", slices, strict=False):
        scheduler = Scheduler(rotation.condition, max_batch)
        session = FakeSession(name, Inbox(100, "block"))
        for t in range(count):
            session.inbox.put(slice_at(t))
        scheduler.add(session)  # type: ignore[arg-type]
        rotation.add(scheduler)
        names[scheduler] = name
    return rotation, names


def turns_of(rotation: ModelRoundRobin, names: dict[Scheduler, str]) -> str:
    turns = ""
    while (turn := rotation.next_batch(0)) is not None:
        turns += names[turn.scheduler]
    return turns


def test_models_with_work_alternate() -> None:
    assert turns_of(*rotation_of(6, 2, 4)) == "abcabcacacaa"
    assert turns_of(*rotation_of(3, 0, 3)) == "acacac"


def test_failed_scheduler_does_not_stop_others() -> None:
    for method in ("next_batch", "wait_s"):
        rotation, names = rotation_of(2, 2, 2)
        broken = next(scheduler for scheduler, name in names.items() if name == "b")
        setattr(broken, method, crash)
        assert turns_of(rotation, names) == "acac"
        assert rotation.failed == {broken}


def test_submitted_call_runs_without_batches() -> None:
    rotation, _ = rotation_of(0)
    rotation.wake()
    start = time.monotonic()
    assert rotation.next_batch(100) is None
    assert time.monotonic() - start < 50


def crash(*_: object) -> Any:
    raise RuntimeError("the scheduler is broken")


def test_busy_model_does_not_starve_another(detector: Detector, weights: Path) -> None:
    """One model always has slices waiting of many sessions; the other gets every second batch."""
    with many(detector, weights, max_sessions=5, inbox_slices=200) as live:
        host = live.manager
        busy = [ask(live, "third").json()["session_id"] for _ in range(4)]
        quiet = ask(live, listing(live)["default"]["name"]).json()["session_id"]
        turns: list[str] = []
        for model in host.models.loaded:
            note(model, turns)
        data = dat_stream(60)
        threads = [
            threading.Thread(
                target=lambda id=id: live.http.post(f"/v1/sessions/{id}/events", content=data, timeout=240)
            )
            for id in busy
        ]
        for thread in threads:
            thread.start()
        until(lambda: all(len(host.get(id).inbox) > 20 for id in busy))
        began = len(turns)
        live.http.post(f"/v1/sessions/{quiet}/events", content=dat_stream(6))
        during = turns[began:]
        mine = [i for i, name in enumerate(during) if name != "third"]
        assert len(mine) >= 5
        between = during[mine[0] : mine[4]]
        assert between.count("third") <= 3 * len(mine), "at most a batch or two in between"
        for thread in threads:
            thread.join()


def note(model: Any, turns: list[str]) -> None:
    """Write down whose batch runs."""
    run = model.engine.run

    def noted(batch: Any) -> Any:
        turns.append(model.entry.name)
        return run(batch)

    model.engine.run = noted


def test_nan_membranes_end_sessions_of_one_model_only(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        wanted = expected(live)
        sick, well = ask(live, "third").json()["session_id"], live.open(**LOW)
        host = live.manager
        slot = host.get(sick).slot

        def poison(engine: Any) -> None:
            state = engine.bank.gather([slot])
            engine.bank.scatter([slot], {name: t * float("nan") for name, t in state.items()})

        host.models.get("third").submit(poison).result(120)
        answer, windows = at_once(
            lambda: live.http.post(f"/v1/sessions/{sick}/events", content=dat_stream(SLICES)),
            lambda: whole(live, well, SLICES),
        )
        assert problem(answer) == (500, "step_failed")
        assert windows == wanted
        assert expected(live, weights="third"), "its slot is clean"


def test_failed_scheduler_ends_its_own_sessions_only(detector: Detector, weights: Path) -> None:
    """They are told; who asks for the model next has it loaded anew; the other model notices nothing."""
    with many(detector, weights) as live:
        wanted, of_third = expected(live), expected(live, weights="third")
        sick, well = ask(live, "third").json()["session_id"], live.open(**LOW)
        model = live.manager.models.get("third")

        model.scheduler.next_batch = crash
        answer, windows = at_once(
            lambda: live.http.post(f"/v1/sessions/{sick}/events", content=dat_stream(SLICES)),
            lambda: whole(live, well, SLICES),
        )
        assert problem(answer) == (500, "step_failed")
        assert windows == wanted
        until(lambda: not listing(live)["third"]["loaded"])
        assert live.http.get("/v2/health/ready").status_code == 200
        again = ask(live, "third").json()["session_id"]
        assert whole(live, again, SLICES) == of_third
        assert live.manager.models.get("third") is not model


def test_failed_default_model_is_not_ready_and_others_run(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        of_third = expected(live, weights="third")
        sick, well = live.open(**LOW), ask(live, "third").json()["session_id"]

        live.manager.models.default.scheduler.next_batch = crash
        live.http.post(f"/v1/sessions/{sick}/events", content=dat_stream(3))
        until(lambda: live.http.get("/v2/health/ready").status_code == 503)
        until(lambda: live.http.get(f"/v1/sessions/{sick}").status_code == 410)
        assert problem(live.http.post("/v1/sessions", json={})) == (500, "model_failed")
        assert whole(live, well, SLICES) == of_third
        assert "third" in loaded(live)
