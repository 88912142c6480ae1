"""Models beside each other: turns, failures, snapshots of one while the other streams."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from model.detector import Detector
from service.fair_lock import FairLock
from tests.service.live import Live, comparable, dat_file, dat_stream, upload
from tests.service.many import LOW, ask, at_once, listing, loaded, many, save, third_detector, whole
from tests.service.test_adversity import until
from tests.service.test_sessions import problem

SLICES = 8


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights"), third=third_detector())


def expected(live: Live, **query: Any) -> list[dict[str, Any]]:
    return comparable(upload(live, dat_file(SLICES), **LOW, **query)[0])


def test_a_fair_lock_goes_round() -> None:
    """Each of three threads would have it all the time; while all want it, they have it in turn."""
    lock, order, ready = FairLock(), [], threading.Barrier(3)

    def run(name: int) -> None:
        ready.wait()
        for _ in range(20):
            with lock:
                order.append(name)
                time.sleep(0.001)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contended = order[3:-6]
    assert all(len(set(contended[i : i + 3])) == 3 for i in range(len(contended) - 2)), order


def test_a_fair_lock_is_free_after_a_failure() -> None:
    lock = FairLock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    with lock:
        pass


def test_a_busy_model_does_not_starve_another(detector: Detector, weights: Path) -> None:
    """One model always has slices waiting of many sessions; the other gets every second batch."""
    with many(detector, weights, max_sessions=5, inbox_slices=200) as live:
        host = live.app.state.host
        busy = [ask(live, "third").json()["session_id"] for _ in range(4)]
        quiet = ask(live, listing(live)["default"]["name"]).json()["session_id"]
        turns: list[str] = []
        for model in host.models.running:
            note(model, turns)
        data = dat_stream(60)
        threads = [
            threading.Thread(
                target=lambda id=id: live.http.post(f"/v1/sessions/{id}/events", content=data, timeout=120)
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
    run = model.worker.engine.run

    def noted(batch: Any) -> Any:
        turns.append(model.entry.name)
        return run(batch)

    model.worker.engine.run = noted


def test_membranes_that_turn_to_nan_leave_the_other_model_alone(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        wanted = expected(live)
        sick, well = ask(live, "third").json()["session_id"], live.open(**LOW)
        host = live.app.state.host
        slot = host.get(sick).slot

        def poison(engine: Any) -> None:
            state = engine.bank.gather([slot])
            engine.bank.scatter([slot], {name: t * float("nan") for name, t in state.items()})

        host.models.get("third").worker.call(poison).result(10)
        answer, windows = at_once(
            lambda: live.http.post(f"/v1/sessions/{sick}/events", content=dat_stream(SLICES)),
            lambda: whole(live, well, SLICES),
        )
        assert problem(answer) == (500, "step_failed")
        assert windows == wanted
        assert expected(live, weights="third"), "its slot is clean"


def test_a_worker_that_ends_takes_its_own_sessions_only(detector: Detector, weights: Path) -> None:
    """They are told; who asks for the model next has it loaded anew; the other model notices nothing."""
    with many(detector, weights) as live:
        wanted, of_third = expected(live), expected(live, weights="third")
        sick, well = ask(live, "third").json()["session_id"], live.open(**LOW)
        model = live.app.state.host.models.get("third")

        def crash(_timeout_s: float) -> Any:
            raise RuntimeError("the scheduler is broken")

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
        assert live.app.state.host.models.get("third") is not model


def test_a_default_whose_worker_ends_is_not_ready_and_others_go_on(detector: Detector, weights: Path) -> None:
    with many(detector, weights) as live:
        of_third = expected(live, weights="third")
        sick, well = live.open(**LOW), ask(live, "third").json()["session_id"]

        def crash(_timeout_s: float) -> Any:
            raise RuntimeError("the scheduler is broken")

        live.app.state.host.models.default.scheduler.next_batch = crash
        until(lambda: live.http.get("/v2/health/ready").status_code == 503)
        until(lambda: live.http.get(f"/v1/sessions/{sick}").status_code == 410)
        assert problem(live.http.post("/v1/sessions", json={})) == (500, "model_failed")
        assert whole(live, well, SLICES) == of_third
        assert "third" in loaded(live)
