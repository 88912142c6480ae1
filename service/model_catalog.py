"""The weights that clients may request, by name.

All files are read once at start, so that the operator sees an error in a file, and no client does. Names,
digests and sizes are known afterwards without loading a file again.
"""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from spikewatch.model.checkpoints.bundled import UNTRAINED, bundled_weights
from spikewatch.model.checkpoints.checkpoint import load_detector, weights_digest
from spikewatch.model.detector import Detector
from spikewatch.model.errors import ConfigError, ModelError
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import InvalidSettings, InvalidSnapshot, ModelNotFound
from spikewatch.service.process_memory import trim_heap
from spikewatch.service.settings import Settings

ModelFingerprint = dict[str, Any]


log = logging.getLogger("spikewatch.catalog")

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Valid names of weights."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """Weights that clients may request.

    Attributes:
        name: listed name; for the default, the name in its file.
        aliases: other names of the same weights.
        weights: argument of `load_detector`. Never sent to clients.
        spec: specification stored in the file beside the weights.
        fingerprint: stored in snapshots, see `compute_fingerprint`.
        parameters: number of trained values.
        layers: names of its spiking layers.
        runtime: name of the runtime.
        weights_bytes, state_bytes: memory of the weights, and of one session's membranes.
    """

    name: str
    aliases: tuple[str, ...]
    weights: str | None
    spec: ModelSpec
    fingerprint: ModelFingerprint
    parameters: int
    layers: tuple[str, ...]
    runtime: str
    weights_bytes: int
    state_bytes: int

    @property
    def digest(self) -> str:
        """Digest of the weights, as `weights_digest` returns."""
        return str(self.fingerprint["weights"])

    def memory_bytes(self, slots: int) -> int:
        """Return the memory of the loaded model, with membranes of `slots` sessions."""
        return self.weights_bytes + slots * self.state_bytes


def load_weights(weights: str | None, settings: Settings) -> Detector:
    """Load a detector with device, runtime and state type of the settings.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: the weights are for still pictures, or the runtime does not support them.
    """
    dtype = getattr(torch, settings.state_dtype)
    detector = load_detector(
        weights,
        settings.device,
        runtime=settings.runtime,
        state_dtype=dtype,
        compile_options=CompileOptions(settings.instruction_set, settings.kernel_cache),
    )
    detector.spec.check_input(events=True, name="a live stream")
    return detector


class ModelCatalog:
    """All weights that clients may request.

    Attributes:
        entries: each once, the default first.

    Raises:
        InvalidSettings: some weights of the settings cannot be used, or two have the same name.
    """

    def __init__(self, default: Detector, settings: Settings) -> None:
        requested = [settings.weights] if settings.weights in (UNTRAINED, *bundled_weights()) else []
        names = (default.spec.name, *filter(None, requested))
        self.entries: tuple[ModelEntry, ...] = (_make_entry(default, names, settings.weights),)
        for name, weights, of_folder in _parse_models(settings.models):
            entry = _read_entry(name, weights, of_folder, settings)
            if entry is not None:
                self._add(entry)
                trim_heap()

    def _add(self, entry: ModelEntry) -> None:
        """Add an entry, or add its name to the entry of the same weights."""
        for i, known in enumerate(self.entries):
            if (known.fingerprint, known.spec) == (entry.fingerprint, entry.spec):
                if entry.name in self.names and entry.name not in (known.name, *known.aliases):
                    break
                merged = replace(known, aliases=_aliases(known.name, (*known.aliases, entry.name)))
                self.entries = (*self.entries[:i], merged, *self.entries[i + 1 :])
                return
        if entry.name in self.names:
            raise InvalidSettings(
                f"models: two different weights are named {entry.name!r}; rename one with NAME=FILE"
            )
        self.entries += (entry,)

    @property
    def names(self) -> tuple[str, ...]:
        """All names that clients may request."""
        return tuple(dict.fromkeys(name for entry in self.entries for name in (entry.name, *entry.aliases)))

    @property
    def default(self) -> ModelEntry:
        """The weights for requests that name none."""
        return self.entries[0]

    def find(self, name: str | None) -> ModelEntry:
        """Return the weights of a name, or the default for None.

        Raises:
            ModelNotFound: no weights have this name.
        """
        if name is None:
            return self.default
        for entry in self.entries:
            if name in (entry.name, *entry.aliases):
                return entry
        known = ", ".join(self.names)
        raise ModelNotFound(f"weights {name[:64]!r} not found; available: {known}", known=list(self.names))

    def find_for_snapshot(self, fingerprint: ModelFingerprint) -> ModelEntry:
        """Return the weights that made a snapshot.

        Raises:
            InvalidSnapshot: the snapshot is of another version, or of other weights.
        """
        if fingerprint.get("version") != SNAPSHOT_VERSION:
            raise InvalidSnapshot(
                f"the snapshot's version is {fingerprint.get('version')!r}, this service's "
                f"{SNAPSHOT_VERSION!r}"
            )
        for same in ({"weights", "model"}, {"weights"}):
            for entry in self.entries:
                if all(fingerprint.get(key) == entry.fingerprint[key] for key in same):
                    return entry
        known = ", ".join(f"{entry.digest} ({entry.name})" for entry in self.entries)
        theirs = f"{fingerprint.get('weights')!r:.40} ({fingerprint.get('model')!r:.70})"
        raise InvalidSnapshot(f"the snapshot's weights is {theirs}, this service's {known}")


def _parse_models(models: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield name and weights of each entry of the setting, and whether it came from a folder."""
    for requested in models:
        name, equals, path = requested.partition("=")
        if equals:
            yield name, path, False
        elif requested in (UNTRAINED, *bundled_weights()):
            yield requested, requested, False
        elif Path(requested).is_dir():
            yield from (
                (file.stem, str(file), True) for file in sorted(Path(requested).glob("*.safetensors"))
            )
        else:
            known = ", ".join((UNTRAINED, *bundled_weights()))
            raise InvalidSettings(
                f"models: {requested!r} not found; expected {known}, NAME=FILE or a folder of weights"
            )


