"""The WebSocket of a session, against a real server."""

import json
import threading
import time

import pytest
import websockets
from websockets.sync.client import ClientConnection

from spikewatch.model.detector import Detector
from tests.service.support.clock import ManualClock
from tests.service.support.live import (
    FAIL,
    Live,
    backwards,
    comparable,
    dat_file,
    dat_stream,
    live_service,
    talk,
    upload,
)
from tests.service.support.shared import SharedServices
from tests.service.support.waiting import until

LOW = {"confidence": 0.001}
TOO_FAST = 'spikewatch_dropped_events_total{reason="too_fast"}'


def ended(socket: ClientConnection) -> tuple[list[dict], dict]:
    """Return the windows and the last message, once the service has closed the connection."""
    messages = talk(socket)
    assert messages[-1]["type"] == "closed"
    return [m for m in messages if m["type"] == "window"], messages[-1]


@pytest.mark.parametrize("piece", [1013, 16_384, 1 << 20])
def test_stream_windows_equal_those_of_an_upload(live: Live, piece: int) -> None:
    data = dat_file(10)
    expected, _ = upload(live, data, **LOW)
    socket = live.connect(live.open(**LOW))
    for start in range(0, len(data), piece):
        socket.send(data[start : start + piece])
    socket.send("close")
    windows, closed = ended(socket)
    assert comparable(windows) == comparable(expected)
    assert (closed["reason"], closed["totals"]["windows"], closed["totals"]["events"]) == ("client", 3, 3000)
    assert socket.close_code == 1000


def test_flush_emits_open_window_and_keeps_membranes(live: Live) -> None:
    socket = live.connect(live.open(**LOW))
    socket.send(dat_stream(6))
    socket.send("flush")
    messages = [json.loads(socket.recv()) for _ in range(3)]
    assert [m["type"] for m in messages] == ["window", "window", "flushed"]
    assert [m["events"] for m in messages[:2]] == [1200, 600]
    socket.send("close")
    assert ended(socket)[0] == []


def test_reset_allows_earlier_times(live: Live) -> None:
    data = dat_file(4)
    socket = live.connect(live.open(hop=4, **LOW))
    windows = []
    for _ in range(2):
        socket.send(data)
        socket.send("flush")
        message = json.loads(socket.recv())
        while message["type"] == "window":
            windows.append(message)
            message = json.loads(socket.recv())
        assert message["type"] == "flushed"
        socket.send("reset")
        assert json.loads(socket.recv())["type"] == "reset"
    first, second = comparable(windows)
    assert (first.pop("seq"), second.pop("seq")) == (0, 1)
    assert first == second
    socket.close()


def test_reset_emits_the_open_window_first(live: Live) -> None:
    socket = live.connect(live.open())
    socket.send(dat_stream(2))
    socket.send("reset")
    messages = [json.loads(socket.recv()) for _ in range(2)]
    assert [m["type"] for m in messages] == ["window", "reset"]
    assert messages[0]["events"] == 600
    socket.close()


def test_bad_bytes_end_the_stream_with_the_reason(live: Live) -> None:
    socket = live.connect(live.open(**FAIL))
    socket.send(backwards(20))
    messages = talk(socket)
    assert [m["type"] for m in messages] == ["window"] * 5 + ["error", "closed"]
    assert [m["events"] for m in messages[:5]] == [1200] * 4 + [900], "the window under way is cut short"
    assert (messages[-2]["code"], messages[-1]["reason"]) == ("time_order", "time_order")
    assert socket.close_code == 1007


def test_unknown_text_is_rejected(live: Live) -> None:
    socket = live.connect(live.open())
    socket.send("dance")
    messages = talk(socket)
    assert messages[0]["code"] == "bad_request"
    assert "flush, reset, close" in messages[0]["detail"]


def test_second_feeder_is_rejected(live: Live) -> None:
    session_id = live.open()
    socket = live.connect(session_id)
    with websockets.sync.client.connect(f"{live.ws_url}/v1/sessions/{session_id}/stream") as second:
        assert talk(second)[0]["code"] == "session_busy"
        assert second.close_code == 1008
    assert live.http.post(f"/v1/sessions/{session_id}/events", content=b"").status_code == 409
    socket.send("close")
    ended(socket)


def test_stream_of_unknown_session_is_rejected(live: Live) -> None:
    with websockets.sync.client.connect(f"{live.ws_url}/v1/sessions/none/stream") as socket:
        assert talk(socket)[0]["code"] == "session_unknown"


