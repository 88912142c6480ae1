"""Weights of different kinds for one service, all dyadic, and what each of them sees of a stream."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.detector import Detector
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.service.inference.offline import OfflineRun
from spikewatch.service.inference.options import window_options
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.schemas import WindowRequest
from tests.model.support.fakes import small_detector
from tests.service.support.live import SENSOR, Live, comparable, dat_file, dat_stream, live_service

LOW = {"confidence": 0.001}
MB = 1_000_000


def other_detector() -> Detector:
    """Another scale, input size, T and length of slices than the default of the tests."""
    made = small_detector(64, 64, SpikeYOLOConfig("n"))
    return Detector(made.network, replace(made.spec, slices=2, slice_us=50_000))


def third_detector() -> Detector:
    """The default's network with another T: its weights have the same digest."""
    made = small_detector()
    return Detector(made.network, replace(made.spec, name="thrice", slices=3))


def save(folder: Path, **detectors: Detector) -> Path:
    """A folder of weights, as an operator has one."""
    folder.mkdir(exist_ok=True)
    for name, detector in detectors.items():
        save_checkpoint(folder / f"{name}.safetensors", detector.network, detector.spec)
    return folder


@contextmanager
def many(detector: Detector, *models: Path | str, **settings: Any) -> Iterator[Live]:
    """A service that knows more weights than its default; small banks and batches load quickly."""
    small = {"max_sessions": 4, "max_batch": 2, "runtime": "eager"}
    with live_service(detector, models=tuple(map(str, models)), **(small | settings)) as live:
        yield live


def memory_of(live: Live, *names: str) -> int:
    """What these models take together."""
    listed = listing(live)
    return sum(int(listed[name]["memory_bytes"]) for name in names)


def listing(live: Live) -> dict[str, dict[str, Any]]:
    """The models by name, the default also as `default`."""
    models = live.http.get("/v1/models").json()["models"]
    return {model["name"]: model for model in models} | {"default": models[0]}


def loaded(live: Live) -> set[str]:
    return {name for name, model in listing(live).items() if model["loaded"] and name != "default"}


def ask(live: Live, weights: str, **wanted: Any) -> httpx.Response:
    return live.http.post("/v1/sessions", json=SENSOR | LOW | wanted | {"weights": weights})


def offline(detector: Detector, slices: int, folder: Path) -> list[dict[str, Any]]:
    """What the command line gives for `dat_file(slices)`."""
    path = folder / "offline_td.dat"
    path.write_bytes(dat_file(slices))
    request = WindowRequest(**LOW)  # type: ignore[arg-type]
    with open_recording(path) as recording:
        source = RecordingSource(recording, detector.spec.slice_us, detector.spec.representation)
        run = OfflineRun(source, detector, window_options(request, detector.spec))
        return comparable([json.loads(w.model_dump_json()) for seen in run for w in seen.windows])


def whole(live: Live, session_id: str, slices: int, piece: int = 3001) -> list[dict[str, Any]]:
    """All windows of `dat_stream(slices)`, sent in pieces, and of the end of the session."""
    data, windows = dat_stream(slices), []
    for start in range(0, len(data), piece):
        answer = live.http.post(f"/v1/sessions/{session_id}/events", content=data[start : start + piece])
        assert answer.status_code == 200, answer.text
        windows += answer.json()["windows"]
    return comparable(windows + live.http.delete(f"/v1/sessions/{session_id}").json()["windows"])


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What they give, each in a thread of its own."""
    results: list[Any] = [None] * len(acts)

    def run(i: int) -> None:
        results[i] = acts[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def variant(name: str, slices: int) -> Detector:
    """The default's network under another name and T; all are of one size."""
    made = small_detector()
    return Detector(made.network, replace(made.spec, name=name, slices=slices))
