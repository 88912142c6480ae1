"""Errors of the service, each with an HTTP status and a stable code.

Errors with `retry_after_s` are sent with the header Retry-After. docs/protocol.md lists all codes.
"""

from typing import Any

AUTH_CHALLENGE: dict[str, str] = {"WWW-Authenticate": 'Bearer realm="spikewatch"'}
"""Sent with every 401, as RFC 9110 requires: the expected authentication scheme."""


class ServiceError(Exception):
    """Base of all errors that the service sends. Clients receive the message.

    Attributes:
        members: additional fields of the problem document, for programs.
    """

    status = 500
    code = "internal"
    retry_after_s: int | None = None

    def __init__(self, message: str = "", **members: Any) -> None:
        super().__init__(message)
        self.members = members


class InternalError(ServiceError):
    """Internal error. Details are logged, never sent to the client."""

    def __init__(self, message: str = "internal error; details are in the server log") -> None:
        super().__init__(message)


class SessionNotFound(ServiceError):
    """No session has the requested id."""

    status, code = 404, "session_unknown"


class SessionClosed(ServiceError):
    """The session has ended; the message gives the reason."""

    status, code = 410, "session_closed"


class SessionExists(ServiceError):
    """The requested id belongs to an open or saved session."""

    status, code = 409, "session_exists"


class SessionBusy(ServiceError):
    """Another request feeds the session."""

    status, code, retry_after_s = 409, "session_busy", 2


class SessionMoved(ServiceError):
    """Another worker has the session; `location` is the base address of that worker."""

    status, code = 307, "moved"


class OffsetMismatch(ServiceError):
    """The offset of the client is not the offset of the next expected byte."""

    status, code = 409, "wrong_offset"


class ResultsExpired(ServiceError):
    """Requested results are no longer kept."""

    status, code = 410, "results_gone"


class JobNotFound(ServiceError):
    """No upload has this id: it never existed, was rejected, or has expired."""

    status, code = 404, "job_unknown"


class TooManyJobs(ServiceError):
    """Too many upload jobs are running or kept (`jobs_max_count`)."""

    status, code, retry_after_s = 503, "jobs_full", 5


class TooManySessions(ServiceError):
    """Too many open sessions (`max_sessions`)."""

    status, code, retry_after_s = 503, "sessions_full", 5


class Draining(ServiceError):
    """The service is shutting down and accepts no new work."""

    status, code, retry_after_s = 503, "draining", 30


class PayloadTooLarge(ServiceError):
    """A body, message or result exceeds its size limit."""

    status, code = 413, "too_large"


class UnsupportedBody(ServiceError):
    """The body is a form instead of the bytes of a stream."""

    status, code = 415, "unsupported_body"


class ClientDisconnected(ServiceError):
    """The client disconnected before its request was complete."""

    status, code = 499, "client_gone"


class RequestTimeout(ServiceError):
    """The client did not send or read data in time."""

    status, code = 408, "too_slow"


class BadRequest(ServiceError):
    """The request is inconsistent in itself or with the stream."""

    status, code = 400, "bad_request"


class ModelNotFound(ServiceError):
    """The catalog has no weights of the requested name."""

    status, code = 404, "model_unknown"


class InsufficientModelMemory(ServiceError):
    """The requested weights do not fit into memory beside the models in use."""

    status, code, retry_after_s = 503, "model_memory", 10


class ModelFailed(ServiceError):
    """The requested weights cannot be loaded, or their model has failed."""

    status, code = 500, "model_failed"


class InvalidSnapshot(ServiceError):
    """A snapshot is corrupt, or of other weights, geometry or version."""

    status, code = 409, "snapshot_mismatch"


class SnapshotsDisabled(ServiceError):
    """The service has no snapshot store."""

    status, code = 400, "snapshots_off"


class SnapshotFailed(ServiceError):
    """The session cannot be saved: it did not process its accepted bytes in time."""

    status, code, retry_after_s = 503, "snapshot_failed", 5


class SnapshotStoreError(SnapshotFailed):
    """A snapshot could not be written or deleted: the disk failed, or the disk or the store is full."""


class TooManyTransfers(ServiceError):
    """Too many concurrent transfers of saved states (`max_states`)."""

    status, code, retry_after_s = 503, "states_full", 2


class StepFailed(ServiceError):
    """The detector failed on a slice of this session; only this session ends."""

    status, code = 500, "step_failed"


class MissingKey(ServiceError):
    """The request has no API key, and the service requires one."""

    status, code = 401, "key_missing"
    headers = AUTH_CHALLENGE


class InvalidKey(ServiceError):
    """The API key or ticket is unknown."""

    status, code = 401, "key_unknown"
    headers = AUTH_CHALLENGE


class TooManyKeySessions(ServiceError):
    """Too many open sessions of this key (`key_max_sessions`)."""

    status, code, retry_after_s = 429, "key_sessions", 5


class TooManyKeyUploads(ServiceError):
    """Too many concurrent uploads of this key (`key_max_uploads`)."""

    status, code, retry_after_s = 429, "key_uploads", 5


class RateLimited(ServiceError):
    """The key exceeded its byte rate (`key_max_bytes_per_s`)."""

    status, code = 429, "key_bytes"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OriginNotAllowed(ServiceError):
    """A browser sent the request for a page of another site."""

    status, code = 403, "origin_refused"


class TooManyUploads(ServiceError):
    """Too many concurrent uploads (`max_uploads`)."""

    status, code, retry_after_s = 503, "uploads_full", 5


class SpoolFull(ServiceError):
    """Running uploads have filled the disk space for uploads (`max_spool_bytes`)."""

    status, code, retry_after_s = 503, "spool_full", 30


class TooManyWatchers(ServiceError):
    """Too many watchers of this session (`max_watchers`)."""

    status, code, retry_after_s = 503, "watchers_full", 5


class TooManyConnections(ServiceError):
    """Too many open connections (`max_connections`)."""

    status, code, retry_after_s = 503, "connections_full", 5


class HeadersTooLarge(ServiceError):
    """The headers of a request exceed their size limit (`max_header_bytes`)."""

    status, code = 431, "headers_too_large"


class InvalidSettings(ServiceError):
    """The key file or another setting is invalid; the service does not start."""

    status, code = 500, "bad_settings"
