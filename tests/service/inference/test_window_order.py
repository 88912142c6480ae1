"""Weights trained newest slice first run whole windows backwards from rest, wherever the slices come from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.service.errors import BadRequest
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.options import window_options
from spikewatch.service.inference.window_result import WindowOptions, WindowResult
from spikewatch.service.schemas import SessionRequest
from tests.model.support.fakes import event_like_frames, small_detector
from tests.service.support.live import comparable, dat_file, dat_stream, live_service, upload

OPTIONS = WindowOptions(window_slices=3, hop=3, confidence=0.01, iou=0.5)


@pytest.fixture(scope="module")
def backwards() -> Detector:
    ordinary = small_detector(config=SpikeYOLOConfig(beta=0.5, input_gain=0.5))
    return Detector(ordinary.network, replace(ordinary.spec, time_order="newest_first"))


def slices(detector: Detector, count: int, seed: int = 0) -> list[InputSlice]:
    frames = event_like_frames(count, detector.spec, seed).numpy()
    return [InputSlice(t * 1000, t * 1000 + 1000, 10, False, f, 0.0) for t, f in enumerate(frames)]


def by_hand(detector: Detector, window: list[InputSlice]) -> list[StepOutput]:
    state, outputs = detector.init_state(), []
    for part in reversed(window):
        outputs.append(detector.step(torch.from_numpy(part.frame)[None], state))
        state = outputs[-1].state
    return outputs


def same(result: WindowResult, detector: Detector, window: list[InputSlice]) -> bool:
    outputs = by_hand(detector, window)
    found = detector.postprocess([out.logits for out in outputs], (90, 60), window[-1].t1_us, 0.01, 0.5)
    spikes = sum(sum(out.sample(0)[1].values()) for out in outputs)
    neurons = sum(layer.neurons for layer in detector.layers if layer.spiking)
    assert result.firing_rate == pytest.approx(spikes / (neurons * 4 * len(window)), rel=1e-12)
    assert (result.t_start_us, result.t_end_us) == (window[0].t0_us, window[-1].t1_us)
    return bool((result.detections.xywh == found.xywh).all()) and len(found) == len(result.detections)


def test_sequences_out_of_step_match_windows_run_by_hand(backwards: Detector) -> None:
    engine = Engine(backwards, 2)
    lanes = [SequenceState(i, backwards, (90, 60), OPTIONS) for i in range(2)]
    streams = [slices(backwards, 7, seed) for seed in (1, 2)]
    results: list[list[WindowResult]] = [[], []]
    for t in range(8):
        batch = [(lanes[i], streams[i][t - i]) for i in range(2) if 0 <= t - i < 7]
        ran = engine.run(batch)
        for (lane, _), windows in zip(batch, ran.windows, strict=True):
            results[lane.slot] += windows
    for i in range(2):
        results[i] += engine.flush(lanes[i])
        assert [r.seq for r in results[i]] == [0, 1, 2]
        for k, result in enumerate(results[i]):
            assert same(result, backwards, streams[i][3 * k : 3 * k + 3])


def test_windows_without_events_are_computed_once(
    backwards: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    run_window = Detector.run_window
    monkeypatch.setattr(
        Detector, "run_window", lambda self, frames: runs.append(frames.shape[1]) or run_window(self, frames)
    )
    engine = Engine(backwards, 2)
    lanes = [SequenceState(i, backwards, (90, 60), OPTIONS) for i in range(2)]
    busy = slices(backwards, 3)
    quiet = [replace(part, n_events=0, frame=np.zeros_like(part.frame)) for part in slices(backwards, 3)]
    forged = [*quiet[:2], replace(busy[2], n_events=0)]
    streams = ([*quiet, *quiet, *forged, *quiet], [*busy, *quiet, *busy, *quiet])
    results: list[list[WindowResult]] = [[], []]
    for t in range(12):
        for lane, windows in zip(
            lanes, engine.run([(x, streams[x.slot][t]) for x in lanes]).windows, strict=True
        ):
            results[lane.slot] += windows
    assert runs == [1, 1, 1, 1], "a quiet and a busy window, then a forged and a busy one"
    for i in range(2):
        assert len(results[i]) == 4
        for k, result in enumerate(results[i]):
            assert same(result, backwards, streams[i][3 * k : 3 * k + 3])


def test_time_order_changes_the_logits(backwards: Detector) -> None:
    window = torch.from_numpy(np.stack([part.frame[None] for part in slices(backwards, 3)]))
    forwards = Detector(backwards.network, replace(backwards.spec, time_order="oldest_first"))
    a, b = backwards.run_window(window), forwards.run_window(window)
    assert not torch.equal(a[0].logits[0], b[0].logits[0])
    turned = forwards.run_window(window.flip(0))
    assert all(torch.equal(x.logits[0], y.logits[0]) for x, y in zip(a, reversed(turned), strict=True))


def test_failed_batch_keeps_buffered_slices(backwards: Detector) -> None:
    engine, lane = Engine(backwards, 1), SequenceState(0, backwards, (90, 60), OPTIONS)
    parts = slices(backwards, 3)
    for part in parts[:2]:
        assert engine.run([(lane, part)]).slice_count == 0
    broken = replace(parts[2], frame=np.zeros((5, 64, 96), np.float32))
    with pytest.raises(ValueError, match="same shape"):
        engine.run([(lane, broken)])
    (result,) = engine.run([(lane, parts[2])]).windows[0]
    assert same(result, backwards, parts)


def test_windows_of_different_length_share_a_batch(backwards: Detector) -> None:
    engine = Engine(backwards, 2)
    lanes = [
        SequenceState(i, backwards, (90, 60), replace(OPTIONS, window_slices=n, hop=n))
        for i, n in enumerate((2, 4))
    ]
    parts = [slices(backwards, 4, seed) for seed in (1, 2)]
    results: list[list[WindowResult]] = [[], []]
    for t in range(4):
        for i, windows in enumerate(engine.run([(lanes[i], parts[i][t]) for i in range(2)]).windows):
            results[i] += windows
    assert same(results[0][1], backwards, parts[0][2:])
    assert same(results[1][0], backwards, parts[1])


def test_flush_is_reported_and_failed_flush_keeps_slices(backwards: Detector) -> None:
    engine, lane = Engine(backwards, 1), SequenceState(0, backwards, (90, 60), OPTIONS)
    told: list[int] = []
    engine.on_flush = lambda result: told.append(result.slice_count)
    parts = slices(backwards, 2)
    for part in parts:
        engine.run([(lane, part)])
    assert (lane.position_us, lane.has_gap_before(parts[0])) == (0, True)
    good, lane.buffered = lane.buffered, [replace(parts[0], frame=torch.zeros(5, 64, 96))]
    with pytest.raises(RuntimeError):
        engine.flush(lane)
    assert len(lane.buffered) == 1
    lane.buffered = good
    (result,) = engine.flush(lane)
    assert same(result, backwards, parts)
    assert told == [2]


def test_failure_at_a_time_jump_ends_one_session_only(backwards: Detector) -> None:
    """A window that cannot be finished before a jump in time; the other session goes on."""
    with live_service(backwards) as live:
        sick, well = live.open(confidence=0.01), live.open(confidence=0.01)
        for session in (sick, well):
            live.http.post(f"/v1/sessions/{session}/events", content=dat_stream(4)).raise_for_status()
        lane = live.manager.get(sick).sequence
        assert lane.buffered
        lane.buffered = [replace(part, frame=np.full_like(part.frame, np.nan)) for part in lane.buffered]
        late = np.frombuffer(dat_stream(6), "<u4").reshape(-1, 2).copy()
        late[:, 0] += 1_000_000_000
        live.http.post(f"/v1/sessions/{sick}/events", content=late.tobytes())
        assert live.http.get(f"/v1/sessions/{sick}").status_code == 410
        answer = live.http.post(f"/v1/sessions/{well}/events", content=late.tobytes())
        assert len(answer.json()["windows"]) >= 1


def test_restored_snapshot_replaces_session_state(backwards: Detector) -> None:
    with live_service(backwards) as live:
        stream, size = dat_stream(10), 300 * 8
        straight, _ = upload(live, dat_file(10), confidence=0.01)
        session = live.open(confidence=0.01)
        got = live.http.post(f"/v1/sessions/{session}/events", content=stream[: 6 * size]).json()["windows"]
        state = live.http.get(f"/v1/sessions/{session}/state")
        more = stream[6 * size : 8 * size]
        live.http.post(f"/v1/sessions/{session}/events", content=more).raise_for_status()
        live.http.put(f"/v1/sessions/{session}/state", content=state.content).raise_for_status()
        rest = stream[6 * size :]
        got += live.http.post(f"/v1/sessions/{session}/events", content=rest).json()["windows"]
        got += live.http.delete(f"/v1/sessions/{session}").json()["windows"]
        times = [(w["t_start_us"], w["t_end_us"], w["events"]) for w in got]
        assert times == [(w["t_start_us"], w["t_end_us"], w["events"]) for w in straight]


def test_hop_other_than_window_is_rejected(backwards: Detector) -> None:
    with pytest.raises(BadRequest, match="hop must be 4"):
        window_options(SessionRequest(hop=1), backwards.spec)
    assert window_options(SessionRequest(slices=8), backwards.spec).hop == 8


def test_whole_window_session_equals_upload_after_restore(backwards: Detector) -> None:
    with live_service(backwards) as live:
        windows, summary = upload(live, dat_file(10), confidence=0.01)
        assert [w["t_end_us"] for w in windows] == [250_000, 500_000, 625_000]
        assert summary["events"] == 3000
        stream = dat_stream(10)
        first = live.open(confidence=0.01)
        cut = 6 * 300 * 8
        got = live.http.post(f"/v1/sessions/{first}/events", content=stream[:cut]).json()["windows"]
        state = live.http.get(f"/v1/sessions/{first}/state")
        position = int(state.headers["Spikewatch-Position-Us"])
        assert position == 250_000, "slices that wait for their window have not been run"
        second = live.open(confidence=0.01)
        live.http.put(f"/v1/sessions/{second}/state", content=state.content).raise_for_status()
        rest = stream[cut:]
        got += live.http.post(f"/v1/sessions/{second}/events", content=rest).json()["windows"]
        got += live.http.delete(f"/v1/sessions/{second}").json()["windows"]
        assert comparable(got) == comparable(windows)
        refused = live.http.post("/v1/sessions", json={"width": 90, "height": 60, "hop": 1})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
