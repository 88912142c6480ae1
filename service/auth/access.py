"""Authentication of requests: keys, tickets for WebSockets, origins and hosts."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from spikewatch.service.auth.key_file import load_keys
from spikewatch.service.auth.keys import KeyLimits, find_key
from spikewatch.service.auth.principal import Principal
from spikewatch.service.auth.tickets import Tickets
from spikewatch.service.concurrency import Slots
from spikewatch.service.errors import BadRequest, InvalidKey, MissingKey, OriginNotAllowed, TooManyUploads
from spikewatch.service.settings import Settings

HEALTH_PREFIX = "/v2/health/"
METRICS_PATH = "/metrics"
DEFAULT_PORTS = {"http": 80, "https": 443}
PAGE_PATHS = ("/", "/docs", "/openapi.json", "/favicon.ico")
PAGE_PREFIXES = ("/viewer/", "/pages/", "/docs/")
"""Public paths, which hold no data of sessions. Settings can require a key for metrics and pages."""


class Authenticator:
    """The keys of one service, and their current uploads.

    Raises:
        InvalidSettings: the keys cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = load_keys(settings)
        self._clients: dict[str, Principal] = {}
        self._uploads = Slots()
        self.tickets = Tickets(self._is_valid_key)
        self.key_required = bool(self._keys())
        self._anonymous = (
            Principal("nobody", KeyLimits(1, 1, 1)) if self.key_required else Principal("anyone", None)
        )

    def authenticate(self, key: str | None, path: str) -> Principal:
        """Return the client of this key.

        Raises:
            MissingKey, InvalidKey: the path is not public, and the key is missing or invalid.
        """
        if not self.key_required or (key is None and self.is_public_path(path)):
            return self._anonymous
        if key is None:
            raise MissingKey(
                f"no API key for {path:.100}; send it as Authorization: Bearer KEY, or as X-API-Key: KEY"
            )
        found = find_key(self._keys(), key)
        if found is None:
            raise InvalidKey("invalid API key")  # no value: it is a secret
        client = self._clients.setdefault(found.name, Principal(found.name, found.limits))
        client.update_key(found)
        return client

    def check_host(self, host: str) -> None:
        """Check the Host header against the allowed hosts, if any are set.

        Raises:
            BadRequest: `host` is not allowed.
        """
        allowed = self._settings.allowed_hosts
        if allowed and _parse_url(f"//{host}").hostname not in allowed:
            raise BadRequest(
                f"host {host[:100]!r} is not allowed; add it to SPIKEWATCH_ALLOWED_HOSTS if it should be"
            )

    def check_origin(self, origin: str | None, host: str) -> None:
        """Check the origin that a browser sends; other programs send none.

        Raises:
            OriginNotAllowed: the origin is neither this service nor an allowed one.
        """
        if origin is None or _same_origin(origin, host):
            return
        if any(_parse_origin(origin) == _parse_origin(allowed) for allowed in self._settings.cors_origins):
            return
        raise OriginNotAllowed(
            f"origin {origin[:100]!r} is not allowed; use {host[:100]!r}, or add the origin to "
            "SPIKEWATCH_CORS_ORIGINS"
        )

    @contextmanager
    def upload_slot(self, client: Principal) -> Iterator[None]:
        """Count an upload while the block runs.

        Raises:
            TooManyUploads, TooManyKeyUploads: too many concurrent uploads, of all clients or of this key.
        """
        limit = self._settings.max_uploads
        full = TooManyUploads(f"too many concurrent uploads, at most {limit}; retry later")
        with self._uploads.hold(limit, full), client.upload_slot():
            yield

    def _is_valid_key(self, digest: bytes) -> bool:
        return any(key.digest == digest for key in self._keys())

    def is_public_path(self, path: str) -> bool:
        """Return whether a path needs no key, though others do."""
        if path == METRICS_PATH:
            return not self._settings.key_for_metrics
        if path in PAGE_PATHS or path.startswith(PAGE_PREFIXES):
            return not self._settings.key_for_viewer
        return path.startswith(HEALTH_PREFIX)


def is_loopback(host: str) -> bool:
    """Return whether `host` can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _same_origin(origin: str, host: str) -> bool:
    """Return whether a page of `origin` requests its own host.

    A proxy with TLS hides the scheme of the request, so that of the origin is assumed.
    """
    sender = _parse_origin(origin)
    return sender is not None and sender == _parse_origin(f"{sender[0]}://{host}")


def _parse_origin(origin: str) -> tuple[str, str, int] | None:
    """Return scheme, host in lower case and port of an origin; None if it is none of http or https."""
    parts = _parse_url(origin)
    try:
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if port and parts.hostname else None


def _parse_url(address: str) -> SplitResult:
    """Return the parts of a URL; empty parts if it is invalid."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
