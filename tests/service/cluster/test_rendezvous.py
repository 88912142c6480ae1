"""Placement: even, by load first, and stable when workers come and go."""

from collections import Counter

from spikewatch.service.cluster.rendezvous import order_workers

WORKERS = [f"worker-{n}" for n in range(5)]
SESSIONS = [f"camera-{n}" for n in range(2000)]


def first(session: str, workers: list[str]) -> str:
    return order_workers(session, dict.fromkeys(workers, 0.0))[0]


def test_equal_workers_share_sessions_evenly() -> None:
    counts = Counter(first(session, WORKERS) for session in SESSIONS)
    assert all(330 < counts[worker] < 470 for worker in WORKERS), "400 each, give or take four deviations"


def test_only_sessions_of_a_lost_worker_change_their_place() -> None:
    for session in SESSIONS:
        before = first(session, WORKERS)
        after = first(session, WORKERS[1:])
        assert after == before or before == WORKERS[0]


def test_least_loaded_worker_comes_first_and_full_ones_never() -> None:
    loads = {"full": 1.0, "busy": 0.5, "idle": 0.0}
    assert {tuple(order_workers(session, loads)) for session in SESSIONS[:50]} == {("idle", "busy")}
    assert order_workers("camera", {"full": 1.0}) == []
