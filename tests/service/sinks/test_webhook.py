"""Webhooks against a real web server; signatures are checked by the library of Standard Webhooks."""

import json
from pathlib import Path

import pytest

from spikewatch.service.sinks.address import WebhookAddress, WebhookOptions, parse_sinks
from spikewatch.service.sinks.hub import SinkHub
from spikewatch.service.sinks.spool import Spool
from tests.service.sinks.support.messages import make_message
from tests.service.sinks.support.receiver import Receiver, receiver
from tests.service.support.process import free_port
from tests.service.support.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def open_hub(url: str, reports: list[str], spool: Path | None = None, spool_bytes: int = 1 << 20) -> SinkHub:
    addresses = parse_sinks([url], WebhookOptions(SECRET, spool, spool_bytes))
    return SinkHub(addresses, 100, "drop_oldest", reports.append)


def seqs(received: Receiver) -> list[int]:
    return [result["seq"] for _, body in received.requests for result in json.loads(body)["data"]]


def test_requests_are_signed_and_hold_every_result() -> None:
    library = pytest.importorskip("standardwebhooks", reason="needs the extra dev")
    reports: list[str] = []
    with receiver() as received, open_hub(received.url, reports) as hub:
        for seq in range(5):
            hub.publish(make_message("gate", seq, ("entered",)))
        until(lambda: hub.runners[0].state.delivered == 5)
    assert seqs(received) == [0, 1, 2, 3, 4]
    for headers, body in received.requests:
        content = library.Webhook(SECRET).verify(body, headers)
        assert content["type"] == "spikewatch.windows"
        assert {result["session"] for result in content["data"]} == {"gate"}
        with pytest.raises(library.WebhookVerificationError):
            library.Webhook(SECRET).verify(body.replace(b"gate", b"door"), headers)
    assert reports == []


def test_failed_delivery_is_retried_with_the_same_id_in_order() -> None:
    reports: list[str] = []
    with receiver() as received, open_hub(received.url, reports) as hub:
        received.statuses = [503, 429]
        hub.publish(make_message("gate", 0))
        until(lambda: hub.runners[0].state.delivered == 1)
        hub.publish(make_message("gate", 1))
        until(lambda: hub.runners[0].state.delivered == 2)
    ids = [headers["webhook-id"] for headers, _ in received.requests]
    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert [headers["idempotency-key"] for headers, _ in received.requests] == ids
    assert seqs(received) == [0, 0, 0, 1]
    assert [report.split(":")[0].split(";")[0] for report in reports] == [
        *("sink webhook is down", "sink webhook is back"),
    ]


def test_outage_is_reported_once_and_replayed_after_a_restart(tmp_path: Path) -> None:
    reports: list[str] = []
    port = free_port()
    with open_hub(f"http://127.0.0.1:{port}/hook", reports, tmp_path) as hub:
        for seq in range(3):
            hub.publish(make_message("gate", seq))
        until(lambda: len(reports) == 1)
        hub.publish(make_message("gate", 3))
    state = hub.runners[0].state
    assert len(reports) == 1, "said once, however many attempts fail"
    assert (state.delivered, state.dropped) == (0, 0)
    with receiver(port) as received, open_hub(received.url, reports, tmp_path) as hub:
        hub.publish(make_message("gate", 4))
        until(lambda: hub.runners[0].state.delivered == 5)
    assert seqs(received) == [0, 1, 2, 3, 4]
    with receiver(port) as received, open_hub(received.url, reports, tmp_path) as hub:
        hub.publish(make_message("gate", 5))
        until(lambda: hub.runners[0].state.delivered == 1)
    assert seqs(received) == [5], "what was accepted is not sent again"


def test_spool_keeps_the_newest_deliveries_within_its_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 1000)
    dropped = [spool.append(bytes(400), results) for results in (1, 2, 4, 8)]
    assert dropped == [0, 0, 1, 2]
    assert (spool.size, spool.results()) == (800, 12)
    assert spool.append(bytes(5000), 16) == 12, "one that is larger than the bound is kept alone"
    spool.close()
    again = Spool(tmp_path / "spool.sqlite", 1000)
    oldest = again.oldest()
    assert oldest is not None
    assert (again.size, oldest.results, oldest.body) == (5000, 16, bytes(5000))
    again.remove(oldest)
    assert (again.size, again.oldest()) == (0, None)
    again.close()


def test_rejected_delivery_is_counted_and_not_repeated() -> None:
    reports: list[str] = []
    with receiver() as received, open_hub(received.url, reports) as hub:
        received.statuses = [400]
        hub.publish(make_message("gate", 0))
        until(lambda: hub.runners[0].state.refused == 1)
        hub.publish(make_message("gate", 1))
        until(lambda: hub.runners[0].state.delivered == 1)
    assert seqs(received) == [0, 1]
    assert reports == ["sink webhook refused 1 results: HTTP 400; they are not sent again"]


def test_zone_events_alone_can_be_chosen() -> None:
    with receiver() as received, open_hub(received.url + "#zone_events", []) as hub:
        for seq in range(4):
            hub.publish(make_message("gate", seq, ("crossed",) if seq % 2 else ()))
        until(lambda: hub.runners[0].state.delivered == 2)
    assert seqs(received) == [1, 3]


def test_second_process_on_one_spool_is_down_instead_of_sending_twice(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "webhook.sqlite", 1000)
    spool.append(b"{}", 1)
    reports: list[str] = []
    with receiver() as received, open_hub(received.url, reports, tmp_path) as hub:
        until(lambda: len(reports) == 1)
        assert "database is locked" in reports[0]
        spool.close()
        hub.publish(make_message("gate", 0))
        until(lambda: hub.runners[0].state.delivered == 2)
    assert received.requests[0][1] == b"{}"


def test_address_of_a_webhook_never_shows_its_secret() -> None:
    (address,) = parse_sinks(["https://host/hook?token=abc"], WebhookOptions(SECRET))
    assert isinstance(address, WebhookAddress)
    assert address.url == "https://host/hook?token=abc"
    assert "MfKQ" not in repr(address)
