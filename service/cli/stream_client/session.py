"""The session that `spikewatch stream` feeds: opened over HTTP, and found again when its connection broke."""

from collections.abc import Mapping
from typing import Any, Self

import httpx

from spikewatch.service.errors import BadRequest

RETRYABLE_STATUS = (408, 429, 502, 503, 504)
"""Answers of a service, or of a proxy before it, that may be others a moment later."""

RESPONSE_TIMEOUT_S = 30.0
"""How long the service may take: a model may have to be loaded first."""


class RetryLater(Exception):
    """The service does not answer, or not yet; the message says how. Worth another try."""


class RemoteSession:
    """A session of a service elsewhere. A context manager."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url, self.headers = url.rstrip("/"), dict(headers)
        self._http = httpx.AsyncClient(headers=self.headers, timeout=RESPONSE_TIMEOUT_S)
        self._id = self._stream_url = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def open(self, session_request: Mapping[str, Any]) -> None:
        """Open it.

        Raises:
            BadRequest: the service refuses.
            RetryLater: it does not answer, or has no room.
        """
        info = await self._create(session_request)
        self._id, self._stream_url = info["session_id"], info["stream_url"]

    async def reconnect(self) -> int:
        """The offset of its next byte; it is resumed from its snapshot if it has ended.

        Raises:
            BadRequest: it cannot be gone on with.
            RetryLater: as it says.
        """
        answer = await self._request("GET", f"/v1/sessions/{self._id}")
        if answer.status_code == 200:
            return int(answer.json()["accepted_bytes"])
        if answer.status_code == 410 and answer.json().get("resumable"):
            return int((await self._create({"resume": self._id}))["accepted_bytes"])
        if answer.status_code in (404, 410):
            raise BadRequest(
                f"{self.url}: the session is lost, without a snapshot: {_problem_detail(answer)}"
            )
        raise BadRequest(f"{self.url} answers {answer.status_code}: {_problem_detail(answer)}")

    def websocket_url(self, offset: int, seq: int) -> str:
        """Where to go on with the byte at `offset` and the result `seq`."""
        return f"{self.url.replace('http', 'ws', 1)}{self._stream_url}?offset={offset}&seq={seq}"

    async def _create(self, session_request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._request("POST", "/v1/sessions", json=session_request)
        if answer.status_code == 201:
            info: Mapping[str, Any] = answer.json()
            return info
        if _problem_code(answer) == "session_exists" and "resume" in session_request:
            raise RetryLater(_problem_detail(answer))
        raise BadRequest(f"{self.url} answers {answer.status_code}: {_problem_detail(answer)}")

    async def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, self.url + path, **content)
        except httpx.HTTPError as error:
            raise RetryLater(str(error) or type(error).__name__) from error
        if answer.status_code in RETRYABLE_STATUS:
            raise RetryLater(f"it answers {answer.status_code}: {_problem_detail(answer)}")
        return answer


def _problem_body(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _problem_code(answer: httpx.Response) -> str:
    return str(_problem_body(answer).get("code", ""))


def _problem_detail(answer: httpx.Response) -> str:
    """In one line."""
    return " ".join(str(_problem_body(answer).get("detail", answer.text)).split())[:300]
