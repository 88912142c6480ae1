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
from spikewatch.service.api.dependencies import get_caller, get_session
from spikewatch.service.api.feeding import go_on, held, make_way, unless_over
from spikewatch.service.api.sessions import session_info
from spikewatch.service.errors import BadRequest, InternalError, ServiceError, SessionBusy, SessionClosed
from spikewatch.service.http.problems import problem_of
from spikewatch.service.schemas import Wire
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.saver import LAST_PATIENCE_S

router = APIRouter()

log = logging.getLogger("spikewatch.stream")


class Place(Wire):
    """Where a client goes on."""

    offset: int | None = Field(None, ge=0)
    seq: int | None = Field(None, ge=0)


ENDINGS = {"client": "ended by the client", "shutdown": "the service stops"}

FAREWELL_S = 10.0
"""How long a client may take to read what is left for it."""

LAST_WORD_S = 1.0
"""How long a connection that was displaced may take to be told."""


@router.websocket("/v1/sessions/{session_id}/stream")
async def stream(socket: WebSocket, session_id: str) -> None:
    """Feed a session and receive its results."""
    host: SessionHost = socket.app.state.manager
    await socket.accept()
    try:
        session = get_session(session_id, host, get_caller(socket))
        place = Place.model_validate(
            {k: v for k, v in socket.query_params.items() if k in Place.model_fields}
        )
        await make_way(session, place.offset)
        session.check_free()
        go_on(session, place.offset, place.seq)
    except (ServiceError, ValidationError) as error:
        code = problem_of(error).code
        host.metrics.refused.labels(code).inc()
        await say_error(socket, error)
        await socket.close(1008, code)
        return
    socket.state.on_throttle = session.pulse.touch
    with contextlib.suppress(WebSocketDisconnect), held(session, host):
        await Conversation(socket, session, host).run()


