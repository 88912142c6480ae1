"""A whole recording in one request: bytes in, one window result a line out, while the upload goes on.

With a `job_id` it may be more than one request: an upload whose connection broke is continued.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from spikewatch.service.api.dependencies import (
    OCTET_STREAM_BODY,
    PROBLEM_RESPONSES,
    ClientDep,
    ManagerDep,
    Seq,
)
from spikewatch.service.schemas import JobInfo
from spikewatch.service.uploads.jobs import UploadRegistry
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.response import UploadResponse
from spikewatch.service.uploads.upload import Upload

router = APIRouter(prefix="/v1", tags=["recordings"], responses=PROBLEM_RESPONSES)

NDJSON_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {}}, "description": "windows, then a summary"}
}


def get_registry(request: Request) -> UploadRegistry:
    """The application's uploads."""
    jobs: UploadRegistry = request.app.state.registry
    return jobs


RegistryDep = Annotated[UploadRegistry, Depends(get_registry)]


async def get_upload(job_id: str, registry: RegistryDep, client: ClientDep) -> Upload:
    """The upload of the path, if it is the caller's; found on the event loop, where `Jobs` lives."""
    return registry.get(client.qualify_id(job_id))


UploadDep = Annotated[Upload, Depends(get_upload)]


@router.post(
    "/detections", openapi_extra=OCTET_STREAM_BODY, response_class=Response, responses=NDJSON_RESPONSES
)
async def create_detections(
    request: Request,
    manager: ManagerDep,
    registry: RegistryDep,
    client: ClientDep,
    query: Annotated[UploadQuery, Query()],
) -> Response:
    """Upload a DAT, RAW (EVT2, EVT2.1, EVT3), HDF5 or AEDAT4 recording, whatever its name.

    The answer is NDJSON: a window result a line, the last line `{"summary": ...}`. If the recording turns
    out bad after the first line was sent, the last line is `{"error": ...}` instead.

    An upload with a `job_id` survives its connection: send the same query again with `offset`, which is
    `accepted_bytes` of `GET /v1/detections/{job_id}`, and `seq`, the first result that is missing. An answer
    to a body that was only a part ends with `{"accepted_bytes": ...}`.
    """
    known = None if query.job_id is None else client.qualify_id(query.job_id)
    if known is not None and registry.contains(known):
        upload = registry.get(known)
        upload.attach(request, query)
    else:
        upload = registry.create(request, query, client)
    try:
        await upload.wait_started(request)
    except BaseException:
        await upload.detach(request)
        if not upload.resumable:
            await registry.delete(upload)
        raise
    return UploadResponse(upload, request, query.seq, manager.settings.idle_timeout_s)


@router.get("/detections/{job_id}")
async def get_upload_info(upload: UploadDep) -> JobInfo:
    """An upload: how far it has come, and its summary or error once it has ended."""
    return upload.info


@router.get("/detections/{job_id}/results", response_class=Response, responses=NDJSON_RESPONSES)
async def get_results(upload: UploadDep, seq: Seq = 0) -> Response:
    """The results that there are now, from `seq` on; once the upload has ended, its last line too."""
    return Response(upload.available_lines(seq or 0), media_type="application/x-ndjson")


@router.delete("/detections/{job_id}", status_code=204, response_class=Response)
async def delete_upload(upload: UploadDep, registry: RegistryDep) -> None:
    """End an upload and drop its results."""
    await registry.delete(upload)