def test_session_survives_a_broken_connection(live: Live) -> None:
    data = dat_stream(10)
    expected, _ = upload(live, dat_file(10), **LOW)
    session_id = live.open(**LOW)
    half = 5 * 300 * 8
    socket = live.connect(session_id)
    socket.send(data[:half])
    first = json.loads(socket.recv())
    socket.close()
    socket = live.connect(session_id)
    socket.send(data[half:])
    socket.send("close")
    windows, _ = ended(socket)
    assert comparable([first, *windows]) == comparable(expected)


def test_messages_are_not_compressed(live: Live) -> None:
    session_id = live.open()
    with websockets.sync.client.connect(f"{live.ws_url}/v1/sessions/{session_id}/stream") as socket:
        assert socket.protocol.extensions == []


def test_drop_oldest_keeps_pace_and_counts_losses(services: SharedServices) -> None:
    live = services(inbox_slices=2)
    slices, events = map(live.rise, ("spikewatch_dropped_slices_total", TOO_FAST))
    windows_dropped = live.rise('spikewatch_windows_total{outcome="dropped"}')
    held = threading.Event()
    live.model.submit(lambda _: held.wait(120))
    session_id = live.open(policy="drop_oldest", hop=1)
    socket = live.connect(session_id)
    socket.send(dat_stream(12))
    until(lambda: live.manager.get(session_id).inbox.dropped_slices >= 9)
    held.set()
    first = [json.loads(socket.recv()) for _ in range(2)]  # the last slice, ended by `close`, finds room
    socket.send("close")
    windows, closed = ended(socket)
    windows = first + windows
    totals = closed["totals"]
    assert totals["dropped_slices"] == totals["dropped_windows"] == 9
    assert totals["dropped_events"] == {"too_fast": 9 * 300}
    assert totals["events"] + totals["dropped_events"]["too_fast"] == 12 * 300
    assert windows[-1]["t_end_us"] == 12 * 62_500, "the newest slices are the ones kept"
    assert windows[-1]["dropped_windows"] == 9
    assert (slices(), windows_dropped(), events()) == (9, 9, 9 * 300)


def test_block_throttles_the_sender_without_loss(services: SharedServices) -> None:
    live = services(inbox_slices=2, outbox_windows=2)
    held = threading.Event()
    live.model.submit(lambda _: held.wait(120))
    session_id = live.open(policy="block", hop=1)
    socket = live.connect(session_id)
    socket.send(dat_stream(12))
    time.sleep(0.5)
    assert live.http.get(f"/v1/sessions/{session_id}").json()["queued_slices"] == 2
    held.set()
    socket.send("close")
    windows, closed = ended(socket)
    assert len(windows) == 12
    assert closed["totals"]["dropped_events"] == {}


def test_idle_stream_is_closed(services: SharedServices) -> None:
    clock = ManualClock()
    live = services(clock=clock, idle_timeout_s=60)
    socket = live.connect(live.open())
    clock.advance_until(lambda: not live.manager.sessions)
    assert ended(socket)[1]["reason"] == "idle_timeout"


def test_shutdown_sends_remaining_windows(detector: Detector) -> None:
    with live_service(detector, drain_timeout_s=20) as live:
        socket = live.connect(live.open())
        socket.send(dat_stream(6))
        assert json.loads(socket.recv())["events"] == 1200
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        windows, closed = ended(socket)
        stopper.join()
        assert [w["events"] for w in windows] == [600]
        assert (closed["reason"], socket.close_code) == ("shutdown", 1001)


def test_failing_session_affects_no_other(live: Live) -> None:
    """One session's membranes become NaN; the other in its batches continues, and the slot is reset."""
    data = dat_stream(8)
    sick, well = live.open(**LOW), live.open(**LOW)
    expected, _ = upload(live, dat_file(8), **LOW)
    manager = live.manager
    slot = manager.get(sick).slot

    def poison(engine: object) -> None:
        state = engine.bank.gather([slot])
        engine.bank.scatter([slot], {name: t * float("nan") for name, t in state.items()})

    manager.models.default.submit(poison).result(120)
    answers = {}

    def run(session_id: str) -> None:
        answers[session_id] = live.http.post(f"/v1/sessions/{session_id}/events", content=data)

    threads = [threading.Thread(target=run, args=(s,)) for s in (sick, well)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers[sick].status_code == 500
    assert answers[sick].json()["code"] == "step_failed"
    rest = live.http.delete(f"/v1/sessions/{well}").json()["windows"]
    assert comparable(answers[well].json()["windows"] + rest) == comparable(expected)
    for _ in range(manager.settings.max_sessions):
        assert comparable(upload(live, dat_file(8), **LOW)[0]) == comparable(expected)
