"""What a client makes of messages and failures, without a service."""

import time
from typing import Any

import pytest

from spikewatch.ingest.errors import TruncatedError
from spikewatch.service.client.messages import MessageHandler
from spikewatch.service.client.retry import MAX_DELAY_S, RetryBudget
from spikewatch.service.errors import PayloadTooLarge, ResultsExpired, SessionClosed

READY = {"type": "ready"}
FLUSHED = {"type": "flushed"}
TRUNCATED = {"type": "error", "code": "truncated", "detail": "cut short"}
TOO_EARLY = {"type": "error", "code": "wrong_offset", "detail": "the next byte is another"}
GONE = {"type": "error", "code": "results_gone", "detail": "kept no longer"}


def window(seq: int) -> dict[str, Any]:
    return {"type": "window", "seq": seq}


def closed(reason: str, resumable: bool = False) -> dict[str, Any]:
    return {"type": "closed", "reason": reason, "detail": f"for {reason}", "resumable": resumable}


def heard(*messages: dict[str, Any]) -> tuple[MessageHandler, list[dict[str, Any]]]:
    shown: list[dict[str, Any]] = []
    all_of_it = MessageHandler(shown.append)
    for message in messages:
        all_of_it.handle(message)
    return all_of_it, shown


def test_each_message_is_shown_once() -> None:
    first = [READY, window(0), window(1), closed("shutdown", resumable=True)]
    second = [READY, window(1), {"type": "saved"}, window(2), FLUSHED, closed("client")]
    all_of_it, shown = heard(*first)
    assert all_of_it.outcome(1001, "shutdown")
    for message in second:
        all_of_it.handle(message)
    assert all_of_it.outcome(1000, "client") is None
    assert shown == [READY, window(0), window(1), {"type": "saved"}, window(2), closed("client")]


def test_a_refusal_is_forgotten_once_the_next_try_works() -> None:
    all_of_it, _ = heard(TOO_EARLY)
    assert all_of_it.outcome(1008, "wrong_offset")
    for message in (READY, FLUSHED, closed("client")):
        all_of_it.handle(message)
    assert all_of_it.outcome(1000, "client") is None


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([READY, FLUSHED, closed("client")], 1000),
        ([READY, FLUSHED, closed("shutdown", resumable=True)], 1001),
        ([READY, FLUSHED], 1006),
    ],
)
def test_the_end_is_when_all_results_have_come(messages: list[dict[str, Any]], code: int) -> None:
    assert heard(*messages)[0].outcome(code, "") is None


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], 1006),
        ([READY], 1006),
        ([READY], 1000),
        ([READY], 1012),
        ([READY, closed("shutdown", resumable=True)], 1001),
        ([READY, closed("idle_timeout", resumable=True)], 1000),
        ([TOO_EARLY], 1008),
    ],
)
def test_what_is_worth_another_try(messages: list[dict[str, Any]], code: int) -> None:
    all_of_it, shown = heard(*messages)
    assert all_of_it.outcome(code, "")
    assert shown == messages[:1] * (READY in messages), "it is not the end, and does not look like it"


@pytest.mark.parametrize(
    ("messages", "code", "error", "words"),
    [
        ([READY, closed("shutdown")], 1001, SessionClosed, "for shutdown"),
        ([READY, closed("idle_timeout")], 1000, SessionClosed, "for idle_timeout"),
        ([READY, closed("client")], 1000, SessionClosed, "for client"),
        ([READY, TRUNCATED, closed("truncated", resumable=True)], 1007, TruncatedError, "cut short"),
        ([READY, FLUSHED, TRUNCATED, closed("truncated")], 1007, TruncatedError, "cut short"),
        ([GONE], 1008, ResultsExpired, "kept no longer"),
        ([READY], 1009, PayloadTooLarge, "too big"),
    ],
)
def test_what_no_other_try_mends(
    messages: list[dict[str, Any]], code: int, error: type[Exception], words: str
) -> None:
    all_of_it, shown = heard(*messages)
    with pytest.raises(error, match=words):
        all_of_it.outcome(code, "too big")
    assert shown == [message for message in messages if message != FLUSHED]


def test_patience_counts_time_in_vain() -> None:
    patience = RetryBudget(0.2)
    assert patience.untouched
    patience.start()
    time.sleep(0.05)
    patience.stop()
    left_s = patience.remaining_s
    assert not patience.untouched
    time.sleep(0.05)
    assert patience.remaining_s == left_s <= 0.15, "time with a connection does not count"
    patience.start()
    time.sleep(0.2)
    assert (patience.remaining_s, patience.next_delay_s()) == (0, 0)
    patience.reset()
    assert (patience.untouched, patience.remaining_s) == (True, 0.2)


def test_pauses_grow_up_to_a_bound_and_begin_anew() -> None:
    patience = RetryBudget(1000)
    pauses = [patience.next_delay_s() for _ in range(12)]
    assert pauses[0] <= 0.25
    assert MAX_DELAY_S / 2 <= pauses[-1] <= MAX_DELAY_S
    patience.reset()
    assert patience.next_delay_s() <= 0.25
