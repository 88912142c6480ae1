"""The service keeps what docs/protocol.md promises: a client written from that page alone.

Only what cannot be brought about from outside (a stuck or failing detector) reaches into the service.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from spikewatch.service.errors import PayloadTooLarge
from tests.e2e.support.protocol import SCHEMA, VALIDATOR, Caller, Client, Message, codes, record, table
from tests.model.support.fakes import small_detector
from tests.service.support.live import Live, live_service

SLICE_US, HOP = 10_000, 2
SENSOR = {"width": 90, "height": 60}
LIVELY = SENSOR | {"slice_us": SLICE_US, "slices": HOP, "confidence": 0.001}
IDLE_S = 2.0
KEPT = 4
"""Results that wait, or may be read again."""
BROKEN = 1006
"""What a client reads where no close frame came (RFC 6455)."""


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_service(
        small_detector(), max_sessions=8, outbox_windows=KEPT, max_windows_per_post=KEPT
    ) as service:
        yield service


@pytest.fixture
def caller(live: Live) -> Iterator[Caller]:
    with Caller(live.url) as caller:
        yield caller


def events(slices: int, first: int = 0, per_slice: int = 200) -> bytes:
    """Random events, so many in each slice from the slice `first` on."""
    rng = random.Random(first)
    pieces = []
    for n in range(first, first + slices):
        times = sorted(rng.randrange(n * SLICE_US, (n + 1) * SLICE_US) for _ in range(per_slice))
        pieces += [record(t, rng.randrange(90), rng.randrange(60), rng.randrange(2)) for t in times]
    return b"".join(pieces)


def talk(caller: Caller, *payloads: bytes | str, **wanted: Any) -> tuple[list[Message], Client]:
    """Open, send all, read all."""
    _, client = caller.start(**LIVELY | wanted)
    client.send(*payloads)
    return [client.first, *client.rest()], client


def windows(messages: list[Message]) -> list[Message]:
    return [m for m in messages if m["type"] == "window"]


def same(messages: list[Message]) -> list[Message]:
    """Windows, but for what a clock makes."""
    return [{k: v for k, v in m.items() if k != "latency_ms"} for m in windows(messages)]


def split(data: bytes, seed: int) -> list[bytes]:
    rng, pieces = random.Random(seed), []
    while data:
        size = rng.choice((0, 1, 3, 8, 500, 5000))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


# Connecting


def test_the_schema_is_one_and_tells_the_types_apart() -> None:
    VALIDATOR.check_schema(SCHEMA)
    assert VALIDATOR.is_valid({"type": "surprise"}), "more may be added"
    assert not VALIDATOR.is_valid({"type": "window"})
    assert VALIDATOR.is_valid({"type": "flushed", "more": "may be added"})


GIVEN = {
    "format": "evt3",
    "width": 64,
    "height": 48,
    "policy": "drop_oldest",
    "slice_us": 20_000,
    "slices": 3,
    "hop": 1,
    "confidence": 0.5,
    "iou": 0.6,
    "track": True,
    "on_time_jump": "fail",
    "session_id": "front-left_1",
}


def fields() -> set[str]:
    return {name for row in table("field") for name in codes(row["field"])}


def test_every_field_of_the_request_is_heard(caller: Caller) -> None:
    session, client = caller.start(**GIVEN)
    assert GIVEN.items() <= session.items()
    assert set(GIVEN) | {"window", "weights", "session_id", "resume"} == fields()
    assert client.first["session_id"] == session["session_id"]


def test_fields_left_out_have_the_defaults_of_the_page(caller: Caller) -> None:
    session = caller.open()
    for row in table("field"):
        values = row["default"].strip("`").split(", ")
        for name, value in zip(codes(row["field"]), values * 2, strict=False):
            if value not in (
                "the model's",
                "T",
                "none",
                "from the stream's header",
                "the first of them",
                "a random one",
            ):
                assert str(session[name]).replace("False", "false") == value, name
    assert (session["width"], session["height"], session["hop"]) == (None, None, session["slices"])


def test_weights_are_those_of_the_list(caller: Caller) -> None:
    with live_service(small_detector(), models=("spikewatch-t-sim",)) as live, Caller(live.url) as other:
        listed = live.http.get("/v1/models").json()["models"]
        assert [model["name"] for model in listed] == ["spikewatch-t-untrained", "spikewatch-t-sim"]
        for wanted, model in (({}, listed[0]), *(({"weights": m["name"]}, m) for m in listed)):
            session, client = other.start(**SENSOR | wanted)
            for told in (session, client.first):
                assert {name: told[name] for name in ("training", "digest")} == {
                    name: model[name] for name in ("training", "digest")
                }
                assert (told["model"], told["slice_us"]) == (model["name"], model["slice_us"])
    assert caller.open()["model"] == "spikewatch-t-untrained"


BEYOND = {"session_id": "no id!"}
REFUSED = {"weights": (404, "model_unknown"), "resume": (400, "snapshots_off")}


@pytest.mark.parametrize("row", table("field"), ids=lambda row: row["field"])
def test_values_beyond_those_of_the_page_are_refused(caller: Caller, row: dict[str, str]) -> None:
    (*_, most) = row["values"].split(",")[0].split(" to ")
    beyond: Any = float(most) + 1 if most.isdecimal() else "another"
    sizes = SENSOR if row["field"].startswith("`width") else {}
    for name in codes(row["field"]):
        wanted = sizes | {name: int(beyond) if most.isdecimal() else BEYOND.get(name, beyond)}
        answer = caller.http.post("/v1/sessions", json=wanted)
        assert (answer.status_code, answer.json()["code"]) == REFUSED.get(name, (422, "invalid_request"))
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_full_service_says_when_to_try_again() -> None:
    with live_service(small_detector(), max_sessions=1) as live, Caller(live.url) as caller:
        caller.open()
        answer = caller.http.post("/v1/sessions", json={})
        assert (answer.status_code, answer.json()["code"]) == (503, "sessions_full")
        assert int(answer.headers["retry-after"]) > 0


# Messages and their order


def test_a_whole_conversation_is_as_the_schema_says(caller: Caller) -> None:
    messages, client = talk(caller, events(7), "flush", events(3, 7), "reset", events(2), "close")
    kinds = [m["type"] for m in messages]
    assert kinds == (
        ["ready"] + ["window"] * 4 + ["flushed"] + ["window"] * 2 + ["reset", "window", "closed"]
    )
    assert [m["seq"] for m in windows(messages)] == list(range(7))
    assert (messages[-1]["reason"], client.ending) == ("client", (1000, "client"))
    spans = [(m["t_start_us"], m["t_end_us"]) for m in windows(messages)]
    assert spans[:2] == [(0, 2 * SLICE_US), (2 * SLICE_US, 4 * SLICE_US)]
    assert all(start % SLICE_US == end % SLICE_US == 0 for start, end in spans)
    assert any(m["detections"] for m in windows(messages)), "the schema of boxes was put to use"


@pytest.mark.parametrize("row", table("text"), ids=lambda row: row["text"])
def test_each_text_is_answered(caller: Caller, row: dict[str, str]) -> None:
    _, client = caller.start(**LIVELY)
    (text,), (answer, *_) = codes(row["text"]), codes(row["response"])
    client.send(events(1), text)
    assert [m["type"] for m in client.until(answer)] == ["window", answer]
    assert text != "close" or client.rest() == []


@pytest.mark.parametrize("seed", range(3))
def test_windows_are_the_same_however_the_bytes_are_split(caller: Caller, seed: int) -> None:
    data = events(9)
    whole, _ = talk(caller, data, "close")
    parts, _ = talk(caller, *split(data, seed), "close")
    assert same(parts) == same(whole)
    assert sum(m["events"] for m in windows(whole)) == len(data) // 8 == whole[-1]["totals"]["events"]


def test_a_header_names_the_sensor(caller: Caller) -> None:
    header = b"% Data file containing CD events\n% Version 2\n% Width 90\n% Height 60\n\x00\x08"
    messages, _ = talk(caller, header + events(4), "close", width=None, height=None)
    assert messages[0]["width"] is None
    assert same(messages) == same(talk(caller, events(4), "close")[0])


def test_slices_without_events_count_and_long_silence_begins_anew(caller: Caller) -> None:
    still, _ = talk(caller, events(1), events(1, first=5), "close")
    assert [m["events"] for m in windows(still)] == [200, 0, 200]
    leap = 1 + 11_000_000 // SLICE_US
    apart, _ = talk(caller, events(1), events(1, first=leap), "close")
    assert [m["events"] for m in windows(apart)] == [200, 200]
    assert windows(apart)[1]["t_start_us"] == leap * SLICE_US


# Errors and closing

DAT_HEADER = b"% Data file containing CD events\n"
EVT3_HEADER = b"% camera_integrator_name Prophesee\n% format EVT3;width=90;height=60\n% end\n"


Provoke = Callable[[Caller, Live], tuple[list[Message], Client]]


def after(*payloads: bytes | str, **wanted: Any) -> Provoke:
    def provoke(caller: Caller, _: Live) -> tuple[list[Message], Client]:
        messages, client = talk(caller, *payloads, **wanted)
        return messages[1:], client

    return provoke


def refused(caller: Caller, stream_url: str) -> tuple[list[Message], Client]:
    client = caller.connect(stream_url)
    return [client.first, *client.rest()], client


def ended(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session, first = caller.start(**LIVELY)
    first.send("close")
    first.rest()
    return refused(caller, session["stream_url"])


def busy(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session, _first = caller.start(**LIVELY)
    return refused(caller, session["stream_url"])


def elsewhere(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session = caller.open(**LIVELY)
    return refused(caller, session["stream_url"] + "?offset=8")


def too_late(caller: Caller, _: Live) -> tuple[list[Message], Client]:
    session, client = caller.start(**LIVELY)
    client.send(events(HOP * (KEPT + 3)), "flush")
    client.until("flushed")
    client.socket.close()
    return refused(caller, session["stream_url"] + "?seq=0")


def failing(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    """The membranes of a session are no longer numbers."""
    session, client = caller.start(**LIVELY)
    host = live.manager
    slot = host.get(session["session_id"]).slot

    def poison(engine: Any) -> None:
        state = engine.bank.gather([slot])
        engine.bank.scatter([slot], {name: t * float("nan") for name, t in state.items()})

    host.models.default.submit(poison).result(120)
    client.send(events(4))
    return client.rest(), client


def at_fault(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    """Something in the service breaks while it takes bytes."""
    session, client = caller.start(**LIVELY)
    live.manager.get(session["session_id"]).source.feed = lambda _: 1 / 0
    client.send(events(4))
    return client.rest(), client


def left_over(caller: Caller, live: Live) -> tuple[list[Message], Client]:
    """An earlier POST broke off before its many slices were drawn; the next feed meets their limit."""
    session, client = caller.start(**LIVELY)
    live.manager.get(session["session_id"])._feeder._stream_error = PayloadTooLarge("more than 1000 slices")
    client.send(events(4))
    return client.rest(), client


BACKWARDS = events(2, first=200), events(1, first=140), events(1, first=80)
"""Each goes back by less than a second, together by more."""


PROVOKED: dict[str, Provoke] = {
    "session_unknown": lambda caller, _: refused(caller, "/v1/sessions/none/stream"),
    "session_closed": ended,
    "session_busy": busy,
    "wrong_offset": elsewhere,
    "results_gone": too_late,
    "invalid_request": lambda caller, _: refused(caller, caller.open()["stream_url"] + "?offset=soon"),
    "bad_request": after(events(1), "dance"),
    "time_order": after(*BACKWARDS, on_time_jump="fail"),
    "bad_geometry": after(events(1), width=None, height=None),
    "unsupported_format": after(EVT3_HEADER + bytes(4), "close"),
    "truncated": after(DAT_HEADER, "close"),
    "too_large": left_over,
    "step_failed": failing,
    "internal": at_fault,
}


@pytest.mark.parametrize("row", table("code"), ids=lambda row: row["code"])
def test_each_error_comes_with_its_close_code(caller: Caller, live: Live, row: dict[str, str]) -> None:
    (code,) = codes(row["code"])
    messages, client = PROVOKED[code](caller, live)
    error, *closed = [m for m in messages if m["type"] != "window"]
    assert (error["type"], error["code"]) == ("error", code)
    assert client.ending == (int(row["close code"]), code)
    if row["close code"] == "1008":
        assert messages == [error]
    else:
        assert [(m["type"], m["reason"]) for m in closed] == [("closed", code)]
        assert messages[-2:] == [error, *closed]


def test_events_before_a_fault_are_run(caller: Caller) -> None:
    messages, _ = talk(caller, events(4, first=196), *BACKWARDS, on_time_jump="fail")
    assert len(windows(messages)) == messages[-1]["totals"]["windows"] == 3, "the third is cut short"


def test_a_message_over_the_limit_costs_the_connection_only(caller: Caller) -> None:
    session, client = caller.start(**LIVELY)
    with suppress(ConnectionClosed):
        client.send(bytes((4 << 20) + 8))
    assert client.rest() == []
    assert client.ending[0] in (1009, BROKEN)
    again = caller.connect(session["stream_url"])
    assert (again.first["type"], again.first["accepted_bytes"]) == ("ready", 0)


def test_a_silent_session_ends_and_empty_messages_keep_it() -> None:
    with live_service(small_detector(), idle_timeout_s=IDLE_S) as live, Caller(live.url) as caller:
        (_, kept), (_, silent) = caller.start(**LIVELY), caller.start(**LIVELY)
        for _ in range(8):
            time.sleep(IDLE_S / 4)
            kept.send(b"")
        assert silent.rest()[-1]["reason"] == "idle_timeout"
        assert silent.ending == (1000, "idle_timeout")
        kept.send("close")
        assert kept.rest()[-1]["reason"] == "client"


def test_a_service_that_stops_flushes_and_says_so() -> None:
    with live_service(small_detector(), drain_timeout_s=20) as live, Caller(live.url) as caller:
        _, client = caller.start(**LIVELY)
        client.send(events(4))
        first = client.next()
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        messages = [first, *client.rest()]
        stopper.join()
        assert sum(m["events"] for m in windows(messages)) == 4 * 200
        assert (messages[-1]["reason"], client.ending) == ("shutdown", (1001, "shutdown"))


def test_a_service_that_may_not_wait_closes_with_1012() -> None:
    with live_service(small_detector(), drain_timeout_s=0.1) as live, Caller(live.url) as caller:
        held = hold_back(live)
        _, client = caller.start(**LIVELY)
        client.send(events(4))
        stopper = threading.Thread(target=live.stop)
        stopper.start()
        client.rest()
        held.set()
        stopper.join()
        assert client.ending[0] == 1012


def test_each_close_code_of_the_page_was_seen_here() -> None:
    told = {row["close code"] for row in table("close code")}
    assert told == {"1000", "1001", "1009", "1012"} | {row["close code"] for row in table("code")}
    assert {code for row in table("code") for code in codes(row["code"])} == set(PROVOKED)


# Backpressure, resuming


def hold_back(live: Live) -> threading.Event:
    """Keep the detector from its work until the event is set."""
    held = threading.Event()
    live.model.submit(lambda _engine: held.wait(120))
    return held


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
def test_block_loses_nothing_and_drop_oldest_tells_what_it_lost(policy: str) -> None:
    with live_service(small_detector(), inbox_slices=4) as live, Caller(live.url) as caller:
        held = hold_back(live)
        session, client = caller.start(**LIVELY, policy=policy)
        client.send(events(40), "close")
        look = f"/v1/sessions/{session['session_id']}"
        until(lambda: caller.http.get(look).json()["queued_slices"] == 4)
        held.set()
        *found, closed = client.rest()
        totals = closed["totals"]
        run, lost = sum(m["events"] for m in found), totals["dropped_events"].get("too_fast", 0)
        assert run + lost == 40 * 200
        assert found[-1]["t_end_us"] == 40 * SLICE_US
        assert found[-1]["dropped_windows"] == totals["dropped_windows"] == totals["dropped_slices"] // HOP
        assert policy == "drop_oldest" or lost == 0


def test_results_unread_leave_a_gap_in_seq() -> None:
    with live_service(small_detector(), outbox_windows=2) as live, Caller(live.url) as caller:
        held = hold_back(live)
        session, client = caller.start(**LIVELY, policy="drop_oldest")
        look = f"/v1/sessions/{session['session_id']}"
        client.send(events(11))
        until(lambda: caller.http.get(look).json()["queued_slices"] == 10)
        client.socket.close()
        held.set()
        until(lambda: caller.http.get(look).json()["totals"]["windows"] == 5)
        again = caller.connect(session["stream_url"])
        again.send("close")
        *found, closed = again.rest()
        assert [m["seq"] for m in found] == [3, 4, 5]
        assert closed["totals"]["dropped_windows"] == found[0]["dropped_windows"] == 3


def test_a_broken_connection_is_taken_up_at_the_byte_after_the_last(caller: Caller) -> None:
    data = events(9)
    whole, _ = talk(caller, data, "close")
    session, first = caller.start(**LIVELY)
    first.send(data[:7013])
    before = [first.next()]
    first.socket.close()
    second = caller.connect(session["stream_url"])
    accepted = second.first["accepted_bytes"]
    assert accepted == 7013
    second.send(data[accepted:], "close")
    found = before + [m for m in windows(second.rest()) if m["seq"] > before[-1]["seq"]]
    assert same(found) == same(whole)


def test_offset_and_seq_lose_nothing_and_give_nothing_twice(caller: Caller) -> None:
    data = events(9)
    whole, _ = talk(caller, data, "close")
    session, first = caller.start(**LIVELY)
    first.send(data[:7013])
    before = [first.next()]
    first.socket.close()
    look = caller.http.get(f"/v1/sessions/{session['session_id']}").json()
    accepted, place = look["accepted_bytes"], f"?offset={look['accepted_bytes']}&seq={before[-1]['seq'] + 1}"
    second = caller.connect(session["stream_url"] + place)
    second.send(data[accepted:], "close")
    assert same(before + second.rest()) == same(whole)


def test_a_session_outlives_the_process(tmp_path: Path) -> None:
    data = events(9)
    found: dict[int, Message] = {}
    settings: dict[str, Any] = {"snapshot_dir": tmp_path, "drain_timeout_s": 20}
    with live_service(small_detector(), **settings) as live, Caller(live.url) as caller:
        whole, _ = talk(caller, data, "close")
        session, client = caller.start(**LIVELY)
        client.send(data[:7013])
        first = client.next()
        live.stop()
        found |= {m["seq"]: m for m in [first, *windows(client.rest())]}
    with live_service(small_detector(), **settings) as live, Caller(live.url) as caller:
        saved = caller.open(resume=session["session_id"])
        client = caller.connect(saved["stream_url"])
        client.send(data[saved["accepted_bytes"] :], "close")
        found |= {m["seq"]: m for m in windows(client.rest())}
    assert same(list(found.values())) == same(whole)
