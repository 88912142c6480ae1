"""Import of official SpikeYOLO checkpoints: infer the network, load its tensors, build a detector.

Scale, classes and repeats are inferred from the tensors. The neuron is not: COCO and Gen1 weights have equal
names and shapes but are not interchangeable, so the caller names the variant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from spikewatch.model.checkpoints.official_file import (
    OfficialCheckpoint,
    read_official_checkpoint,
    to_printable,
)
from spikewatch.model.checkpoints.official_names import DFL_NAME, official_tensor_names
from spikewatch.model.checkpoints.tensor_checks import check_tensors
from spikewatch.model.coco_classes import COCO_CLASSES
from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError, ConfigError
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import LIMITS, SCALES, SpikeYOLOConfig
from spikewatch.model.network.plan import DFL_BINS
from spikewatch.model.spec import GEN1_CLASSES, REPRESENTATION_CHANNELS, ModelSpec

ENCODER_WEIGHT = "model.1.encode_conv.weight"
CLASS_HEAD_WEIGHT = "model.26.cv3.0.2.conv.weight"
STAGE_ROWS = (2, 4, 6, 8)


@dataclass(frozen=True, slots=True)
class Variant:
    """Constants of the authors' code for one data set that the weights do not contain.

    Attributes:
        beta, input_gain: constants of the neuron.
        representation: input representation.
        input_height, input_width: size of the input in pixels.
        slices: T.
        time_order: order of the slices of a window in training.
        class_names: used if the file has no usable class names and the number of classes fits.
        spikingjelly: True if the neuron comes from spikingjelly; identifies the variant of pickled modules.
    """

    beta: float
    input_gain: float
    representation: str
    input_height: int
    input_width: int
    slices: int
    time_order: str
    class_names: tuple[str, ...]
    spikingjelly: bool


VARIANTS = {
    "coco": Variant(0.25, 1.0, "image", 640, 640, 1, "oldest_first", COCO_CLASSES, False),
    "gen1": Variant(0.5, 0.5, "latest_polarity", 256, 320, 4, "newest_first", GEN1_CLASSES, True),
}
D_MAX = 4


def import_official(
    path: Path,
    variant: str,
    scale: str | None = None,
    slices: int | None = None,
    time_order: str | None = None,
    name: str | None = None,
) -> Detector:
    """Import an official checkpoint, without executing anything in it.

    Args:
        path: a .pt file of the authors' training, or one of `export_official`.
        variant: `coco` or `gen1`, the data set of the weights, which fixes neuron and input.
        scale: expected scale; None accepts any scale.
        slices: T; None for that of the variant.
        time_order: order of the slices; None for that of the variant.
        name: name of the model; None for a name such as `spikeyolo-s-coco`.

    Raises:
        CheckpointError: the file cannot be read, or does not hold such a network.
        ConfigError: the options contradict each other.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"variant {variant!r} is unknown; known are {', '.join(VARIANTS)}")
    defaults = VARIANTS[variant]
    if time_order is not None and defaults.representation == "image" and time_order != defaults.time_order:
        raise ConfigError(
            f"time_order {time_order!r}: variant {variant} takes still images, which have no order; "
            "omit time_order"
        )
    file = read_official_checkpoint(path)
    _check_variant(path, file, variant)
    tensors = _drop_dfl(path, file.tensors)
    config = _infer_config(path, tensors, defaults, scale)
    spec = ModelSpec(
        name=name or f"spikeyolo-{config.scale}-{variant}",
        config=config,
        class_names=resolve_class_names(file.class_names, config.classes, defaults),
        representation=defaults.representation,
        slices=slices or defaults.slices,
        input_height=defaults.input_height,
        input_width=defaults.input_width,
        training=f"imported from {to_printable(path.name)} (official SpikeYOLO, {variant})",
        time_order=time_order or defaults.time_order,
        provenance=_provenance(path, file, variant),
    )
    return _build_detector(path, tensors, spec)


def _check_variant(path: Path, file: OfficialCheckpoint, variant: str) -> None:
    """Check the variant of a pickled module by its imports; plain tensors have none."""
    if file.source == "state dict":
        return
    spikingjelly = any(name.startswith("spikingjelly.") for name in file.globals)
    if spikingjelly != VARIANTS[variant].spikingjelly:
        imports = "imports spikingjelly" if spikingjelly else "does not import spikingjelly"
        other = next(v for v, known in VARIANTS.items() if known.spikingjelly == spikingjelly)
        raise CheckpointError(
            f"{path}: {imports}, so its neuron is not that of {variant}; pass variant {other}"
        )


