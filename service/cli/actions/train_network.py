"""The network that `spikewatch train` starts from, and the provenance of its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.spec import ModelSpec
from spikewatch.service.cli.actions.specification import SpecOverrides, make_specification
from spikewatch.service.cli.actions.train_data import ImageData, RecordingData
from spikewatch.service.cli.options.train import TrainOptions


def build_for_training(
    options: TrainOptions, source: RecordingData | ImageData
) -> tuple[ModelSpec, Network | None]:
    """Return the specification, and the network of the weights if these have been trained.

    Raises:
        ConfigError: options contradict each other, the network cannot be trained, or the weights do not fit.
        CheckpointError: the weights cannot be read.
    """
    start = None if options.weights is None else load_detector(options.weights)
    requested = make_specification(
        _spec_overrides(options, source),
        "spikewatch",
        None if start is None else start.spec,
        source.class_names,
    )
    if requested.config.head != "anchor_free":
        raise ConfigError(f"training needs the head anchor_free, not {requested.config.head}")
    if start is not None and start.spec.training == "untrained":
        start = None
    spec = _with_provenance(requested, start, [options.dataset, *(options.also or [])])
    return spec, None if start is None else _load_weights(start, spec, options.weights)


def _spec_overrides(options: TrainOptions, source: RecordingData | ImageData) -> SpecOverrides:
    config = {
        "scale": options.scale,
        "d_max": options.spikes,
        "beta": options.beta,
        "beta_mode": options.beta_mode,
    }
    return SpecOverrides(
        row=options.row,
        config={name: value for name, value in config.items() if value is not None},
        representation=source.representation,
        size=options.size,
        slices=options.slices,
        window=options.window,
        slice_us=options.slice_us,
        count_rule=options.count_rule,
    )


def _with_provenance(requested: ModelSpec, start: Detector | None, datasets: Sequence[Path]) -> ModelSpec:
    """Return the specification with name and provenance; earlier training of `start` stays listed."""
    folders = [dataset.resolve() for dataset in dict.fromkeys(datasets)]
    reports = [_read_report(folder) for folder in folders]
    described = [_describe_data(folder, report) for folder, report in zip(folders, reports, strict=True)]
    training = f"trained on {' and on '.join(dict.fromkeys(described))}"
    names = ", ".join(folder.name for folder in folders)
    provenance = {"data": names}
    if start is not None:
        provenance = {**start.spec.provenance, **provenance, "start": start.spec.name}
        if start.spec.training != training:
            training = f"{start.spec.training}, then {training}"
    licences = [entry for report in reports for entry in report.get("licences", [])]
    if licences:
        lines = [f"{entry['part']}: {entry['source']}, {entry['licence']}" for entry in licences]
        provenance["credits"] = "; ".join(dict.fromkeys(lines))
    short = "sim" if training == "trained on simulated recordings" else folders[0].name
    return replace(
        requested,
        name=f"spikewatch-{requested.config.scale}-{short}",
        training=training,
        time_order="oldest_first",
        provenance=MappingProxyType(provenance),
    )


def _read_report(folder: Path) -> Mapping[str, Any]:
    """Return the report of `spikewatch simulate`; empty for other data."""
    path = folder / "simulation.json"
    report: Mapping[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return report


def _describe_data(folder: Path, report: Mapping[str, Any]) -> str:
    """Return what the data is, from the report of `spikewatch simulate` if there is one."""
    if not report:
        return folder.name
    from_video = report.get("options", {}).get("scenario") == "videos"
    return "events made from video" if from_video else "simulated recordings"


def _load_weights(start: Detector, spec: ModelSpec, weights: str | None) -> Network:
    network = build_network(spec.config)
    loaded, expected = start.network.state_dict(), network.state_dict()
    shapes, expected_shapes = (
        {name: tensor.shape for name, tensor in tensors.items()} for tensors in (loaded, expected)
    )
    differing = [name for name in expected | loaded if shapes.get(name) != expected_shapes.get(name)]
    if differing:
        raise ConfigError(
            f"{weights} does not fit the requested network: {len(differing)} tensors differ, such as "
            f"{differing[0]}; scale, blocks, kind of beta and number of classes must be the same"
        )
    network.load_state_dict(loaded)
    return network
