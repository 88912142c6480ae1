"""Upload of a whole recording: bytes in, one result a line out, while the upload continues.

An upload with a `job_id` may take several requests: it is resumed after a broken connection.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from spikewatch.service.api.dependencies import (
    OCTET_STREAM_BODY,
    ClientDep,
    ManagerDep,
    Seq,
    problems,
    require_plain_body,
)
from spikewatch.service.http.pieces import PiecesResponse
from spikewatch.service.schemas import JobInfo
from spikewatch.service.uploads.jobs import UploadRegistry
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.response import UploadResponse
from spikewatch.service.uploads.upload import Upload

router = APIRouter(prefix="/v1", tags=["recordings"])

NDJSON_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {}}, "description": "windows, then a summary"}
}


def get_registry(request: Request) -> UploadRegistry:
    """Return the application's uploads."""
    registry: UploadRegistry = request.app.state.registry
    return registry


RegistryDep = Annotated[UploadRegistry, Depends(get_registry)]


async def get_upload(job_id: str, registry: RegistryDep, client: ClientDep) -> Upload:
    """Return the upload named in the path; uploads of other clients are not found.

    Asynchronous because the registry lives on the event loop.
    """
    return registry.get(client.qualify_id(job_id))


UploadDep = Annotated[Upload, Depends(get_upload)]


@router.post(
    "/detections",
    openapi_extra=OCTET_STREAM_BODY,
    response_class=Response,
    responses=NDJSON_RESPONSES | problems(400, 404, 408, 409, 410, 413, 415, 422, 500, 503),
    dependencies=[Depends(require_plain_body)],
)
async def create_detections(
    request: Request,
    manager: ManagerDep,
    registry: RegistryDep,
    client: ClientDep,
    query: Annotated[UploadQuery, Query()],
) -> Response:
    """Upload a DAT, RAW (EVT2, EVT2.1, EVT3), HDF5 or AEDAT4 recording; its content tells the format.

    The response is NDJSON: one result a line, then `{"summary": ...}` as the last line. If the recording
    proves invalid after the first line was sent, the last line is `{"error": ...}` instead.

    An upload with a `job_id` can be resumed: send the same query again with `offset`, which is
    `accepted_bytes` of `GET /v1/detections/{job_id}`, and with `seq`, the first missing result. The response
    to a body that was only a part ends with `{"accepted_bytes": ...}`.
    """
    job_id = None if query.job_id is None else client.qualify_id(query.job_id)
    if job_id is not None and registry.contains(job_id):
        upload = registry.get(job_id)
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


@router.get("/detections/{job_id}", responses=problems(404))
async def get_upload_info(upload: UploadDep) -> JobInfo:
    """Return the progress of an upload, and its summary or error once it has ended."""
    return upload.info


@router.get(
    "/detections/{job_id}/results",
    response_class=Response,
    responses=NDJSON_RESPONSES | problems(404, 410, 422),
)
async def get_results(upload: UploadDep, manager: ManagerDep, seq: Seq = 0) -> Response:
    """Return the present results from `seq` on; once the upload has ended, its last line too."""
    lines, timeout_s = upload.available_lines(seq or 0), manager.settings.idle_timeout_s
    return PiecesResponse(lines, timeout_s, media_type="application/x-ndjson")


@router.delete("/detections/{job_id}", status_code=204, response_class=Response, responses=problems(404))
async def delete_upload(upload: UploadDep, registry: RegistryDep) -> None:
    """End an upload and delete its results."""
    await registry.delete(upload)