async def say_error(socket: WebSocket, error: Exception) -> None:
    """Tell the client what is wrong."""
    problem = problem_of(error)
    await socket.send_json({"type": "error", **problem.model_dump(exclude={"type", "title", "status"})})


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Conversation:
    """One client at one session."""

    def __init__(self, socket: WebSocket, session: Session, host: SessionHost) -> None:
        self._socket = socket
        self._session = session
        self._host = host
        self._sending = False
        self._sent = asyncio.Event()

    async def run(self) -> None:
        """Talk until one side ends. A broken connection leaves the session open until it is idle."""
        info = session_info(self._session, self._host).model_dump(exclude={"layer_rates", "layer_energy_mj"})
        await self._say("ready", info)
        sender = asyncio.create_task(self._send_windows())
        receiver = asyncio.create_task(self._receive())
        ending = asyncio.create_task(self._session.ending.wait())
        displaced = asyncio.create_task(self._session.displaced.wait())
        self._notices = asyncio.create_task(self._send_notices())
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({sender, receiver, ending, displaced}, return_when=first)
            if displaced.done():
                await self._leave(receiver, sender)
            elif self._session.closed is not None or (ending.done() and not receiver.done()):
                await _cancel(receiver)
                await self._end_by_service(sender)
            elif receiver.done():
                await self._end_by_client(receiver, sender)
            else:
                await self._end_by_fault(sender)
        finally:
            tasks = (sender, receiver, ending, self._notices, displaced)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        """Take messages until `close`; pushes back on the sender, since it reads on only when fed."""
        await self._session.catch_up()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            if message.get("bytes") is not None:
                await self._session.feed(message["bytes"])
                continue
            self._session.pulse.touch()
            match message.get("text"):
                case "flush":
                    await self._session.flush()
                    await self._all_sent()
                    await self._say("flushed")
                case "reset":
                    await self._session.reset()
                    await self._all_sent()
                    await self._say("reset")
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
            line = '{"type":"window",' + self._session.window(result).model_dump_json()[1:]
            try:
                self._check_connected()
                await self._socket.send_text(line)
            except BaseException:
                outbox.put_back(result)
                raise
            self._session.pulse.touch()
            self._sending = False
            self._sent.set()

    async def _all_sent(self) -> None:
        """Wait until a client, slow though it may be, has been sent every result so far."""
        while self._sending or not self._session.outbox.empty:
            self._sent.clear()
            await self._sent.wait()

    async def _send_notices(self) -> None:
        while True:
            await self._say(*await self._session.notices.next())

    async def _end_by_client(self, receiver: "asyncio.Task[None]", sender: "asyncio.Task[None]") -> None:
        try:
            receiver.result()
        except BadRequest as error:
            # it may end meanwhile, or what came before be bad: the first fault is told
            with contextlib.suppress(ServiceError, IngestError):
                await self._session.flush()
            await self._finish(sender, error, error.code, 1007)
        except IngestError as error:
            with contextlib.suppress(ServiceError):
                await self._session.emit_open_window()
            await self._finish(sender, error, problem_of(error).code, 1007)
        except ServiceError as error:
            await self._finish(sender, error, error.code, 1011)
        except WebSocketDisconnect:
            raise
        except Exception:
            if self._broken:
                raise WebSocketDisconnect(1006) from None
            log.exception("a session's bytes could not be taken", extra={"session": self._session.id})
            await self._finish(sender, InternalError(), InternalError.code, 1011)
        else:
            await self._finish(sender, None, "client", 1000)

    async def _leave(self, *tasks: "asyncio.Task[None]") -> None:
        """The client has come back on another connection; if this one still works, say so."""
        for task in tasks:
            await _cancel(task)
        self._check_connected()
        error = SessionBusy("the session goes on over another connection")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_S):
                await say_error(self._socket, error)
                await self._socket.close(1008, error.code)

    @property
    def _broken(self) -> bool:
        """True once the client is gone; Starlette then takes whatever is sent for a fault."""
        states = (self._socket.application_state, self._socket.client_state)
        return WebSocketState.DISCONNECTED in states

    def _check_connected(self) -> None:
        """Before anything is sent, since another task may have found out that the client is gone."""
        if self._broken:
            raise WebSocketDisconnect(1006)

    async def _end_by_fault(self, sender: "asyncio.Task[None]") -> None:
        """No result can be sent: the client is gone, or the fault is ours."""
        try:
            sender.result()
        except WebSocketDisconnect:
            raise
        except Exception:
            log.exception("a session's results could not be sent", extra={"session": self._session.id})
            await self._finish(sender, InternalError(), InternalError.code, 1011)

    async def _end_by_service(self, sender: "asyncio.Task[None]") -> None:
        fault = None
        if self._session.closed is None:
            fault = await self._save_or_flush()
        closed = self._session.closed
        if closed is not None:  # ended by the host, before or meanwhile
            error = None if isinstance(closed, SessionClosed) else closed
            code = 1011 if error else self._code_of_end(self._session.reason)
            await self._finish(sender, error, self._session.reason, code)
        elif fault is not None:
            await self._finish(sender, fault, problem_of(fault).code, 1011)
        else:
            await self._finish(sender, None, "shutdown", 1001)

    async def _save_or_flush(self) -> IngestError | ServiceError | None:
        """Before the service stops; what went wrong, if anything did."""
        # longer than the host waits, which then ends it: once flushed, it could not be saved as it is
        patience_s = self._host.settings.drain_timeout_s + 2 * LAST_PATIENCE_S
        try:
            saving = self._host.keeper.save_at_end(self._session, patience_s)
            if not await unless_over(self._host, saving):
                with contextlib.suppress(TruncatedError):  # the rest of its header can come no more
                    await self._session.flush()
        except (IngestError, ServiceError) as fault:
            return fault
        return None

    def _code_of_end(self, reason: str) -> int:
        if reason != "shutdown":
            return 1000
        return 1001 if self._host.keeper.holds(self._session.id) else 1012

    async def _finish(
        self, sender: "asyncio.Task[None]", error: Exception | None, reason: str, code: int
    ) -> None:
        """End the session, let the client have what is left, and say why."""
        if error is not None:
            self._host.metrics.refused.labels(problem_of(error).code).inc()
        totals = self._session.sums()
        self._host.end(self._session, SessionClosed(ENDINGS.get(reason, str(error))), reason)
        await asyncio.wait({sender}, timeout=FAREWELL_S)
        await _cancel(self._notices)
        if sender.done() and isinstance(sender.exception(), WebSocketDisconnect):
            sender.result()
        await _cancel(sender)
        farewell = {
            "reason": reason,
            "detail": str(error or self._session.closed),
            "totals": totals.model_dump(),
            "resumable": self._host.keeper.holds(self._session.id),
            "saved_bytes": self._session.saved_bytes,
        }
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                if error is not None:
                    self._check_connected()
                    await say_error(self._socket, error)
                await self._say("closed", farewell)
                await self._socket.close(code, reason)

    async def _say(self, kind: str, content: dict[str, Any] | None = None) -> None:
        self._check_connected()
        await self._socket.send_json({"type": kind, **(content or {})})
