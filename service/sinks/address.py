"""Sinks as they are named on the command line and in settings: one URL each."""

import base64
import binascii
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from spikewatch.service.errors import InvalidSettings

MIB = 1 << 20
MAX_SINKS = 8
FILE_SUFFIXES = (".ndjson", ".csv")
SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
EXPECTED = "expected mqtt://HOST/PREFIX, mqtts://, http:// or https://HOST/PATH, or file:///PATH.ndjson|.csv"


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """A broker and the first levels of its topics."""

    name: str
    host: str
    port: int
    prefix: str
    tls: bool
    qos: int
    username: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """A webhook.

    Attributes:
        spool: file of deliveries that wait; None keeps them in memory.
    """

    name: str
    url: str
    secret: bytes = field(repr=False)
    only_zone_events: bool
    spool: Path | None
    spool_bytes: int


@dataclass(frozen=True, slots=True)
class FileAddress:
    """A file to append to."""

    name: str
    path: Path
    max_bytes: int


SinkAddress = MqttAddress | WebhookAddress | FileAddress


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Options of all webhooks.

    Attributes:
        secret: `whsec_` and the key in base64, as Standard Webhooks writes it.
        spool_dir: folder of spools; None keeps deliveries in memory.
    """

    secret: str | None = field(default=None, repr=False)
    spool_dir: Path | None = None
    spool_bytes: int = 64 * MIB


def parse_sinks(urls: Iterable[str], webhooks: WebhookOptions) -> list[SinkAddress]:
    """Return the addresses, named by kind: mqtt, webhook, file; a second one is mqtt_2.

    Raises:
        InvalidSettings: an address is invalid, or there are too many.
    """
    wanted = list(urls)
    if len(wanted) > MAX_SINKS:
        raise InvalidSettings(f"{len(wanted)} sinks; at most {MAX_SINKS}")
    counts: Counter[str] = Counter()
    addresses = []
    for url in wanted:
        parts = _split(url)
        kind = {"mqtt": "mqtt", "mqtts": "mqtt", "file": "file"}.get(parts.scheme, "webhook")
        counts[kind] += 1
        name = kind if counts[kind] == 1 else f"{kind}_{counts[kind]}"
        try:
            addresses.append(_parse(name, kind, parts, webhooks))
        except ValueError as error:
            raise InvalidSettings(f"sink {redacted(parts)}: {error}") from error
    return addresses


def redacted(parts: SplitResult) -> str:
    """Return an address without user, password and query, which can hold secrets."""
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidSettings(f"a sink is not a URL: {error}; {EXPECTED}") from None
    if parts.scheme not in ("mqtt", "mqtts", "http", "https", "file"):
        raise InvalidSettings(f"sink {redacted(parts)}: unknown scheme {parts.scheme!r}; {EXPECTED}")
    return parts


def _parse(name: str, kind: str, parts: SplitResult, webhooks: WebhookOptions) -> SinkAddress:
    if kind == "file":
        return _parse_file(name, parts)
    if not parts.hostname:
        raise ValueError(f"no host; {EXPECTED}")
    return _parse_mqtt(name, parts) if kind == "mqtt" else _parse_webhook(name, parts, webhooks)


def _parse_mqtt(name: str, parts: SplitResult) -> MqttAddress:
    options = _options(parts, {"qos": "1"})
    if options["qos"] not in ("0", "1", "2"):
        raise ValueError(f"qos={options['qos']}; expected 0, 1 or 2")
    prefix = unquote(parts.path).strip("/") or "spikewatch"
    if set("+#\0") & set(prefix):
        raise ValueError(f"topic prefix {prefix!r} has a wildcard; expected levels such as site/gate")
    tls = parts.scheme == "mqtts"
    assert parts.hostname
    return MqttAddress(
        name,
        parts.hostname,
        parts.port or (8883 if tls else 1883),
        prefix,
        tls,
        int(options["qos"]),
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


def _parse_webhook(name: str, parts: SplitResult, webhooks: WebhookOptions) -> WebhookAddress:
    only_zone_events = parts.fragment == "zone_events"
    if parts.fragment and not only_zone_events:
        raise ValueError(f"#{parts.fragment}; expected #zone_events, or nothing for all results")
    spool = None if webhooks.spool_dir is None else webhooks.spool_dir / f"{name}.sqlite"
    secret = parse_secret(webhooks.secret)
    return WebhookAddress(
        name, parts._replace(fragment="").geturl(), secret, only_zone_events, spool, webhooks.spool_bytes
    )


def parse_secret(text: str | None) -> bytes:
    """Return the key of a secret.

    Raises:
        ValueError: it is missing, not base64, or too short or long. The message does not quote it.
    """
    expected = (
        f"expected {SECRET_PREFIX} and 24 to 64 bytes in base64, such as `openssl rand -base64 32` gives"
    )
    if text is None:
        raise ValueError(f"a webhook needs SPIKEWATCH_WEBHOOK_SECRET; {expected}")
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"SPIKEWATCH_WEBHOOK_SECRET is not base64; {expected}") from None
    if len(key) not in SECRET_BYTES:
        raise ValueError(f"SPIKEWATCH_WEBHOOK_SECRET has {len(key)} bytes; {expected}")
    return key


def _parse_file(name: str, parts: SplitResult) -> FileAddress:
    path = Path(unquote(parts.path))
    if parts.hostname or path.suffix not in FILE_SUFFIXES:
        raise ValueError(f"expected file:///PATH with the ending {' or '.join(FILE_SUFFIXES)}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent}")
    options = _options(parts, {"max_bytes": str(1024 * MIB)})
    if not options["max_bytes"].isdecimal() or int(options["max_bytes"]) < 1024:
        raise ValueError(f"max_bytes={options['max_bytes']}; expected an integer from 1024")
    return FileAddress(name, path, int(options["max_bytes"]))


def _options(parts: SplitResult, defaults: dict[str, str]) -> dict[str, str]:
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(given) - set(defaults)):
        raise ValueError(f"unknown option {unknown[0]}; expected {', '.join(defaults)}")
    return defaults | given