def _drop_dfl(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the constant 0..15 that converts distributions to distances; here it is part of the code."""
    remaining = dict(tensors)
    dfl = remaining.pop(DFL_NAME, None)
    if dfl is not None and (
        dfl.shape != (1, DFL_BINS, 1, 1) or dfl.float().flatten().tolist() != list(range(DFL_BINS))
    ):
        raise CheckpointError(f"{path}: {DFL_NAME} is not 0 to {DFL_BINS - 1}, the only values known")
    return remaining


def _infer_config(
    path: Path, tensors: Mapping[str, Tensor], variant: Variant, requested: str | None
) -> SpikeYOLOConfig:
    """Infer the configuration of the network from the names and shapes of the tensors."""
    if ENCODER_WEIGHT not in tensors:
        raise CheckpointError(
            f"{path}: {_describe_tensors(tensors)}; expected a SpikeYOLO, with {ENCODER_WEIGHT}"
        )
    width, in_channels = _tensor_shape(path, tensors, ENCODER_WEIGHT, 4)[:2]
    classes = _tensor_shape(path, tensors, CLASS_HEAD_WEIGHT, 4)[0]
    channels = REPRESENTATION_CHANNELS[variant.representation]
    if in_channels != channels:
        raise CheckpointError(
            f"{path}: {in_channels} input channels, expected {channels} for {variant.representation}"
        )
    widths = {SpikeYOLOConfig(scale).widths[0]: scale for scale in SCALES["spikeyolo"]}
    scale = widths.get(width)
    if scale is None:
        known = ", ".join(f"{w} ({s})" for w, s in widths.items())
        raise CheckpointError(f"{path}: {width} channels after the encoder, expected one of {known}")
    if requested is not None and requested != scale:
        raise CheckpointError(
            f"{path}: is of scale {scale}, not {requested}; pass --scale {scale} or omit it"
        )
    if not 1 <= classes <= LIMITS["classes"][1]:
        raise CheckpointError(f"{path}: {classes} classes, expected 1 to {LIMITS['classes'][1]}")
    repeats = _infer_repeats(path, tensors)
    default = SpikeYOLOConfig(scale).stage_repeats
    return SpikeYOLOConfig(
        scale=scale,
        classes=classes,
        in_channels=in_channels,
        beta=variant.beta,
        d_max=D_MAX,
        input_gain=variant.input_gain,
        repeats=None if repeats == default else repeats,
    )


def _describe_tensors(tensors: Mapping[str, Tensor]) -> str:
    if "model.0.conv.weight" in tensors:
        return "a plain YOLO (its first layer is model.0.conv), not a spiking network"
    if not tensors:
        return "holds no tensors"
    return f"holds {len(tensors)} tensors such as {min(tensors)!a:.80}"


def _tensor_shape(path: Path, tensors: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    shape = tuple(tensors[name].shape) if name in tensors else ()
    if len(shape) != dimensions:
        actual = f"has shape {shape}" if name in tensors else "is missing"
        raise CheckpointError(f"{path}: {name} {actual}, expected {dimensions} dimensions")
    return shape


def _infer_repeats(path: Path, tensors: Mapping[str, Tensor]) -> tuple[int, int, int, int]:
    """Infer the number of blocks of each stage; names have an index only if there are several blocks."""
    repeats = []
    for row in STAGE_ROWS:
        pattern = re.compile(rf"model\.{row}\.([0-9]{{1,3}})\.")
        indices = {int(match[1]) for name in tensors if (match := pattern.match(name))}
        if len(indices) > 32:
            raise CheckpointError(f"{path}: {len(indices)} blocks in row {row}, expected 1 to 32")
        repeats.append(len(indices) or 1)
    first, second, third, fourth = repeats
    return first, second, third, fourth


def resolve_class_names(names: object, classes: int, variant: Variant) -> tuple[str, ...]:
    """Return the class names of the file if usable, else the data set's if their number fits.

    Otherwise the names are `class_0`, `class_1`, and so on.
    """
    if type(names) is dict and list(names) == list(range(classes)):
        values = tuple(names.values())
        usable = all(type(v) is str and v.isprintable() and 1 <= len(v) <= 64 for v in values)
        if usable and len(set(values)) == classes:
            return values
    if len(variant.class_names) == classes:
        return variant.class_names
    return tuple(f"class_{i}" for i in range(classes))


def _provenance(path: Path, file: OfficialCheckpoint, variant: str) -> Mapping[str, str]:
    origin = {
        "file": to_printable(path.name),
        "sha256": file.sha256,
        "variant": variant,
        "source": file.source,
    }
    return MappingProxyType(origin | file.metadata)


def _build_detector(path: Path, tensors: Mapping[str, Tensor], spec: ModelSpec) -> Detector:
    """Build the network and load the tensors; every tensor of the file is used exactly once."""
    with torch.device("meta"):
        expected_network = build_network(spec.config)
    names = official_tensor_names(expected_network)
    expected = {names[name]: tensor for name, tensor in expected_network.state_dict().items()}
    check_tensors(path, tensors, expected, f"SpikeYOLO, scale {spec.config.scale}")
    network = build_network(spec.config)
    network.load_state_dict({name: tensors[official] for name, official in names.items()})
    return Detector(network, spec)
