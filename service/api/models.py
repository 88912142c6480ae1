"""The models of the service, as our own API and as the Open Inference Protocol v2."""

from fastapi import APIRouter, Response
from pydantic import Field

from spikewatch.service.api.dependencies import ManagerDep, problems
from spikewatch.service.api.health import NOT_READY_RESPONSE
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.schemas import Schema
from spikewatch.service.session_manager.manager import SessionManager

router = APIRouter(tags=["models"])


class ModelInfo(Schema):
    """Weights that a session or upload can name, by their name or an alias."""

    name: str
    aliases: list[str] = Field(description="other names of these weights")
    default: bool = Field(description="true: used if a request names no weights")
    loaded: bool = Field(description="false: the first session waits while the weights are loaded")
    sessions: int = Field(description="open sessions of all clients")
    training: str
    digest: str
    architecture: str
    neuron: str
    scale: str
    runtime: str = Field(description="the arithmetic: eager, fp32, int8x2, int8, compiled or half")
    parameters: int
    classes: list[str]
    representation: str
    count_rule: str = Field(description="counts of a larger sensor: sum, or per_side, see docs/model.md")
    slice_us: int
    slices: int
    time_order: str
    beta: float
    d_max: int
    input_height: int
    input_width: int
    weights_bytes: int = Field(description="memory of the weights")
    state_bytes: int = Field(description="memory of the membranes of one session")
    memory_bytes: int = Field(
        description="memory that loading takes: weights, and membranes of all sessions allowed"
    )
    layers: list[str]
    provenance: dict[str, str] = Field(description="origin of the weights")


class ModelList(Schema):
    """All weights of the service, the default first."""

    models: list[ModelInfo]
    memory_bytes: int = Field(description="memory of the loaded weights")
    memory_limit_bytes: int = Field(description="limit of `memory_bytes`")


def model_info(entry: ModelEntry, manager: SessionManager) -> ModelInfo:
    """Return the public description of a model."""
    spec, config, loaded = entry.spec, entry.spec.config, manager.models.get(entry.name)
    return ModelInfo(
        name=entry.name,
        aliases=list(entry.aliases),
        default=entry is manager.models.catalog.default,
        loaded=loaded is not None,
        sessions=0 if loaded is None else loaded.session_count,
        training=spec.training,
        digest=entry.digest,
        architecture=config.architecture,
        neuron=config.neuron,
        scale=config.scale,
        runtime=entry.runtime,
        parameters=entry.parameters,
        classes=list(spec.class_names),
        representation=spec.representation,
        count_rule=spec.count_rule,
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
    """Return all weights, the default first; `training` says how they were trained.

    Weights that are not loaded are loaded when a session or an upload names them.
    """
    return ModelList(
        models=[model_info(entry, manager) for entry in manager.models.catalog.entries],
        memory_bytes=manager.models.used_bytes,
        memory_limit_bytes=manager.settings.model_memory_bytes,
    )


@router.get("/v2/models/{name}", responses=problems(404))
async def get_model_metadata(name: str, manager: ManagerDep) -> dict[str, object]:
    """Return model metadata: one slice in, head logits out; the membranes stay on the server."""
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


@router.get("/v2/models/{name}/ready", responses=NOT_READY_RESPONSE | problems(404))
async def get_model_readiness(name: str, manager: ManagerDep, response: Response) -> dict[str, object]:
    """Return 200 if the model is loaded and runs; 503 if it failed, or is loaded on demand only."""
    entry = manager.models.catalog.find(name)
    loaded = manager.models.get(entry.name)
    ready = loaded is not None and loaded.alive and not manager.draining
    response.status_code = 200 if ready else 503
    return {"name": entry.name, "ready": ready}
