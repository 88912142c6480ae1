"""The WebSocket of a session: bytes in, windows out.

In:  binary: the next bytes. Text: `flush`, `reset`, `close`. Query parameters, to resume after a broken
     connection: `offset` of the next byte, and `seq` of the first missing result.
Out: JSON with a `type`: `ready` first; `window` for each result; `flushed` and `reset` when done;
     `saved` when a snapshot was stored; `idle_warning` before an idle session is ended;
     `error` with a code; `closed` with a reason last.
Close codes: see `stream_endings`.
"""

import asyncio
import contextlib
import logging
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import Field, ValidationError
from starlette.websockets import WebSocketState

from spikewatch.ingest.errors import IngestError, TruncatedError
from spikewatch.service.api.dependencies import get_client, get_session
from spikewatch.service.api.feeding import claimed, displace_feeder, or_draining, resume_at
from spikewatch.service.api.sessions import session_info
from spikewatch.service.api.stream_endings import EndedByClient, Interrupted, ServiceStopping, ending_of
from spikewatch.service.errors import (
    BadRequest,
    InternalError,
    ServiceError,
    SessionBusy,
    SessionClosed,
    SessionMoved,
)
from spikewatch.service.http.problems import to_problem
from spikewatch.service.schemas import Schema, Totals
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.saver import FINAL_SAVE_TIMEOUT_S
from spikewatch.service.tasks import raise_when, run_beside

router = APIRouter()

log = logging.getLogger("spikewatch.stream")


class ResumePosition(Schema):
    """Where a client resumes."""

    offset: int | None = Field(None, ge=0)
    seq: int | None = Field(None, ge=0)


CLOSE_TIMEOUT_S = 10.0
"""How long a client may take to read the remaining results, and again to read the final messages."""

DISPLACED_CLOSE_TIMEOUT_S = 1.0
"""How long a displaced client may take to read the final messages."""


@router.websocket("/v1/sessions/{session_id}/stream")
async def stream(socket: WebSocket, session_id: str) -> None:
    """Feed a session and receive its results."""
    manager: SessionManager = socket.app.state.manager
    await socket.accept()
    try:
        session = await get_session(session_id, manager, get_client(socket))
        position = ResumePosition.model_validate(
            {k: v for k, v in socket.query_params.items() if k in ResumePosition.model_fields}
        )
        await displace_feeder(session, position.offset)
        session.feed_lease.check_available()
        resume_at(session, position.offset, position.seq)
    except (ServiceError, ValidationError) as error:
        await refuse(socket, error, manager)
        return
    socket.state.on_throttle = session.activity.record_client_activity
    with contextlib.suppress(WebSocketDisconnect), claimed(session, manager):
        await StreamConnection(socket, session, manager).run()


async def refuse(socket: WebSocket, error: Exception, manager: SessionManager) -> None:
    """Send an error to a client that may not use the session, and close its connection."""
    code = to_problem(error).code
    manager.metrics.refused.labels(code).inc()
    await send_error(socket, error)
    await socket.close(1008, code)


def session_message(session: Session, manager: SessionManager) -> dict[str, Any]:
    """Return the session as its first message describes it."""
    return session_info(session, manager).model_dump(exclude={"layer_rates", "layer_energy_mj"})


async def send_error(socket: WebSocket, error: Exception) -> None:
    """Send the message `error`."""
    problem = to_problem(error)
    await socket.send_json({"type": "error", **problem.model_dump(exclude={"type", "title", "status"})})


class _Suspended(Exception):
    """The session takes no more bytes here, because it moves to another worker."""


