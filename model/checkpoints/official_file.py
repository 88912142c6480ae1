"""Reader of official SpikeYOLO checkpoints (.pt) that runs no code from the file.

Such a file is a pickled module of classes from packages that may not be installed. Each class is replaced by
an inert stub that only stores its attributes. The tensors are collected from the tree of stubs.
"""

import hashlib
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikewatch.model.checkpoints.official_archive import read_checked_pickle
from spikewatch.model.checkpoints.official_pickle import UnsafePickle, pickle_globals
from spikewatch.model.errors import CheckpointError

STUB_PREFIXES = (
    *("ultralytics.", "spikingjelly.", "torch.nn.modules.", "torch.nn.functional."),
    *("pathlib.", "types.SimpleNamespace", "numpy.dtype", "numpy.dtypes.", "numpy.ndarray"),
    *("numpy.core.multiarray.", "numpy._core.multiarray."),
)
"""Names in official checkpoints that become stubs; a name that ends in a dot includes all names below."""

_STORAGES = ("Half", "Float", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_DTYPES = ("float16", "float32", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
ALLOWED_GLOBALS = (
    {"collections.OrderedDict", "builtins.set", "_codecs.encode", "torch.Size", "torch.device"}
    | {"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"}
    | {f"torch.{kind}Storage" for kind in _STORAGES}
    | {f"torch.{dtype}" for dtype in _DTYPES}
)
"""Names that the unpickler may import and call: containers and tensors."""

MAX_MODULES = 20_000
MAX_DEPTH = 64


class Stub:
    """Placeholder for an object of an official class: accepts any arguments and does nothing."""

    def __new__(cls, *_: object) -> "Stub":
        stub = object.__new__(cls)
        stub.fields = {}
        return stub

    def __init__(self, *_: object) -> None:
        self.fields: dict[str, Any]

    def __setstate__(self, state: object) -> None:
        """Store the attributes if they are a plain dict, and no other state."""
        self.fields = state if type(state) is dict else {}


@dataclass(frozen=True, slots=True)
class OfficialCheckpoint:
    """Content of an official checkpoint.

    Attributes:
        tensors: official name -> tensor, as stored.
        source: `ema`, `model`, or `state dict` if the file holds plain tensors.
        globals: names of the classes and functions that its pickle imports.
        class_names: class names stored in the module; not validated.
        metadata: epoch, date and version, if they are plain values.
        sha256: SHA-256 of the file, in hex.
    """

    tensors: dict[str, Tensor]
    source: str
    globals: frozenset[str]
    class_names: object
    metadata: dict[str, str]
    sha256: str


def read_official_checkpoint(path: Path) -> OfficialCheckpoint:
    """Read an official checkpoint.

    Raises:
        CheckpointError: the file is missing, damaged, unsafe, or no official checkpoint.
    """
    data = read_checked_pickle(path)
    try:
        used = pickle_globals(data)
    except UnsafePickle as error:
        raise CheckpointError(f"{path}: {error}") from error
    _check_globals(path, used)
    content = _unpickle(path, used)
    if type(content) is not dict or ("model" not in content and "ema" not in content):
        raise CheckpointError(f"{path}: expected a dict with `model` or `ema`, as training saves it")
    source = "ema" if content.get("ema") is not None else "model"
    root: Any = content.get(source)
    try:
        if isinstance(root, dict):
            source, names, tensors = "state dict", None, _check_tensors(dict.items(root))
        else:
            tensors, names = _check_tensors(_iter_tensors(root)), root.fields.get("names")
    except _NotAModule as error:
        raise CheckpointError(f"{path}: {source}: {error}") from error
    return OfficialCheckpoint(tensors, source, used, names, _metadata(content), _sha256(path))


def _is_stub_name(name: str) -> bool:
    return any(name.startswith(root) if root.endswith(".") else name == root for root in STUB_PREFIXES)


def _check_globals(path: Path, used: frozenset[str]) -> None:
    unknown = sorted(name for name in used if name not in ALLOWED_GLOBALS and not _is_stub_name(name))
    if unknown:
        shown = ", ".join(f"{name!a:.100}" for name in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise CheckpointError(
            f"{path}: imports {shown}{more}, which no official checkpoint needs; nothing was run:"
            " do not trust this file"
        )


def _unpickle(path: Path, used: frozenset[str]) -> Any:
    stubs: list[Any] = [(type("Stub", (Stub,), {}), name) for name in used if _is_stub_name(name)]
    try:
        with path.open("rb") as file, torch.serialization.safe_globals(stubs):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        # torch's message is not passed on, because it advises to run the file
        raise CheckpointError(
            f"{path}: its pickle does what torch.save never does; it was not run"
        ) from error
    except Exception as error:  # the unpickler raises many types of errors for bad pickles
        reason = str(error).strip().split("\n", 1)[0]
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {reason:.120})") from error


# dict.items(x) instead of x.items(), because a pickled OrderedDict may have attributes that hide its methods.


class _NotAModule(Exception):
    """The pickle holds other objects in the place of modules or tensors."""


def _module_dict(module: object, key: str) -> dict[str, object]:
    value = module.fields.get(key, {}) if isinstance(module, Stub) else None
    if not isinstance(value, dict) or not all(type(name) is str for name in dict.keys(value)):
        raise _NotAModule(f"expected a module with a dict `{key}`, got {type(module).__name__}")
    return dict(dict.items(value))


def _iter_tensors(root: object) -> Iterator[tuple[str, object]]:
    """Yield the name and value of every parameter and persistent buffer, in any order; stop at cycles."""
    pending = [("", root)]
    for _ in range(MAX_MODULES):
        if not pending:
            return
        prefix, module = pending.pop()
        modules, transient = _module_dict(module, "_modules"), _non_persistent_buffers(module)
        yield from ((prefix + n, p) for n, p in _module_dict(module, "_parameters").items() if p is not None)
        buffers = _module_dict(module, "_buffers").items()
        yield from ((prefix + n, b) for n, b in buffers if b is not None and n not in transient)
        pending += [(f"{prefix}{name}.", child) for name, child in modules.items() if child is not None]
        if prefix.count(".") > MAX_DEPTH or len(pending) > MAX_MODULES:
            raise _NotAModule(f"modules nest deeper than {MAX_DEPTH}, or are more than {MAX_MODULES:,}")
    raise _NotAModule(f"more than {MAX_MODULES:,} modules")


def _non_persistent_buffers(module: object) -> set[object]:
    """Return the names of the buffers that a module does not save."""
    names = module.fields.get("_non_persistent_buffers_set") if isinstance(module, Stub) else None
    return names if type(names) is set else set()


def _check_tensors(pairs: Iterable[tuple[object, object]]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, value in pairs:
        if type(name) is not str:
            raise _NotAModule(f"a name is a {type(name).__name__}, expected a string")
        if not isinstance(value, Tensor):
            raise _NotAModule(f"{name!a:.80} is a {type(value).__name__}, expected a tensor")
        if name in tensors:
            raise _NotAModule(f"{name!a:.80} occurs twice")
        tensors[name] = value.detach()
    return tensors


def _metadata(content: dict[str, object]) -> dict[str, str]:
    metadata = {}
    for name in ("epoch", "date", "version"):
        value = content.get(name)
        if (type(value) is int and abs(value) < 1 << 31) or (type(value) is str and value):
            metadata[name] = to_printable(str(value))
    return metadata


def to_printable(text: str, length: int = 64) -> str:
    """Replace non-printable characters of `text` and cut it to `length` characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:length])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
