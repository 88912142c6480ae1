"""A whole recording in one request: bytes in, one window result a line out, while the upload goes on.

With a `job_id` it may be more than one request: an upload whose connection broke is continued.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from spikewatch.service.api.dependencies import OCTETS, PROBLEMS, Host, Sender, Seq
from spikewatch.service.schemas import JobInfo
from spikewatch.service.uploads.jobs import Jobs
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.response import UploadResponse
from spikewatch.service.uploads.upload import Upload

router = APIRouter(prefix="/v1", tags=["recordings"], responses=PROBLEMS)

NDJSON: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {}}, "description": "windows, then a summary"}
}


def get_jobs(request: Request) -> Jobs:
    """The application's uploads."""
    jobs: Jobs = request.app.state.registry
    return jobs


Known = Annotated[Jobs, Depends(get_jobs)]


async def get_upload(job_id: str, jobs: Known, caller: Sender) -> Upload:
    """The upload of the path, if it is the caller's; found on the event loop, where `Jobs` lives."""
    return jobs.get(caller.inside(job_id))


Job = Annotated[Upload, Depends(get_upload)]


@router.post("/detections", openapi_extra=OCTETS, response_class=Response, responses=NDJSON)
async def detect(
    request: Request, host: Host, jobs: Known, caller: Sender, query: Annotated[UploadQuery, Query()]
) -> Response:
    """Upload a DAT, RAW (EVT2, EVT2.1, EVT3), HDF5 or AEDAT4 recording, whatever its name.

    The answer is NDJSON: a window result a line, the last line `{"summary": ...}`. If the recording turns
    out bad after the first line was sent, the last line is `{"error": ...}` instead.

    An upload with a `job_id` survives its connection: send the same query again with `offset`, which is
    `accepted_bytes` of `GET /v1/detections/{job_id}`, and `seq`, the first result that is missing. An answer
    to a body that was only a part ends with `{"accepted_bytes": ...}`.
    """
    known = None if query.job_id is None else caller.inside(query.job_id)
    if known is not None and jobs.holds(known):
        upload = jobs.get(known)
        upload.go_on(request, query)
    else:
        upload = jobs.begin(request, query, caller)
    try:
        await upload.begun(request)
    except BaseException:
        await upload.leave(request)
        if not upload.continuable:
            await jobs.forget(upload)
        raise
    return UploadResponse(upload, request, query.seq, host.settings.idle_timeout_s)


@router.get("/detections/{job_id}")
async def look(upload: Job) -> JobInfo:
    """An upload: how far it has come, and its summary or error once it has ended."""
    return upload.info


@router.get("/detections/{job_id}/results", response_class=Response, responses=NDJSON)
async def results(upload: Job, seq: Seq = 0) -> Response:
    """The results that there are now, from `seq` on; once the upload has ended, its last line too."""
    return Response(upload.lines_so_far(seq or 0), media_type="application/x-ndjson")


@router.delete("/detections/{job_id}", status_code=204, response_class=Response)
async def forget(upload: Job, jobs: Known) -> None:
    """End an upload and drop its results."""
    await jobs.forget(upload)
