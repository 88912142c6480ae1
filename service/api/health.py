"""Health, metadata (Open Inference Protocol v2) and metrics."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from spikewatch.service.api.dependencies import ManagerDep

NOT_READY_RESPONSE: dict[int | str, dict[str, Any]] = {503: {"description": "not ready"}}

router = APIRouter(tags=["health"])


@router.head("/v2/health/live", include_in_schema=False)
@router.get("/v2/health/live")
async def get_liveness() -> dict[str, bool]:
    """Return 200 while the process runs."""
    return {"live": True}


@router.head("/v2/health/ready", include_in_schema=False)
@router.get("/v2/health/ready", responses=NOT_READY_RESPONSE)
async def get_readiness(manager: ManagerDep, response: Response) -> dict[str, bool]:
    """Return 200 if sessions can be created; 503 during start and shutdown, or if the worker failed."""
    response.status_code = 200 if manager.ready else 503
    return {"ready": manager.ready}


@router.get("/v2")
async def get_server_metadata(manager: ManagerDep) -> dict[str, object]:
    """Return name, version and extensions of the server."""
    return {"name": "spikewatch", "version": manager.settings.version, "extensions": ["spikewatch_sessions"]}


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(manager: ManagerDep) -> Response:
    """Return all metrics in the Prometheus text format."""
    return Response(generate_latest(manager.metrics.registry), media_type=CONTENT_TYPE_LATEST)
