"""Errors of the service, each with an HTTP status and a stable code.

ServiceError                 500 internal
├── InternalError            500 internal
├── SessionNotFound           404 session_unknown
├── SessionClosed            410 session_closed    (reason, resumable)
├── SessionExists            409 session_exists
├── SessionBusy              409 session_busy      (Retry-After)
├── OffsetMismatch              409 wrong_offset      (expected_offset)
├── ResultsExpired              410 results_gone      (oldest_seq)
├── JobNotFound               404 job_unknown
├── TooManyJobs              503 jobs_full         (Retry-After)
├── TooManySessions          503 sessions_full     (Retry-After)
├── Draining                 503 draining          (Retry-After)
├── PayloadTooLarge                 413 too_large
├── ClientDisconnected               499 client_gone       (nobody reads it; for the log and the metric)
├── RequestTimeout                  408 too_slow
├── BadRequest               400 bad_request
├── ModelNotFound             404 model_unknown     (known)
├── InsufficientModelMemory              503 model_memory      (Retry-After)
├── ModelFailed              500 model_failed
├── MissingKey                    401 key_missing
├── InvalidKey                 401 key_unknown
├── TooManyKeySessions              429 key_sessions      (Retry-After)
├── TooManyKeyUploads               429 key_uploads       (Retry-After)
├── RateLimited               429 key_bytes         (Retry-After)
├── OriginNotAllowed            403 origin_refused
├── TooManyUploads              503 uploads_full      (Retry-After)
├── SpoolFull                503 spool_full        (Retry-After)
├── TooManyWatchers             503 watchers_full     (Retry-After)
├── TooManyConnections          503 connections_full  (Retry-After)
├── HeadersTooLarge             431 headers_too_large
├── InvalidSettings              500 bad_settings      (at the start of the service only)
├── InvalidSnapshot              409 snapshot_mismatch
├── SnapshotsDisabled              400 snapshots_off
├── SnapshotFailed           503 snapshot_failed   (Retry-After)
│   └── SnapshotStoreError          503 snapshot_failed   (Retry-After; a fault of the store, not of the
session)
├── TooManyTransfers               503 states_full       (Retry-After)
└── StepFailed               500 step_failed

In brackets: the header Retry-After, or further members of the problem.
"""

from typing import Any

AUTH_CHALLENGE: dict[str, str] = {"WWW-Authenticate": 'Bearer realm="spikewatch"'}
"""RFC 9110: a 401 names the scheme that is expected."""


class ServiceError(Exception):
    """Base of all errors the service answers with; the message is for the client.

    Attributes:
        members: what a program may want to know, told beside the message.
    """

    status = 500
    code = "internal"
    retry_after_s: int | None = None

    def __init__(self, message: str = "", **members: Any) -> None:
        super().__init__(message)
        self.members = members


class InternalError(ServiceError):
    """A fault of ours, of which nothing is told outside the log."""

    def __init__(self, message: str = "an internal error; the log has more") -> None:
        super().__init__(message)


class SessionNotFound(ServiceError):
    """No session has this id."""

    status, code = 404, "session_unknown"


class SessionClosed(ServiceError):
    """The session has ended; the message says why."""

    status, code = 410, "session_closed"


class SessionExists(ServiceError):
    """The proposed id is that of a session that runs or is saved."""

    status, code = 409, "session_exists"


class SessionBusy(ServiceError):
    """Another request feeds this session at this moment."""

    status, code, retry_after_s = 409, "session_busy", 2


class OffsetMismatch(ServiceError):
    """The client's next byte is not the one that the service expects."""

    status, code = 409, "wrong_offset"


class ResultsExpired(ServiceError):
    """Results asked for again are no longer kept."""

    status, code = 410, "results_gone"


class JobNotFound(ServiceError):
    """No upload has this id; it never was, was refused, or has expired."""

    status, code = 404, "job_unknown"


