"""Which weights clients may ask for, by name.

All are read once at the start, so that a bad file is told to the operator and to no client; what is learned
of them then is told without loading them again.
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
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import InvalidSettings, InvalidSnapshot, ModelNotFound
from spikewatch.service.process_memory import trim_heap
from spikewatch.service.settings import Settings

ModelFingerprint = dict[str, Any]


log = logging.getLogger("spikewatch.catalog")

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Names that an operator may give."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """Weights that may be asked for.

    Attributes:
        name: as they are listed; for the default, what its file says.
        aliases: other names that stand for the same.
        weights: what `load_detector` takes. Never told to clients.
        spec: what the file says beside the weights.
        fingerprint: what a snapshot of its sessions says of it.
        parameters: how many numbers are trained.
        layers: names of its spiking layers.
        weights_bytes, state_bytes: memory of the weights, and of one session's membranes.
    """

    name: str
    aliases: tuple[str, ...]
    weights: str | None
    spec: ModelSpec
    fingerprint: ModelFingerprint
    parameters: int
    layers: tuple[str, ...]
    weights_bytes: int
    state_bytes: int

    @property
    def digest(self) -> str:
        """Of the weights; the same digits as `weights_digest`."""
        return str(self.fingerprint["weights"])

    @property
    def runtime(self) -> str:
        """The arithmetic."""
        return str(self.fingerprint["runtime"])

    def memory_bytes(self, slots: int) -> int:
        """What it takes to be loaded, with membranes of so many sessions."""
        return self.weights_bytes + slots * self.state_bytes


def load_weights(weights: str | None, settings: Settings) -> Detector:
    """A detector as the settings want it.

    Raises:
        CheckpointError: the weights cannot be read.
        ConfigError: they look at still pictures, or the runtime does not know them.
    """
    dtype = getattr(torch, settings.state_dtype)
    detector = load_detector(weights, settings.device, runtime=settings.runtime, state_dtype=dtype)
    detector.spec.check_input(events=True, name="a live stream")
    return detector


class ModelCatalog:
    """All weights that may be asked for.

    Attributes:
        entries: each once, the default first.

    Raises:
        InvalidSettings: weights that the settings name cannot be used, or two go by one name.
    """

    def __init__(self, default: Detector, settings: Settings) -> None:
        asked_as = [settings.weights] if settings.weights in (UNTRAINED, *bundled_weights()) else []
        names = (default.spec.name, *filter(None, asked_as))
        self.entries: tuple[ModelEntry, ...] = (_make_entry(default, names, settings.weights),)
        for name, weights, of_folder in _parse_models(settings.models):
            found = _read_entry(name, weights, of_folder, settings)
            if found is not None:
                self._add(found)
                trim_heap()

    def _add(self, found: ModelEntry) -> None:
        """Add an entry, or its name to the one that is the same."""
        for i, entry in enumerate(self.entries):
            if (entry.fingerprint, entry.spec) == (found.fingerprint, found.spec):
                if found.name in self.names and found.name not in (entry.name, *entry.aliases):
                    break
                both = replace(entry, aliases=_aliases(entry.name, (*entry.aliases, found.name)))
                self.entries = (*self.entries[:i], both, *self.entries[i + 1 :])
                return
        if found.name in self.names:
            raise InvalidSettings(f"models: two weights are called {found.name!r}")
        self.entries += (found,)

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be asked for."""
        return tuple(dict.fromkeys(name for entry in self.entries for name in (entry.name, *entry.aliases)))

    @property
    def default(self) -> ModelEntry:
        """What is used where none is named."""
        return self.entries[0]

    def find(self, name: str | None) -> ModelEntry:
        """The weights of a name, by default the default.

        Raises:
            ModelNotFound: there are none; says which there are.
        """
        if name is None:
            return self.default
        for entry in self.entries:
            if name in (entry.name, *entry.aliases):
                return entry
        known = ", ".join(self.names)
        raise ModelNotFound(f"no weights {name[:64]!r}; known are {known}", known=list(self.names))

    def find_for_snapshot(self, fingerprint: ModelFingerprint) -> ModelEntry:
        """The weights that made a snapshot.

        Raises:
            InvalidSnapshot: it is of another version, or none of these made it.
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
    """Name and weights of each that the setting lists, and whether only their folder was named."""
    for given in models:
        name, equals, path = given.partition("=")
        if equals:
            yield name, path, False
        elif given in (UNTRAINED, *bundled_weights()):
            yield given, given, False
        elif Path(given).is_dir():
            yield from ((file.stem, str(file), True) for file in sorted(Path(given).glob("*.safetensors")))
        else:
            known = ", ".join((UNTRAINED, *bundled_weights()))
            raise InvalidSettings(
                f"models: {given!r} is none of {known}, no NAME=FILE and no folder of weights"
            )


def _read_entry(name: str, weights: str, of_folder: bool, settings: Settings) -> ModelEntry | None:
    """What there is to know; None for a sound file of a folder that is not for streams of events here."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidSettings(
            f"models: {name!r} is no name: letters, digits, '.', '_' and '-', at most 64; give NAME=FILE"
        )
    try:
        return _make_entry(load_weights(weights, settings), (name,), weights)
    except ConfigError as error:
        if not of_folder:
            raise InvalidSettings(f"models: {name}: {error}") from error
        log.warning("weights are passed over", extra={"weights": name, "error": str(error)})
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
        weights_bytes=detector.weights_bytes,
        state_bytes=detector.state_bytes,
    )


def _aliases(name: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(other for other in dict.fromkeys(names) if other != name)


SNAPSHOT_VERSION = "spikewatch-session-2"


def compute_fingerprint(detector: Detector) -> ModelFingerprint:
    """That of a detector: version, weights, architecture, arithmetic."""
    spec = detector.spec
    identity = {
        "version": SNAPSHOT_VERSION,
        "model": spec.name,
        "weights": weights_digest(detector.network),
        **asdict(spec.config),
        "representation": spec.representation,
        "count_cap": spec.count_cap,
        "time_order": spec.time_order,
        "runtime": detector.runtime,
        "input": (spec.input_height, spec.input_width),
    }
    as_read_back: ModelFingerprint = json.loads(json.dumps(identity))
    return as_read_back


def check_compatible(actual: Any, expected: ModelFingerprint, owner: str) -> None:
    """Refuse a snapshot that differs, naming the first thing that does: InvalidSnapshot."""
    for key, value in expected.items():
        if dict(actual).get(key) != value:
            raise InvalidSnapshot(f"the snapshot's {key} is {actual.get(key)!r}, this {owner}'s {value!r}")
