"""Which network `spikewatch train` teaches, and what its weights will say of themselves."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.spec import ModelSpec
from spikewatch.service.cli.actions.init import InitOptions, make_specification
from spikewatch.service.cli.actions.train_data import ImageData, RecordingData


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What the user chose; None: as in the weights, the row, or by default."""

    weights: str | None
    row: str | None
    scale: str | None
    slices: int | None
    spikes: int | None
    slice_us: int | None
    window: str | None
    size: str | None
    beta: float | None
    beta_mode: str | None


def build_for_training(
    options: NetworkOptions, dataset: Path, source: RecordingData | ImageData
) -> tuple[ModelSpec, Network | None]:
    """The specification, and the network to start from where it has been trained before.

    Raises:
        ConfigError: it contradicts itself, cannot be trained, or the weights do not fit it.
        CheckpointError: the weights cannot be read.
    """
    before = None if options.weights is None else load_detector(options.weights)
    config = {
        "scale": options.scale,
        "d_max": options.spikes,
        "beta": options.beta,
        "beta_mode": options.beta_mode,
    }
    wish = InitOptions(
        options.row,
        config,
        None,
        source.representation,
        options.size,
        options.slices,
        options.window,
        options.slice_us,
    )
    wanted = make_specification(
        wish, "spikewatch", None if before is None else before.spec, source.class_names
    )
    if wanted.config.head != "anchor_free":
        raise ConfigError("training teaches the anchor-free head only")
    if before is not None and before.spec.training == "untrained":
        before = None
    spec = _with_provenance(wanted, before, dataset)
    return spec, None if before is None else _continue_from(before, spec, options.weights)


def _with_provenance(requested: ModelSpec, before: Detector | None, dataset: Path) -> ModelSpec:
    """Name and origin; what the weights were trained on before is not forgotten."""
    place = dataset.resolve()
    simulation = place / "simulation.json"
    training = f"trained on {'simulated recordings' if simulation.is_file() else place.name}"
    provenance = {"data": place.name}
    if before is not None:
        provenance = {**before.spec.provenance, **provenance, "start": before.spec.name}
        if before.spec.training != training:
            training = f"{before.spec.training}, then {training}"
    if simulation.is_file():
        licences = json.loads(simulation.read_text()).get("licences", [])
        if licences:
            provenance["credits"] = "; ".join(f"{o['part']}: {o['source']}, {o['licence']}" for o in licences)
    short = "sim" if training == "trained on simulated recordings" else place.name
    return replace(
        requested,
        name=f"spikewatch-{requested.config.scale}-{short}",
        training=training,
        time_order="oldest_first",
        provenance=MappingProxyType(provenance),
    )


def _continue_from(before: Detector, spec: ModelSpec, weights: str | None) -> Network:
    network = build_network(spec.config)
    theirs, ours = before.network.state_dict(), network.state_dict()
    odd = [n for n in ours | theirs if n not in ours or n not in theirs or ours[n].shape != theirs[n].shape]
    if odd:
        raise ConfigError(
            f"{weights} does not fit the network that was asked for: {len(odd)} tensors differ, such as "
            f"{odd[0]}; scale, blocks, kind of beta and number of classes must be the same"
        )
    network.load_state_dict(theirs)
    return network
