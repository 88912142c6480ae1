"""Who may come in: keys, tickets for WebSockets, origins and hosts."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import SplitResult, urlsplit

from spikewatch.service.auth.client import Caller
from spikewatch.service.auth.key_file import load_keys
from spikewatch.service.auth.keys import KeyLimits, find_key
from spikewatch.service.auth.tickets import Tickets
from spikewatch.service.errors import BadRequest, ForeignOrigin, NoKey, UploadsFull, WrongKey
from spikewatch.service.settings import Settings

HEALTH = "/v2/health/"
METRICS = "/metrics"
PAGES = ("/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
PAGE_FOLDERS = ("/viewer/", "/pages/")
"""Paths that hold no data of anyone; METRICS and the pages can be put behind a key all the same."""


class Access:
    """The keys of one service and what they use.

    Raises:
        BadSettings: the keys cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = load_keys(settings)
        self._callers: dict[str, Caller] = {}
        self._uploads = 0
        self.tickets = Tickets(self._is_known)
        self.required = bool(self._keys())
        self._without_key = Caller("nobody", KeyLimits(1, 1, 1)) if self.required else Caller("anyone", None)

    def identify(self, key: str | None, path: str) -> Caller:
        """Who presents this key.

        Raises:
            NoKey, WrongKey: the path is not for everyone, and the key does not open it.
        """
        if not self.required or (key is None and self._is_open(path)):
            return self._without_key
        if key is None:
            raise NoKey(
                "this service takes requests with a key: Authorization: Bearer KEY, or X-API-Key: KEY"
            )
        found = find_key(self._keys(), key)
        if found is None:
            raise WrongKey("no key of this service is like this one")
        caller = self._callers.setdefault(found.name, Caller(found.name, found.limits))
        caller.renew(found)
        return caller

    def check_host(self, host: str) -> None:
        """Refuse names under which this service is not known, if it was told which these are.

        Raises:
            BadRequest: `host` is another.
        """
        known = self._settings.allowed_hosts
        if known and _split(f"//{host}").hostname not in known:
            raise BadRequest("this service is not known under the name that the request calls it by")

    def check_origin(self, origin: str | None, host: str) -> None:
        """Refuse what a page of another site makes a browser send; other programs name no origin.

        Raises:
            ForeignOrigin: the origin is neither this service nor one that was allowed.
        """
        if origin is None or origin in self._settings.cors_origins or _split(origin).netloc == host != "":
            return
        raise ForeignOrigin(
            f"a page of {origin[:100]} may not use this service; its origin must equal the Host header, "
            "or stand in SPIKEWATCH_CORS_ORIGINS"
        )

    @contextmanager
    def upload(self, caller: Caller) -> Iterator[None]:
        """While a recording is on its way.

        Raises:
            UploadsFull, KeyUploads: as many are as may be, of all or of this key.
        """
        if self._uploads >= self._settings.max_uploads:
            raise UploadsFull(f"{self._settings.max_uploads} recordings are being uploaded; try again later")
        with caller.upload():
            self._uploads += 1
            try:
                yield
            finally:
                self._uploads -= 1

    def _is_known(self, digest: bytes) -> bool:
        return any(key.digest == digest for key in self._keys())

    def _is_open(self, path: str) -> bool:
        if path == METRICS:
            return not self._settings.key_for_metrics
        if path in PAGES or path.startswith(PAGE_FOLDERS):
            return not self._settings.key_for_viewer
        return path.startswith(HEALTH)


def is_loopback(host: str) -> bool:
    """True if only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _split(address: str) -> SplitResult:
    """The parts of an address; none, if it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