class StreamConnection:
    """Connection of the client that feeds a session."""

    def __init__(self, socket: WebSocket, session: Session, manager: SessionManager) -> None:
        self._socket = socket
        self._session = session
        self._manager = manager
        self._sending = False
        self._window_sent = asyncio.Event()
        self._cause: Exception | None = None
        self._totals: Totals | None = None
        """Cause of the session's end, and its totals then, if this connection ends it."""

    async def run(self) -> None:
        """Serve the connection until one side ends it.

        Raises:
            WebSocketDisconnect: the connection broke; the session stays open until it is idle.
        """
        await self._send("ready", session_message(self._session, self._manager))
        try:
            await run_beside(self._send_windows(), self._receive_until_end(), self._send_notifications())
        except SessionBusy as error:
            await self._close(error, DISPLACED_CLOSE_TIMEOUT_S)
            return
        except WebSocketDisconnect:
            raise
        except TimeoutError:
            pass  # The client does not read its results, but it may still read why the connection ends.
        except Exception as error:
            self._end_session(self._internal_error(error))
        await self._close(self._cause or self._cause_of_session_end(), CLOSE_TIMEOUT_S)

    async def _receive_until_end(self) -> None:
        """Receive until there is a cause to end, end the session, and give the client time to read.

        Raises:
            SessionBusy, WebSocketDisconnect: the connection ends, but not the session.
            TimeoutError: the client has not read all results within CLOSE_TIMEOUT_S.
        """
        session = self._session
        cause: Exception = EndedByClient("ended by the client")
        displaced = SessionBusy(f"session {session.id} goes on over another connection")
        try:
            await run_beside(
                self._receive_messages(),
                raise_when(session.feed_lease.displaced, displaced),
                raise_when(session.lifecycle.ending, ServiceStopping("the service stops")),
                raise_when(session.feed_lease.suspended, _Suspended()),
            )
        except (SessionBusy, WebSocketDisconnect):
            raise
        except _Suspended:
            await session.feed_lease.stop_while_suspended()
            if session.close_error is None:  # a message may have been cut off, so the client must reconnect
                raise SessionBusy(f"session {session.id} could not be moved; reconnect") from None
        except Exception as error:
            cause = error
        if session.close_error is None:
            await self._finish(cause)
        await asyncio.sleep(CLOSE_TIMEOUT_S)
        raise TimeoutError

    async def _receive_messages(self) -> None:
        """Receive messages until `close`. While a feed waits, nothing is received (backpressure)."""
        await self._session.drain_feeder()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._session.feed_lease.abandoned = True
                raise WebSocketDisconnect(message.get("code", 1006))
            if message.get("bytes") is not None:
                await self._session.feed(message["bytes"])
                continue
            self._session.activity.record_client_activity()
            match message.get("text"):
                case "flush":
                    await self._session.flush()
                    await self._wait_until_sent()
                    await self._send("flushed")
                case "reset":
                    await self._session.reset()
                    await self._wait_until_sent()
                    await self._send("reset")
                case "close":
                    await self._session.flush()
                    return
                case other:
                    raise BadRequest(f"text {other!r:.40} is none of flush, reset, close")

    async def _send_windows(self) -> None:
        """Send results as they come, until the session has ended and all are sent."""
        outbox = self._session.outbox
        while True:
            try:
                result = await outbox.get()
            except ServiceError:
                return
            self._sending = True
            line = '{"type":"window",' + result.encode(self._session.to_json)[1:].decode()
            try:
                self._check_connected()
                await self._socket.send_text(line)
            except BaseException:
                outbox.rewind(result.seq)
                raise
            self._session.activity.record_client_activity()
            self._sending = False
            self._window_sent.set()

    async def _wait_until_sent(self) -> None:
        """Wait until every result so far has been sent."""
        while self._sending or not self._session.outbox.empty:
            self._window_sent.clear()
            await self._window_sent.wait()

    async def _send_notifications(self) -> None:
        while True:
            await self._send(*await self._session.notifications.get())

    async def _finish(self, cause: Exception) -> None:
        """Emit or save what the session still holds, as the cause allows, and end it."""
        session = self._session
        match cause:
            case ServiceStopping():
                cause = await self._save_or_flush() or cause
                if session.close_error is not None:
                    return
            case BadRequest():
                self._cause = cause  # Set before the flush, which may fail too: the first error is reported.
                with contextlib.suppress(ServiceError, IngestError):
                    await session.flush()
            case IngestError():
                self._cause = cause
                with contextlib.suppress(ServiceError):
                    await session.emit_open_window()
            case ServiceError():
                pass
            case _:
                cause = self._internal_error(cause)
        self._end_session(cause)

    async def _save_or_flush(self) -> IngestError | ServiceError | None:
        """Save or flush the session before the service stops; return the error if neither is possible."""
        # Longer than the shutdown waits before it saves and ends the session: a flush in between would
        # change the session, so that it could no longer be saved as it is.
        timeout_s = self._manager.settings.drain_timeout_s + 2 * FINAL_SAVE_TIMEOUT_S
        try:
            saving = self._manager.snapshots.save_before_end(self._session, timeout_s)
            if not await or_draining(self._manager, saving):
                with contextlib.suppress(TruncatedError):  # The rest of a header will not come.
                    await self._session.flush()
        except (IngestError, ServiceError) as error:
            return error
        return None

    def _internal_error(self, error: Exception) -> InternalError:
        """Log an unexpected error; raise WebSocketDisconnect if it only says that the client is gone."""
        self._check_connected()
        log.error("a stream failed", exc_info=error, extra={"session": self._session.id})
        return InternalError()

    def _end_session(self, cause: Exception) -> None:
        self._cause, self._totals = cause, self._session.current_totals()
        self._manager.end(self._session, SessionClosed(str(cause)), self._reason(cause))

    def _cause_of_session_end(self) -> Exception:
        """Return why the session was ended elsewhere."""
        session, error = self._session, self._session.close_error
        assert error is not None
        if isinstance(error, SessionClosed) and session.lifecycle.reason == "shutdown":
            saved = self._manager.snapshots.has_snapshot(session.id)
            return (ServiceStopping if saved else Interrupted)(str(error))
        return error

    def _reason(self, cause: Exception) -> str:
        if (reason := ending_of(cause).reason) is not None:
            return reason
        return self._session.lifecycle.reason if isinstance(cause, SessionClosed) else to_problem(cause).code

    async def _close(self, cause: Exception, timeout_s: float) -> None:
        """Send the final messages and close the connection."""
        reason, goes_on = self._reason(cause), isinstance(cause, SessionBusy | SessionMoved)
        if not isinstance(cause, SessionClosed | SessionBusy):
            self._manager.metrics.refused.labels(reason).inc()
        totals = self._totals or self._session.current_totals()
        closed = {
            "reason": reason,
            "detail": str(cause),
            "totals": totals.model_dump(),
            "resumable": self._manager.snapshots.has_snapshot(self._session.id),
            "saved_bytes": self._session.saved_bytes,
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                if not isinstance(cause, SessionClosed):
                    self._check_connected()
                    await send_error(self._socket, cause)
                if not goes_on:
                    await self._send("closed", closed)
                await self._socket.close(ending_of(cause).close_code, reason)

    def _check_connected(self) -> None:
        """Raise WebSocketDisconnect if another task has found that the client is gone.

        Starlette would raise RuntimeError for anything that is sent then.
        """
        if WebSocketState.DISCONNECTED in (self._socket.application_state, self._socket.client_state):
            raise WebSocketDisconnect(1006)

    async def _send(self, type_name: str, content: dict[str, Any] | None = None) -> None:
        self._check_connected()
        await self._socket.send_json({"type": type_name, **(content or {})})
