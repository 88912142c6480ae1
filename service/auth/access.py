"""Who may come in: keys, tickets for WebSockets, origins and hosts."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from spikewatch.service.auth.client import Client
from spikewatch.service.auth.key_file import load_keys
from spikewatch.service.auth.keys import KeyLimits, find_key
from spikewatch.service.auth.tickets import Tickets
from spikewatch.service.errors import BadRequest, InvalidKey, MissingKey, OriginNotAllowed, TooManyUploads
from spikewatch.service.settings import Settings

HEALTH_PREFIX = "/v2/health/"
METRICS_PATH = "/metrics"
PAGE_PATHS = ("/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
PAGE_PREFIXES = ("/viewer/", "/pages/")
"""Paths that hold no data of anyone; METRICS and the pages can be put behind a key all the same."""


class Authenticator:
    """The keys of one service and what they use.

    Raises:
        InvalidSettings: the keys cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = load_keys(settings)
        self._clients: dict[str, Client] = {}
        self._active_uploads = 0
        self.tickets = Tickets(self._is_valid_key)
        self.key_required = bool(self._keys())
        self._anonymous = (
            Client("nobody", KeyLimits(1, 1, 1)) if self.key_required else Client("anyone", None)
        )

    def authenticate(self, key: str | None, path: str) -> Client:
        """Who presents this key.

        Raises:
            MissingKey, InvalidKey: the path is not for everyone, and the key does not open it.
        """
        if not self.key_required or (key is None and self._is_public_path(path)):
            return self._anonymous
        if key is None:
            raise MissingKey(
                "this service takes requests with a key: Authorization: Bearer KEY, or X-API-Key: KEY"
            )
        found = find_key(self._keys(), key)
        if found is None:
            raise InvalidKey("no key of this service is like this one")
        caller = self._clients.setdefault(found.name, Client(found.name, found.limits))
        caller.update_key(found)
        return caller

    def check_host(self, host: str) -> None:
        """Refuse names under which this service is not known, if it was told which these are.

        Raises:
            BadRequest: `host` is another.
        """
        known = self._settings.allowed_hosts
        if known and _parse_url(f"//{host}").hostname not in known:
            raise BadRequest("this service is not known under the name that the request calls it by")

    def check_origin(self, origin: str | None, host: str) -> None:
        """Refuse what a page of another site makes a browser send; other programs name no origin.

        Raises:
            OriginNotAllowed: the origin is neither this service nor one that was allowed.
        """
        if origin is None or origin in self._settings.cors_origins or _parse_url(origin).netloc == host != "":
            return
        raise OriginNotAllowed(
            f"a page of {origin[:100]} may not use this service; its origin must equal the Host header, "
            "or stand in SPIKEWATCH_CORS_ORIGINS"
        )

    @contextmanager
    def upload_slot(self, client: Client) -> Iterator[None]:
        """While a recording is on its way.

        Raises:
            TooManyUploads, TooManyKeyUploads: as many are as may be, of all or of this key.
        """
        if self._active_uploads >= self._settings.max_uploads:
            raise TooManyUploads(
                f"{self._settings.max_uploads} recordings are being uploaded; try again later"
            )
        with client.upload_slot():
            self._active_uploads += 1
            try:
                yield
            finally:
                self._active_uploads -= 1

    def _is_valid_key(self, digest: bytes) -> bool:
        return any(key.digest == digest for key in self._keys())

    def _is_public_path(self, path: str) -> bool:
        if path == METRICS_PATH:
            return not self._settings.key_for_metrics
        if path in PAGE_PATHS or path.startswith(PAGE_PREFIXES):
            return not self._settings.key_for_viewer
        return path.startswith(HEALTH_PREFIX)


def is_loopback(host: str) -> bool:
    """True if only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _parse_url(address: str) -> SplitResult:
    """The parts of an address; none, if it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
