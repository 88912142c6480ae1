"""A session of a service elsewhere: opened over HTTP, and found again when its connection broke."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from spikewatch.service.client.problems import error_from_response, problem_body
from spikewatch.service.client.retry import RetryLater
from spikewatch.service.errors import SessionClosed

RETRYABLE_STATUS = (408, 429, 502, 503, 504)
"""Statuses of a service, or of a proxy before it, that may change a moment later."""

RESPONSE_TIMEOUT_S = 30.0
"""Longest wait for a response: the service may have to load a model first."""


STATE_TIMEOUT_S = 5.0
"""Longest wait for the state of a session or upload: its request may go into a connection that is dead."""


MAX_MOVES = 8
"""Redirects to other workers that a request, or a stream without progress, follows."""


class RemoteSession:
    """A session of a service elsewhere. The HTTP client belongs to the caller.

    Args:
        http: client, which sends the key.
        url: base address of the service, or of several workers of one cluster.

    Attributes:
        url: base address of the worker that has the session, as far as known.
    """

    def __init__(self, http: httpx.AsyncClient, url: str | Sequence[str]) -> None:
        self._urls = base_addresses(url)
        self.url = self._urls[0]
        self.info: Mapping[str, Any] = {}
        self._http = http

    @property
    def id(self) -> str:
        """Id of the session, empty before `open`."""
        return str(self.info.get("session_id", ""))

    @property
    def headers(self) -> dict[str, str]:
        """Headers for the WebSocket: the key, if there is one."""
        return {name: value for name, value in self._http.headers.items() if name == "x-api-key"}

    async def open(self, session_request: Mapping[str, Any]) -> None:
        """Open the session.

        Raises:
            ServiceError, IngestError: the service rejects it.
            RetryLater: the service does not respond, or has no room.
        """
        self.info = await self._create(session_request)

    async def reconnect(self) -> int:
        """Return the offset of its next byte; a session that has ended is resumed from its snapshot.

        Raises:
            SessionClosed: it has ended, without a snapshot.
            ServiceError, IngestError: the service rejects it.
            RetryLater: see `open`.
        """
        response = await self._request("GET", f"/v1/sessions/{self.id}", timeout=STATE_TIMEOUT_S)
        if response.status_code == 200:
            return int(response.json()["accepted_bytes"])
        if response.status_code == 410 and problem_body(response).get("resumable"):
            return int((await self._create({"resume": self.id}))["accepted_bytes"])
        if response.status_code in (404, 410):
            detail = problem_body(response).get("detail", response.text)
            raise SessionClosed(f"{self.url}: the session is lost, without a snapshot: {detail}")
        raise error_from_response(response)

    async def end(self, seq: int) -> Mapping[str, Any]:
        """End the session over HTTP; return its `windows` from `seq` on, and its `totals`."""
        response = await self._request("DELETE", f"/v1/sessions/{self.id}?seq={seq}")
        if response.is_error:
            raise error_from_response(response)
        answer: Mapping[str, Any] = response.json()
        return answer

    def websocket_url(self, offset: int, seq: int) -> str:
        """Return the address that continues with the byte at `offset` and the result `seq`."""
        address = self.info["stream_url"]
        return f"{self.url.replace('http', 'ws', 1)}{address}?offset={offset}&seq={seq}"

    def follow(self, location: str) -> None:
        """Continue at the worker with this base address.

        Raises:
            ConnectionError: the address would send the key unencrypted, unlike the one that the user gave.
        """
        if self._urls[0].startswith("https:") and not location.startswith("https:"):
            raise ConnectionError(f"{self.url}: redirects from https to {location!r:.200}; not followed")
        self.url = location.rstrip("/")

    async def _create(self, session_request: Mapping[str, Any]) -> Mapping[str, Any]:
        response = await self._request("POST", "/v1/sessions", json=session_request)
        if response.status_code == 201:
            info: Mapping[str, Any] = response.json()
            if info.get("url"):
                self.follow(info["url"])
            return info
        problem = problem_body(response)
        if problem.get("code") == "session_exists" and "resume" in session_request:
            raise RetryLater(str(problem.get("detail")))
        raise error_from_response(response)

    async def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request to the worker of the session, or to the others if it does not respond.

        Raises RetryLater if none of them responds, or the session moves too often.
        """
        failure: RetryLater | None = None
        for url in dict.fromkeys((self.url, *self._urls)):
            try:
                return await self._request_and_follow(url, method, path, content)
            except RetryLater as error:
                failure = failure or error
        assert failure is not None
        raise failure

    async def _request_and_follow(
        self, url: str, method: str, path: str, content: Mapping[str, Any]
    ) -> httpx.Response:
        for _ in range(MAX_MOVES + 1):
            response = await request(self._http, method, url + path, **content)
            if response.status_code != 307:
                self.url = url
                return response
            self.follow(str(problem_body(response).get("location", "")))
            url = self.url
        raise RetryLater(f"the session moved more than {MAX_MOVES} times")


def base_addresses(url: str | Sequence[str]) -> tuple[str, ...]:
    """Return base addresses without a slash at the end."""
    return tuple(one.rstrip("/") for one in ((url,) if isinstance(url, str) else url))


def make_http(key: str | None, timeout_s: float = RESPONSE_TIMEOUT_S) -> httpx.AsyncClient:
    """Return an HTTP client that sends an API key, if there is one."""
    return httpx.AsyncClient(headers={} if key is None else {"X-API-Key": key}, timeout=timeout_s)


async def request(http: httpx.AsyncClient, method: str, url: str, **content: Any) -> httpx.Response:
    """Send one request. Raises RetryLater if there is no response, or one that may change soon."""
    try:
        response = await http.request(method, url, **content)
    except httpx.HTTPError as error:
        raise RetryLater(_root_cause(error)) from error
    if response.status_code in RETRYABLE_STATUS:
        answered = error_from_response(response)
        raise RetryLater(str(answered)) from answered
    return response


def _root_cause(error: BaseException) -> str:
    """Return the text of the first cause: the outer ones say only that all attempts failed."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