class TooManyJobs(ServiceError):
    """As many uploads are under way as may be."""

    status, code, retry_after_s = 503, "jobs_full", 5


class TooManySessions(ServiceError):
    """All slots are taken."""

    status, code, retry_after_s = 503, "sessions_full", 5


class Draining(ServiceError):
    """The service is stopping and takes no new work."""

    status, code, retry_after_s = 503, "draining", 30


class PayloadTooLarge(ServiceError):
    """A body, message or result is larger than its limit."""

    status, code = 413, "too_large"


class ClientDisconnected(ServiceError):
    """The client closed the connection before its request was whole."""

    status, code = 499, "client_gone"


class RequestTimeout(ServiceError):
    """The client sent or read nothing for too long."""

    status, code = 408, "too_slow"


class BadRequest(ServiceError):
    """The request contradicts itself or the stream."""

    status, code = 400, "bad_request"


class ModelNotFound(ServiceError):
    """No weights of this name may be asked for here."""

    status, code = 404, "model_unknown"


class InsufficientModelMemory(ServiceError):
    """The weights asked for do not fit into memory beside those that are in use."""

    status, code, retry_after_s = 503, "model_memory", 10


class ModelFailed(ServiceError):
    """The weights asked for cannot be loaded, or what ran them has failed."""

    status, code = 500, "model_failed"


class InvalidSnapshot(ServiceError):
    """A snapshot was made by other weights, another geometry or another version."""

    status, code = 409, "snapshot_mismatch"


class SnapshotsDisabled(ServiceError):
    """The service keeps no snapshots."""

    status, code = 400, "snapshots_off"


class SnapshotFailed(ServiceError):
    """The session cannot be saved now: it could not run what it had accepted in time."""

    status, code, retry_after_s = 503, "snapshot_failed", 5


class SnapshotStoreError(SnapshotFailed):
    """A snapshot could not be written or deleted: the disk fails or is full, or the store is."""


class TooManyTransfers(ServiceError):
    """As many saved states are on their way in or out as may be."""

    status, code, retry_after_s = 503, "states_full", 2


class StepFailed(ServiceError):
    """The detector failed on this session's slice; the session ends alone."""

    status, code = 500, "step_failed"


class MissingKey(ServiceError):
    """The service takes requests with a key only, and none came."""

    status, code = 401, "key_missing"
    headers = AUTH_CHALLENGE


class InvalidKey(ServiceError):
    """The key or ticket that came is none of those known."""

    status, code = 401, "key_unknown"
    headers = AUTH_CHALLENGE


class TooManyKeySessions(ServiceError):
    """The key has as many sessions as it may."""

    status, code, retry_after_s = 429, "key_sessions", 5


class TooManyKeyUploads(ServiceError):
    """The key uploads as many recordings at once as it may."""

    status, code, retry_after_s = 429, "key_uploads", 5


class RateLimited(ServiceError):
    """The key sent more bytes than its rate allows."""

    status, code = 429, "key_bytes"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OriginNotAllowed(ServiceError):
    """A page of another site sent this request from someone's browser."""

    status, code = 403, "origin_refused"


class TooManyUploads(ServiceError):
    """As many recordings are being uploaded as may be at once."""

    status, code, retry_after_s = 503, "uploads_full", 5


class SpoolFull(ServiceError):
    """Uploads under way fill the disk space that they may."""

    status, code, retry_after_s = 503, "spool_full", 30


class TooManyWatchers(ServiceError):
    """As many look on at this session as may."""

    status, code, retry_after_s = 503, "watchers_full", 5


class TooManyConnections(ServiceError):
    """As many connections are open as may be."""

    status, code, retry_after_s = 503, "connections_full", 5


class HeadersTooLarge(ServiceError):
    """The headers of a request are larger than their limit."""

    status, code = 431, "headers_too_large"


class InvalidSettings(ServiceError):
    """A file of keys or another setting cannot be used; the service does not start."""

    status, code = 500, "bad_settings"
