"""Sessions of two workers: placed, moved and adopted without a difference in their results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.client.client import Client
from tests.service.support.cluster import LocalCluster, local_cluster
from tests.service.support.live import SENSOR, comparable, dat_file, dat_stream, upload
from tests.service.support.waiting import until

SLICES = 18
OPTIONS: dict[str, Any] = {"confidence": 0.001, "hop": 1}
DATA = dat_stream(SLICES)
HALF = len(DATA) // 2 // 8 * 8 + 3


@pytest.fixture
def cluster(detector: Detector, tmp_path: Path) -> Iterator[LocalCluster]:
    with local_cluster(detector, tmp_path, snapshot_every_s=0.2) as cluster:
        yield cluster


def urls(cluster: LocalCluster) -> list[str]:
    return [live.url for live in cluster.lives.values()]


def play(cluster: LocalCluster, action: Any) -> list[dict[str, Any]]:
    """Windows of a session; between its halves, `action` is called with the name of its worker."""
    found = []
    with Client(urls(cluster), reconnect_s=120) as client, client.session(**SENSOR, **OPTIONS) as session:
        session.send(DATA[:HALF])
        while len(found) < SLICES // 2 - 1:
            found.append(dict(next(iter(session))))
        action(cluster.place_of(session.id), session.id)
        session.send(DATA[HALF:])
        session.close()
        found += [dict(window) for window in session]
    return comparable(found)


def expected(cluster: LocalCluster) -> list[dict[str, Any]]:
    return comparable(upload(cluster.lives["two"], dat_file(SLICES), **OPTIONS)[0])


def test_any_worker_opens_sessions_for_all(cluster: LocalCluster) -> None:
    one = cluster.lives["one"]
    opened = [one.http.post("/v1/sessions", json=SENSOR).json() for _ in range(4)]
    assert sorted(info["url"] for info in opened) == sorted(urls(cluster) * 2)
    for info in opened:
        path = f"/v1/sessions/{info['session_id']}"
        answer = one.http.get(path)
        assert answer.status_code == (200 if info["url"] == one.url else 307)
        assert one.http.delete(path, follow_redirects=True).status_code == 200
        until(lambda info=info: info["session_id"] not in cluster.ask("status")["places"])
        assert one.http.get(path, follow_redirects=True).status_code in (404, 410)


def test_drained_worker_hands_its_sessions_over(cluster: LocalCluster) -> None:
    whole = expected(cluster)

    def drain(name: str, session_id: str) -> None:
        assert cluster.drain(name) == (1, 0)
        assert cluster.place_of(session_id) != name

    assert play(cluster, drain) == whole
    states = {worker["name"]: worker["draining"] for worker in cluster.ask("status")["workers"]}
    assert sorted(states.values()) == [False, True]


def test_sessions_of_a_stopped_worker_continue_at_the_other(cluster: LocalCluster) -> None:
    whole = expected(cluster)
    assert play(cluster, lambda name, _id: cluster.lives[name].stop()) == whole
    assert cluster.ask("status")["counts"]["sessions_adopted"] == 1
    assert cluster.core.counts["workers_lost"] == 1


def test_snapshots_of_a_worker_that_lost_its_lease_are_rejected(cluster: LocalCluster) -> None:
    one = cluster.lives["one"]
    info = next(
        i for _ in range(2) if (i := one.http.post("/v1/sessions", json=SENSOR).json())["url"] == one.url
    )
    path = f"/v1/sessions/{info['session_id']}"
    assert one.http.post(f"{path}/events", content=dat_stream(2)).status_code == 200
    assert one.http.post(f"{path}/snapshot").status_code == 200
    lease = cluster.ask("transfer", info["session_id"], "two")
    cluster.workers["two"].placement._store.claim(lease.session_id, lease.epoch, lease.request)
    answer = one.http.post(f"{path}/events", content=dat_stream(1))
    answer = one.http.post(f"{path}/snapshot")
    assert (answer.status_code, answer.json()["code"]) == (503, "snapshot_failed")
    assert one.metric("spikewatch_cluster_fenced_writes_total") >= 1
