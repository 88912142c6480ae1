"""Addresses of sinks: what is accepted, and clear errors that show no secret."""

import pytest

from spikewatch.service.errors import InvalidSettings
from spikewatch.service.sinks.address import MqttAddress, WebhookOptions, parse_sinks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_broker_address_has_defaults_and_decodes_its_parts() -> None:
    urls = ["mqtt://broker", "mqtts://u%40x:p%3Aw@broker:9000/site/gate?qos=2"]
    plain, secured = parse_sinks(urls, WebhookOptions())
    assert plain == MqttAddress("mqtt", "broker", 1883, "spikewatch", False, 1, None, None)
    assert secured == MqttAddress("mqtt_2", "broker", 9000, "site/gate", True, 2, "u@x", "p:w")


@pytest.mark.parametrize(
    ("url", "secret", "words"),
    [
        ("ftp://host/x", SECRET, "unknown scheme 'ftp'"),
        ("boxes.ndjson", SECRET, "unknown scheme ''"),
        ("mqtt:///x", SECRET, "no host"),
        ("mqtt://h/a+b", SECRET, "wildcard"),
        ("mqtt://h/a?qos=3", SECRET, "qos=3"),
        ("mqtt://user:topsecret@h/a?retain=1", SECRET, "unknown option retain"),
        ("mqtt://user:topsecret@h:99999/a", SECRET, "[Pp]ort out of range"),
        ("https://h/a", None, "needs SPIKEWATCH_WEBHOOK_SECRET"),
        ("https://h/a", "whsec_topsecret!", "not base64"),
        ("https://h/a", "whsec_dG9wc2VjcmV0", "has 9 bytes"),
        ("https://h/a#all", SECRET, "#all"),
        ("file:///nowhere/x.ndjson", SECRET, "no folder /nowhere"),
        ("file:///tmp/x.txt", SECRET, ".ndjson or .csv"),
        ("file:///tmp/x.csv?max_bytes=12", SECRET, "max_bytes=12"),
    ],
)
def test_bad_address_is_one_clear_error(url: str, secret: str | None, words: str) -> None:
    with pytest.raises(InvalidSettings, match=words) as caught:
        parse_sinks([url], WebhookOptions(secret))
    assert "topsecret" not in str(caught.value)
    assert "dG9wc" not in str(caught.value)


def test_sinks_are_bounded() -> None:
    with pytest.raises(InvalidSettings, match="9 sinks; at most 8"):
        parse_sinks(["mqtt://h"] * 9, WebhookOptions())
