"""The models that may be asked for, in our own words and in those of the Open Inference Protocol."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from spikewatch.service.api.dependencies import ManagerDep
from spikewatch.service.api.health import NOT_READY_RESPONSE
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.schemas import Problem, Schema
from spikewatch.service.session_manager.manager import SessionManager

PROBLEM_RESPONSE: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}

router = APIRouter(tags=["models"])


class ModelInfo(Schema):
    """Weights that may be asked for, by their name or an alias."""

    name: str
    aliases: list[str] = Field(description="other names for the same")
    default: bool = Field(description="used where none are named")
    loaded: bool = Field(description="false: the first session waits until they are")
    sessions: int = Field(description="open now, of all clients")
    training: str
    digest: str
    architecture: str
    neuron: str
    scale: str
    runtime: str = Field(description="the arithmetic: eager, fp32, int8x2, int8 or half")
    parameters: int
    classes: list[str]
    representation: str
    slice_us: int
    slices: int
    time_order: str
    beta: float
    d_max: int
    input_height: int
    input_width: int
    weights_bytes: int = Field(description="memory of the weights")
    state_bytes: int = Field(description="memory of the membranes of one session")
    memory_bytes: int = Field(description="of both, for as many sessions as there may be: what loading takes")
    layers: list[str]
    provenance: dict[str, str] = Field(description="where the weights came from")


class ModelList(Schema):
    """All weights that may be asked for, the default first."""

    models: list[ModelInfo]
    memory_bytes: int = Field(description="taken by those that are loaded")
    memory_limit_bytes: int = Field(description="what they may take together")


def model_info(entry: ModelEntry, manager: SessionManager) -> ModelInfo:
    """What a client may want to know of a model."""
    spec, config, running = entry.spec, entry.spec.config, manager.models.get(entry.name)
    return ModelInfo(
        name=entry.name,
        aliases=list(entry.aliases),
        default=entry is manager.models.catalog.default,
        loaded=running is not None,
        sessions=0 if running is None else running.session_count,
        training=spec.training,
        digest=entry.digest,
        architecture=config.architecture,
        neuron=config.neuron,
        scale=config.scale,
        runtime=entry.runtime,
        parameters=entry.parameters,
        classes=list(spec.class_names),
        representation=spec.representation,
        slice_us=spec.slice_us,
        slices=spec.slices,
        time_order=spec.time_order,
        beta=config.beta,
        d_max=config.d_max,
        input_height=spec.input_height,
        input_width=spec.input_width,
        weights_bytes=entry.weights_bytes,
        state_bytes=entry.state_bytes,
        memory_bytes=entry.memory_bytes(manager.settings.max_sessions),
        layers=list(entry.layers),
        provenance=dict(spec.provenance),
    )


@router.get("/v1/models")
async def list_models(manager: ManagerDep) -> ModelList:
    """The weights that may be asked for, the default first; `training` says what they are worth.

    Those that are not loaded are loaded when a session or an upload names them.
    """
    return ModelList(
        models=[model_info(entry, manager) for entry in manager.models.catalog.entries],
        memory_bytes=manager.models.used_bytes,
        memory_limit_bytes=manager.settings.model_memory_bytes,
    )


@router.get("/v2/models/{name}", responses={404: PROBLEM_RESPONSE})
async def get_model_metadata(name: str, manager: ManagerDep) -> dict[str, object]:
    """Model metadata: one slice in, head logits out; the membranes stay on the server."""
    entry = manager.models.catalog.find(name)
    spec = entry.spec
    shape = [-1, spec.config.in_channels, spec.input_height, spec.input_width]
    boxes = 4 + len(spec.class_names)
    anchors = sum(spec.input_height * spec.input_width // s**2 for s in (8, 16, 32))
    return {
        "name": entry.name,
        "versions": [entry.digest],
        "platform": "pytorch",
        "inputs": [{"name": "frames", "datatype": "FP32", "shape": shape}],
        "outputs": [{"name": "detections", "datatype": "FP32", "shape": [-1, boxes, anchors]}],
        "parameters": {"training": spec.training},
    }


@router.get("/v2/models/{name}/ready", responses=NOT_READY_RESPONSE | {404: PROBLEM_RESPONSE})
async def get_model_readiness(name: str, manager: ManagerDep, response: Response) -> dict[str, object]:
    """Whether it is loaded and new sessions are computed; 503 also means: asked for, it will be loaded."""
    entry = manager.models.catalog.find(name)
    running = manager.models.get(entry.name)
    ready = running is not None and running.alive and not manager.draining
    response.status_code = 200 if ready else 503
    return {"name": entry.name, "ready": ready}
