"""Query parameters of an upload."""

from fastapi import Request
from pydantic import Field, model_validator

from spikewatch.service.limits import SESSION_ID_PATTERN
from spikewatch.service.schemas import StreamFormat, WeightsName, WindowRequest

RESUME_FIELDS = {"offset", "seq"}
"""Parameters that differ between the requests of one upload."""


class UploadQuery(WindowRequest):
    """Options of an upload, as query parameters."""

    format: StreamFormat | None = Field(None, description="needed only for bytes without a header")
    weights: WeightsName = None
    job_id: str | None = Field(
        None,
        pattern=f"^{SESSION_ID_PATTERN}$",
        description="an id of the client's choice: the upload can be continued",
    )
    offset: int = Field(0, ge=0, description="of the first byte of this body in the recording")
    length: int | None = Field(
        None, ge=0, description="of the whole recording in bytes; default: it ends with this body"
    )
    watched_as: str | None = Field(
        None,
        pattern="^[0-9a-f]{32}$",
        description="an id for the session, to look on at /v1/sessions/{id}/watch: the run begins once "
        "somebody does, and the answer is the summary alone",
    )
    seq: int = Field(0, ge=0, description="of the first result wanted, again if need be")

    @model_validator(mode="after")
    def _check_resume_fields(self) -> "UploadQuery":
        if self.job_id is None and (self.offset or self.seq or self.length is not None):
            raise ValueError(
                f"got offset {self.offset}, length {self.length}, seq {self.seq} without a job_id; add one"
            )
        return self


def declared_length(request: Request, query: UploadQuery) -> int | None:
    """Return the length of the whole recording in bytes, if the first request declares it."""
    declared = request.headers.get("content-length", "")
    return int(declared) if query.length is None and declared.isdecimal() else query.length
