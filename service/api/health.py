"""Health, metadata (Open Inference Protocol v2), models and metrics."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from model.checkpoint import weights_digest
from model.detector import Detector
from service.api.sessions import Host
from service.errors import UnknownModel
from service.schemas import ModelInfo, ModelList, Problem

PROBLEM: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}
NOT_READY: dict[int | str, dict[str, Any]] = {503: {"description": "not ready"}}

router = APIRouter(tags=["health and models"])


def model_info(detector: Detector) -> ModelInfo:
    """What a client may want to know of a model."""
    spec = detector.spec
    return ModelInfo(
        name=spec.name,
        training=spec.training,
        digest=weights_digest(detector.network),
        architecture=spec.config.architecture,
        neuron=spec.config.neuron,
        scale=spec.config.scale,
        runtime=detector.runtime,
        parameters=sum(p.numel() for p in detector.network.parameters()),
        classes=list(spec.class_names),
        representation=spec.representation,
        slice_us=spec.slice_us,
        slices=spec.slices,
        time_order=spec.time_order,
        beta=spec.config.beta,
        d_max=spec.config.d_max,
        input_height=spec.input_height,
        input_width=spec.input_width,
        state_bytes=detector.state_dtype.itemsize
        * sum(c * h * w for c, h, w in detector.state_shapes.values()),
        layers=[layer.name for layer in detector.layers if layer.spiking],
        provenance=dict(spec.provenance),
    )


@router.get("/v1/models")
async def models(host: Host) -> ModelList:
    """The loaded models; `training` says what their weights are worth."""
    return ModelList(models=[model_info(host.detector)])


@router.get("/v2/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/v2/health/ready", responses=NOT_READY)
async def ready(host: Host, response: Response) -> dict[str, bool]:
    """New sessions will be computed; 503 while the service starts, drains, or has lost its worker."""
    response.status_code = 200 if host.ready else 503
    return {"ready": host.ready}


@router.get("/v2")
async def server(host: Host) -> dict[str, object]:
    """Server metadata."""
    return {"name": "spikewatch", "version": host.settings.version, "extensions": ["spikewatch_sessions"]}


@router.get("/v2/models/{name}", responses={404: PROBLEM})
async def model(name: str, host: Host) -> dict[str, object]:
    """Model metadata: one slice in, head logits out; the membranes stay on the server."""
    spec, detector = host.detector.spec, host.detector
    if name != spec.name:
        raise UnknownModel(f"no model {name[:64]!r}; loaded is {spec.name!r}")
    shape = [-1, spec.config.in_channels, spec.input_height, spec.input_width]
    boxes = 4 + len(spec.class_names)
    anchors = sum(detector.spec.input_height * detector.spec.input_width // s**2 for s in (8, 16, 32))
    return {
        "name": spec.name,
        "versions": [weights_digest(detector.network)],
        "platform": "pytorch",
        "inputs": [{"name": "frames", "datatype": "FP32", "shape": shape}],
        "outputs": [{"name": "detections", "datatype": "FP32", "shape": [-1, boxes, anchors]}],
        "parameters": {"training": spec.training},
    }


@router.get("/v2/models/{name}/ready", responses=NOT_READY | {404: PROBLEM})
async def model_ready(name: str, host: Host, response: Response) -> dict[str, object]:
    """Like /v2/health/ready, for one model."""
    if name != host.detector.spec.name:
        raise UnknownModel(f"no model {name[:64]!r}; loaded is {host.detector.spec.name!r}")
    response.status_code = 200 if host.ready else 503
    return {"name": name, "ready": host.ready}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(host: Host) -> Response:
    """Prometheus, text format."""
    return Response(generate_latest(host.metrics.registry), media_type=CONTENT_TYPE_LATEST)
