"""Webhook: POSTs signed as in Standard Webhooks (standardwebhooks.com), from a spool for outages."""

import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import httpx

from spikewatch.service.sinks.address import WebhookAddress
from spikewatch.service.sinks.backoff import Backoff
from spikewatch.service.sinks.message import Send, SinkMessage, SinkUnavailable
from spikewatch.service.sinks.queue import QueuePolicy
from spikewatch.service.sinks.spool import Delivery, Spool
from spikewatch.service.sinks.state import SinkState

TIMEOUT_S = 15.0
RETRIED = (408, 425, 429)
"""Client errors that pass; like those of the server, they are retried."""


class _Retry(Exception):
    """The delivery failed for now. `after_s`: the wish of the server."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class WebhookSink:
    """Posts `{"type", "timestamp", "data": [results]}`, one request at a time, oldest first.

    Attempts of one delivery share `webhook-id` and `Idempotency-Key`, so that a receiver can ignore repeats.
    """

    def __init__(self, address: WebhookAddress, policy: QueuePolicy, state: SinkState) -> None:
        self._address, self._policy, self._state = address, policy, state

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Send]:
        """Open the spool and post from it; at the end, try once more to empty it."""
        try:
            spool = Spool(self._address.spool, self._address.spool_bytes)
        except sqlite3.Error as error:
            raise SinkUnavailable(f"spool {self._address.spool}: {error}") from error
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False) as http:
                poster = _Poster(http, self._address, spool, self._state)
                posting = asyncio.create_task(poster.run())

                async def send(batch: Sequence[SinkMessage]) -> None:
                    if posting.done():
                        posting.result()
                    if self._address.only_zone_events:
                        batch = [message for message in batch if message.window.zone_events]
                    if batch:
                        await self._spool_batch(poster, spool, batch)

                try:
                    yield send
                    await poster.finish()
                finally:
                    posting.cancel()
                    with suppress(asyncio.CancelledError):
                        await posting
        except sqlite3.Error as error:
            raise SinkUnavailable(f"spool {self._address.spool}: {error}") from error
        finally:
            if self._address.spool is None:
                self._state.count(dropped=spool.results())
            spool.close()

    async def _spool_batch(self, poster: "_Poster", spool: Spool, batch: Sequence[SinkMessage]) -> None:
        body = request_body(batch)
        while self._policy == "block" and self._state.up is not False and not spool.fits(body):
            await poster.wait_for_change()
        self._state.count(dropped=spool.append(body, len(batch)))
        poster.wake()


class _Poster:
    """Posts the deliveries of a spool."""

    def __init__(
        self, http: httpx.AsyncClient, address: WebhookAddress, spool: Spool, state: SinkState
    ) -> None:
        self._http, self._address, self._spool, self._state = http, address, spool, state
        self._changed, self._queued = asyncio.Event(), asyncio.Event()

    def wake(self) -> None:
        """Look into the spool again."""
        self._state.spool_bytes = self._spool.size
        self._queued.set()

    async def wait_for_change(self) -> None:
        """Wait until a delivery has succeeded or failed."""
        self._changed.clear()
        await self._changed.wait()

    async def finish(self) -> None:
        """Wait until the spool is empty, or an attempt fails."""
        while self._spool.oldest() is not None and self._state.up is not False:
            await self.wait_for_change()

    async def run(self) -> None:
        """Post for ever; a failed delivery is retried with growing delays."""
        backoff = Backoff()
        while True:
            self._queued.clear()
            delivery = self._spool.oldest()
            if delivery is None:
                await self._queued.wait()
                continue
            delay_s = 0.0
            try:
                await self._post(delivery)
            except _Retry as error:
                self._state.mark_down(str(error))
                delay_s = backoff.next_s(error.after_s)
            else:
                backoff.reset()
                self._spool.remove(delivery)
                self._state.spool_bytes = self._spool.size
            finally:
                self._changed.set()
            await asyncio.sleep(delay_s)

    async def _post(self, delivery: Delivery) -> None:
        headers = signed_headers(self._address.secret, delivery.id, delivery.body, int(time.time()))
        try:
            response = await self._http.post(self._address.url, content=delivery.body, headers=headers)
        except httpx.HTTPError as error:
            raise _Retry(str(error) or type(error).__name__) from error
        if response.status_code in RETRIED or response.status_code >= 500:
            raise _Retry(f"HTTP {response.status_code}", _retry_after_s(response))
        self._state.mark_up()
        if response.is_success:
            self._state.count(delivered=delivery.results)
        else:
            self._state.report_refusal(delivery.results, f"HTTP {response.status_code}")


def request_body(batch: Sequence[SinkMessage]) -> bytes:
    """Return the body of a request."""
    content = {
        "type": "spikewatch.windows",
        "timestamp": datetime.now(UTC).isoformat(),
        "data": [message.content for message in batch],
    }
    return json.dumps(content).encode()


def signed_headers(secret: bytes, delivery_id: str, body: bytes, timestamp_s: int) -> dict[str, str]:
    """Return the headers of a request: HMAC-SHA256 of `ID.TIMESTAMP.BODY`, in base64."""
    signed = f"{delivery_id}.{timestamp_s}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{signature}",
        "Idempotency-Key": delivery_id,
    }


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
