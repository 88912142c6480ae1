"""The service keeps what docs/protocol.md promises: a client written from that page alone.

Only what cannot be brought about from outside (a stuck or failing detector) reaches into the service.
"""

from typing import Any

import pytest

from tests.e2e.support.conversation import LIVELY, SENSOR, SLICE_US, events, same, split, talk, windows
from tests.e2e.support.protocol import SCHEMA, VALIDATOR, Caller, codes, table
from tests.model.support.fakes import small_detector
from tests.service.support.live import live_service


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
    "filters": {
        "region": [0, 0, 60, 48],
        "hot_pixels": [[3, 4]],
        "hot_hz": 50.0,
        "hot_window_us": 2_000_000,
        "refractory_us": 500,
        "background_us": 5000,
    },
    "zones": [
        {
            "name": "door",
            "polygon": [[0, 0], [30, 0], [30, 40.5]],
            "line": None,
            "anchor": "centre",
            "margin_px": 2,
            "dwell_s": 10,
        },
    ],
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