def _read_entry(name: str, weights: str, of_folder: bool, settings: Settings) -> ModelEntry | None:
    """Read an entry. Returns None for a valid file of a folder that cannot serve event streams here."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidSettings(
            f"models: invalid name {name!r}; expected 1 to 64 letters, digits, '.', '_' or '-'; use NAME=FILE"
        )
    try:
        return _make_entry(load_weights(weights, settings), (name,), weights)
    except ConfigError as error:
        if not of_folder:
            raise InvalidSettings(f"models: {name}: {error}") from error
        log.warning("weights are skipped", extra={"weights": name, "error": str(error)})
        return None
    except ModelError as error:
        raise InvalidSettings(f"models: {name}: {error}") from error


def _make_entry(detector: Detector, names: Sequence[str], weights: str | None) -> ModelEntry:
    return ModelEntry(
        name=names[0],
        aliases=_aliases(names[0], names[1:]),
        weights=weights,
        spec=detector.spec,
        fingerprint=compute_fingerprint(detector),
        parameters=sum(p.numel() for p in detector.network.parameters()),
        layers=tuple(layer.name for layer in detector.layers if layer.spiking),
        runtime=detector.runtime,
        weights_bytes=detector.weights_bytes,
        state_bytes=detector.state_bytes,
    )


def _aliases(name: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(other for other in dict.fromkeys(names) if other != name)


ARITHMETIC = {"compiled": "int8"}
"""Runtime -> runtime whose snapshots it can resume, because it computes the same."""

SNAPSHOT_VERSION = "spikewatch-session-2"

EARLIER_DEFAULTS = {"count_rule": "sum"}
"""Values of the keys that snapshots of earlier releases lack."""


def compute_fingerprint(detector: Detector) -> ModelFingerprint:
    """Return the fingerprint of a detector: version, weights, architecture, runtime."""
    spec = detector.spec
    identity = {
        "version": SNAPSHOT_VERSION,
        "model": spec.name,
        "weights": weights_digest(detector.network),
        **asdict(spec.config),
        "representation": spec.representation,
        "count_cap": spec.count_cap,
        "count_rule": spec.count_rule,
        "time_order": spec.time_order,
        "runtime": ARITHMETIC.get(detector.runtime, detector.runtime),
        "input": (spec.input_height, spec.input_width),
    }
    as_read_back: ModelFingerprint = json.loads(json.dumps(identity))
    return as_read_back


def check_compatible(actual: Any, expected: ModelFingerprint, owner: str) -> None:
    """Raise InvalidSnapshot at the first key of `expected` that differs in `actual`."""
    found = EARLIER_DEFAULTS | dict(actual)
    for key, value in expected.items():
        if found.get(key) != value:
            raise InvalidSnapshot(f"the snapshot's {key} is {found.get(key)!r}, this {owner}'s {value!r}")
