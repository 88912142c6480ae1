"""What a client was told is saved stays so; what it has ended goes, and nothing newer with it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.snapshots.store import DirectoryStore
from tests.service.support.http_client import problem
from tests.service.support.live import Live, dat_file, dat_stream
from tests.service.support.snapshots import resume, service
from tests.service.support.streams import post


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Deletes only once it is set."""
    free, delete = threading.Event(), DirectoryStore.delete
    monkeypatch.setattr(DirectoryStore, "delete", lambda *args: (free.wait(120), delete(*args))[1])
    yield free
    free.set()


def saved(live: Live, session_id: str, slices: int) -> None:
    post(live, live.open(session_id=session_id), dat_stream(slices))
    live.http.post(f"/v1/sessions/{session_id}/snapshot").raise_for_status()


def test_delete_precedes_save_of_reused_id(
    detector: Detector, tmp_path: Path, slow_disk: threading.Event
) -> None:
    with service(detector, tmp_path, snapshot_every_s=0.1) as live, ThreadPoolExecutor() as others:
        saved(live, "cam", 1)
        live.http.delete("/v1/sessions/cam")
        gone = live.http.get("/v1/sessions/cam")
        assert (problem(gone), gone.json()["resumable"]) == ((410, "session_closed"), False)
        assert list(tmp_path.glob("*.snapshot")) != [], "the disk has not come to it"
        resumed = others.submit(live.http.post, "/v1/sessions", json={"resume": "cam"})
        live.open(session_id="cam")
        post(live, "cam", dat_stream(3))
        saving = others.submit(live.http.post, "/v1/sessions/cam/snapshot")
        threading.Event().wait(0.5)
        assert not saving.done()
        slow_disk.set()
        assert saving.result().json()["accepted_bytes"] == 7200
        assert resumed.result().status_code in (404, 409), "what was ended is not gone on with"
    with service(detector, tmp_path) as live:
        assert resume(live, "cam")["accepted_bytes"] == 7200


def test_delete_waits_for_disk_and_reports_its_error(
    detector: Detector, tmp_path: Path, slow_disk: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(detector, tmp_path) as live, ThreadPoolExecutor() as others:
        saved(live, "cam", 1)
        forgetting = others.submit(live.http.delete, "/v1/sessions/cam/snapshot")
        threading.Event().wait(0.3)
        assert not forgetting.done()
        slow_disk.set()
        assert forgetting.result().status_code == 204
        assert list(tmp_path.glob("*.snapshot")) == []

        def read_only(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        live.http.post("/v1/sessions/cam/snapshot").raise_for_status()
        monkeypatch.setattr(DirectoryStore, "delete", read_only)
        answer = live.http.delete("/v1/sessions/cam/snapshot")
        assert problem(answer) == (503, "snapshot_failed")
        assert "Read-only" in answer.json()["detail"]
        assert live.metric('spikewatch_snapshots_total{outcome="failed"}') == 1
        assert live.manager.snapshots.has_snapshot("cam")


def test_snapshots_of_open_sessions_are_not_evicted(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        saved(live, "old", 1)
    with service(detector, tmp_path, max_sessions=2, snapshot_max_count=2) as live:
        keeper, store = live.manager.snapshots, live.manager.snapshots.store
        saved(live, "a", 1)
        saved(live, "b", 1)
        assert [keeper.has_snapshot(x) for x in ("a", "b", "old")] == [True, True, False]
        assert live.metric('spikewatch_snapshots_total{outcome="evicted"}') == 1
        store._max_bytes = sum(path.stat().st_size for path in tmp_path.glob("*.snapshot")) - 1
        post(live, "b", dat_stream(2)[2400:])
        answer = live.http.post("/v1/sessions/b/snapshot")
        assert problem(answer) == (503, "snapshot_failed")
        assert live.metric('spikewatch_snapshots_total{outcome="failed"}') == 1
        infos = [live.http.get(f"/v1/sessions/{x}").json() for x in "ab"]
        assert [info["saved_bytes"] for info in infos] == [2400, 2400], "as it is on disk"
        assert [keeper.has_snapshot(x) for x in "ab"] == [True, True]


def test_evicted_session_is_marked_unsaved(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(detector, tmp_path, snapshot_every_s=3600) as live:
        saved(live, "a", 1)
        put = DirectoryStore.put
        monkeypatch.setattr(DirectoryStore, "put", lambda *args: [*put(*args), "a", "gone long ago"])
        saved(live, "b", 1)
        infos = [live.http.get(f"/v1/sessions/{x}").json() for x in "ab"]
        assert [info["saved_bytes"] for info in infos] == [None, 2400]
        assert live.metric('spikewatch_snapshots_total{outcome="evicted"}') == 2


def test_session_is_saved_again_after_snapshot_delete(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        saved(live, "cam", 3)
        live.http.delete("/v1/sessions/cam/snapshot").raise_for_status()
        assert live.http.get("/v1/sessions/cam").json()["saved_bytes"] is None
    with service(detector, tmp_path) as live:
        assert resume(live, "cam")["accepted_bytes"] == len(dat_stream(3))


def test_upload_cannot_use_id_of_saved_session(detector: Detector, tmp_path: Path) -> None:
    with service(detector, tmp_path) as live:
        saved(live, "a" * 32, 3)
    with service(detector, tmp_path) as live:
        refused = live.http.post("/v1/detections", content=dat_file(3), params={"watched_as": "a" * 32})
        assert problem(refused) == (409, "session_exists")
        assert resume(live, "a" * 32)["accepted_bytes"] == len(dat_stream(3))
