"""The WebSocket of a session: bytes in, windows out.

In:  binary: the next bytes. Text: `flush`, `reset`, `close`. In the URL, to go on after a broken connection:
     `offset` of the next byte, and `seq` of the first result that is missing.
Out: JSON with a `type`: `ready` first; `window` for each result; `flushed` and `reset` when done;
     `saved` when a snapshot was stored; `idle_warning` before silence ends the session;
     `error` with a code; `closed` with a reason last.
Close codes: 1000 ended, 1001 the service stops, 1007 bad data, 1008 refused, 1011 failed,
     1012 stopped in the middle.
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
from spikewatch.service.errors import BadRequest, InternalError, ServiceError, SessionBusy, SessionClosed
from spikewatch.service.http.problems import to_problem
from spikewatch.service.schemas import Schema
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.saver import FINAL_SAVE_TIMEOUT_S

router = APIRouter()

log = logging.getLogger("spikewatch.stream")


class ResumePosition(Schema):
    """Where a client goes on."""

    offset: int | None = Field(None, ge=0)
    seq: int | None = Field(None, ge=0)


CLOSE_DETAILS = {"client": "ended by the client", "shutdown": "the service stops"}

CLOSE_TIMEOUT_S = 10.0
"""How long a client may take to read what is left for it."""

DISPLACED_CLOSE_TIMEOUT_S = 1.0
"""How long a connection that was displaced may take to be told."""


@router.websocket("/v1/sessions/{session_id}/stream")
async def stream(socket: WebSocket, session_id: str) -> None:
    """Feed a session and receive its results."""
    host: SessionManager = socket.app.state.manager
    await socket.accept()
    try:
        session = get_session(session_id, host, get_client(socket))
        place = ResumePosition.model_validate(
            {k: v for k, v in socket.query_params.items() if k in ResumePosition.model_fields}
        )
        await displace_feeder(session, place.offset)
        session.check_feed_available()
        resume_at(session, place.offset, place.seq)
    except (ServiceError, ValidationError) as error:
        code = to_problem(error).code
        host.metrics.refused.labels(code).inc()
        await send_error(socket, error)
        await socket.close(1008, code)
        return
    socket.state.on_throttle = session.activity.record_client_activity
    with contextlib.suppress(WebSocketDisconnect), claimed(session, host):
        await StreamConnection(socket, session, host).run()


async def send_error(socket: WebSocket, error: Exception) -> None:
    """Tell the client what is wrong."""
    problem = to_problem(error)
    await socket.send_json({"type": "error", **problem.model_dump(exclude={"type", "title", "status"})})


async def _cancel_and_wait(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class StreamConnection:
    """One client at one session."""

    def __init__(self, socket: WebSocket, session: Session, manager: SessionManager) -> None:
        self._socket = socket
        self._session = session
        self._manager = manager
        self._sending = False
        self._window_sent = asyncio.Event()

    async def run(self) -> None:
        """Talk until one side ends. A broken connection leaves the session open until it is idle."""
        info = session_info(self._session, self._manager).model_dump(
            exclude={"layer_rates", "layer_energy_mj"}
        )
        await self._send("ready", info)
        sender = asyncio.create_task(self._send_windows())
        receiver = asyncio.create_task(self._receive_messages())
        ending = asyncio.create_task(self._session.closing.wait())
        displaced = asyncio.create_task(self._session.displaced.wait())
        self._notification_task = asyncio.create_task(self._send_notifications())
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({sender, receiver, ending, displaced}, return_when=first)
            if displaced.done():
                await self._close_displaced(receiver, sender)
            elif self._session.close_error is not None or (ending.done() and not receiver.done()):
                await _cancel_and_wait(receiver)
                await self._on_server_close(sender)
            elif receiver.done():
                await self._on_client_close(receiver, sender)
            else:
                await self._on_send_failure(sender)
        finally:
            tasks = (sender, receiver, ending, self._notification_task, displaced)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive_messages(self) -> None:
        """Take messages until `close`; pushes back on the sender, since it reads on only when fed."""
        await self._session.drain_feeder()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
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
        """Send results as they come, until the session ends and all are sent."""
        outbox = self._session.outbox
        while True:
            result = await outbox.get()
            self._sending = True
            line = '{"type":"window",' + self._session.to_message(result).model_dump_json()[1:]
            try:
                self._check_connected()
                await self._socket.send_text(line)
            except BaseException:
                outbox.requeue(result)
                raise
            self._session.activity.record_client_activity()
            self._sending = False
            self._window_sent.set()

    async def _wait_until_sent(self) -> None:
        """Wait until a client, slow though it may be, has been sent every result so far."""
        while self._sending or not self._session.outbox.empty:
            self._window_sent.clear()
            await self._window_sent.wait()

    async def _send_notifications(self) -> None:
        while True:
            await self._send(*await self._session.notifications.get())

    async def _on_client_close(self, receiver: "asyncio.Task[None]", sender: "asyncio.Task[None]") -> None:
        try:
            receiver.result()
        except BadRequest as error:
            # it may end meanwhile, or what came before be bad: the first fault is told
            with contextlib.suppress(ServiceError, IngestError):
                await self._session.flush()
            await self._close(sender, error, error.code, 1007)
        except IngestError as error:
            with contextlib.suppress(ServiceError):
                await self._session.emit_open_window()
            await self._close(sender, error, to_problem(error).code, 1007)
        except ServiceError as error:
            await self._close(sender, error, error.code, 1011)
        except WebSocketDisconnect:
            raise
        except Exception:
            if self._disconnected:
                raise WebSocketDisconnect(1006) from None
            log.exception("a session's bytes could not be taken", extra={"session": self._session.id})
            await self._close(sender, InternalError(), InternalError.code, 1011)
        else:
            await self._close(sender, None, "client", 1000)

    async def _close_displaced(self, *tasks: "asyncio.Task[None]") -> None:
        """The client has come back on another connection; if this one still works, say so."""
        for task in tasks:
            await _cancel_and_wait(task)
        self._check_connected()
        error = SessionBusy("the session goes on over another connection")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISPLACED_CLOSE_TIMEOUT_S):
                await send_error(self._socket, error)
                await self._socket.close(1008, error.code)

    @property
    def _disconnected(self) -> bool:
        """True once the client is gone; Starlette then takes whatever is sent for a fault."""
        states = (self._socket.application_state, self._socket.client_state)
        return WebSocketState.DISCONNECTED in states

    def _check_connected(self) -> None:
        """Before anything is sent, since another task may have found out that the client is gone."""
        if self._disconnected:
            raise WebSocketDisconnect(1006)

    async def _on_send_failure(self, sender: "asyncio.Task[None]") -> None:
        """No result can be sent: the client is gone, or the fault is ours."""
        try:
            sender.result()
        except WebSocketDisconnect:
            raise
        except Exception:
            log.exception("a session's results could not be sent", extra={"session": self._session.id})
            await self._close(sender, InternalError(), InternalError.code, 1011)

    async def _on_server_close(self, sender: "asyncio.Task[None]") -> None:
        fault = None
        if self._session.close_error is None:
            fault = await self._save_or_flush()
        closed = self._session.close_error
        if closed is not None:  # ended by the host, before or meanwhile
            error = None if isinstance(closed, SessionClosed) else closed
            code = 1011 if error else self._close_code(self._session.end_reason)
            await self._close(sender, error, self._session.end_reason, code)
        elif fault is not None:
            await self._close(sender, fault, to_problem(fault).code, 1011)
        else:
            await self._close(sender, None, "shutdown", 1001)

    async def _save_or_flush(self) -> IngestError | ServiceError | None:
        """Before the service stops; what went wrong, if anything did."""
        # longer than the host waits, which then ends it: once flushed, it could not be saved as it is
        patience_s = self._manager.settings.drain_timeout_s + 2 * FINAL_SAVE_TIMEOUT_S
        try:
            saving = self._manager.snapshots.save_before_end(self._session, patience_s)
            if not await or_draining(self._manager, saving):
                with contextlib.suppress(TruncatedError):  # the rest of its header can come no more
                    await self._session.flush()
        except (IngestError, ServiceError) as fault:
            return fault
        return None

    def _close_code(self, reason: str) -> int:
        if reason != "shutdown":
            return 1000
        return 1001 if self._manager.snapshots.has_snapshot(self._session.id) else 1012

    async def _close(
        self, sender: "asyncio.Task[None]", error: Exception | None, reason: str, code: int
    ) -> None:
        """End the session, let the client have what is left, and say why."""
        if error is not None:
            self._manager.metrics.refused.labels(to_problem(error).code).inc()
        totals = self._session.current_totals()
        self._manager.end(self._session, SessionClosed(CLOSE_DETAILS.get(reason, str(error))), reason)
        await asyncio.wait({sender}, timeout=CLOSE_TIMEOUT_S)
        await _cancel_and_wait(self._notification_task)
        if sender.done() and isinstance(sender.exception(), WebSocketDisconnect):
            sender.result()
        await _cancel_and_wait(sender)
        farewell = {
            "reason": reason,
            "detail": str(error or self._session.close_error),
            "totals": totals.model_dump(),
            "resumable": self._manager.snapshots.has_snapshot(self._session.id),
            "saved_bytes": self._session.saved_bytes,
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if error is not None:
                    self._check_connected()
                    await send_error(self._socket, error)
                await self._send("closed", farewell)
                await self._socket.close(code, reason)

    async def _send(self, type_name: str, content: dict[str, Any] | None = None) -> None:
        self._check_connected()
        await self._socket.send_json({"type": type_name, **(content or {})})
